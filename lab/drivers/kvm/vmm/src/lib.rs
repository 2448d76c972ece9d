//! A small VMM on `/dev/kvm`: the same locks and workloads in real virtual machines.
//!
//! ```text
//!   guest     [ image: load, rivals, pvqspin ]      lab/drivers/kvm/guest
//!                  | ^  rings the doorbell, or is taken off by a signal
//!   threads   [ vcpu0 ]  [ vcpu1 ]  [ vcpu2 ] ...      vcpu_thread, parker, signal
//!                   \        |        /
//!              [ the host ]                           machine, pvqspin-host
//! ```
//!
//! The *doorbell* is a port. A guest that writes to it leaves for this process, which schedules its
//! vCPUs itself with `pvqspin-host`: a vCPU is in `KVM_RUN` only while the host says so, and comes
//! out by a signal when its slice is over. So the contract of the host is kept on real KVM, with
//! real exits.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `guest` | the guest to run, and whether a run makes sense here |
//! | `image` | the guest image, and whether it fits |
//! | `memory` | guest memory, and how the VMM may read it |
//! | `setup` | the state in which a vCPU starts |
//! | `vm` | KVM itself, and one VM |
//! | `exit` | what an exit means |
//! | `signal` | how `KVM_RUN` is ended |
//! | `parker` | pCPUs, and the threads that take turns on them |
//! | `machine` | what all threads share |
//! | `vcpu_thread` | the loop of each |
//! | `session` | from VMs to joined threads |
//! | `watchdog` | ends a run that makes no progress |
//! | `run`, `phases`, `summary` | a measured run: its VMs, its phases, what it gave |
//! | `greedy` | a VM that takes what it can, beside one that computes |
//! | `trial` | one vCPU that does one thing |
//! | `probe` | what this KVM can do, and which way is best |
//! | `stock` | the other transports, on which Linux schedules |
//! | `kvm_stats` | the counters of KVM itself |
//! | `untrusted` | the readers of guest memory, for fuzzers; not part of the interface |
//!
//! Linux on x86-64 only: elsewhere the crate is empty.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![doc(test(attr(deny(warnings))))]

mod error;
mod exit;
mod greedy;
mod guest;
mod image;
mod kvm_stats;
mod machine;
mod memory;
mod parker;
mod phases;
mod probe;
mod run;
mod session;
mod setup;
mod signal;
mod stock;
mod summary;
mod thread_time;
mod trial;
#[doc(hidden)]
pub mod untrusted;
mod vcpu_thread;
mod vm;
mod watchdog;

pub use error::{
    ConfigProblem, Fatal, MIN_SLICE_NS, Registers, RunError, Stuck, StuckVcpu, Unavailable,
};
pub use exit::Offence;
pub use greedy::{Shares, greedy};
pub use guest::{Guest, validate};
pub use image::{Image, ImageProblem};
pub use probe::{Choice, Probe, Tried};
pub use run::{RunResult, run};
pub use setup::Cpl;
pub use trial::trial;
pub use vm::KvmHost;
