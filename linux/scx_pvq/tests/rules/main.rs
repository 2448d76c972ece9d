//! `bpf/rules.h`, which decides who runs, for how long, and who pays, and `bpf/limits.h` and `bpf/company.h`: compiled for user
//! space; the first is compared with `crates/host`.

mod c;
mod company;
mod greedy;
mod limits;
mod random;
mod ticks;
mod twin;
mod waits;
