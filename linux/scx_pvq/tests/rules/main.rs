//! `bpf/rules.h`, which decides who runs, for how long, and who pays, and `bpf/limits.h`: compiled for user space; the first is compared with
//! `crates/host`.

mod c;
mod greedy;
mod limits;
mod random;
mod ticks;
mod twin;
