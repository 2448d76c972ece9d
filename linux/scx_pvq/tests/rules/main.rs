//! `bpf/rules.h`, which decides who runs, for how long, and who pays: compiled for user space, and compared with
//! `crates/host`.

mod c;
mod greedy;
mod random;
mod ticks;
mod twin;
