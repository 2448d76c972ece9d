//! A small VMM on `/dev/kvm`: the same locks and workloads in real virtual machines.
//!
//! ```text
//!   guest     [ image: workload, peers, pvqspin ]      lab/drivers/kvm/guest
//!                  | ^  rings the doorbell, or is taken off by a signal
//!   threads   [ vcpu0 ]  [ vcpu1 ]  [ vcpu2 ] ...      vcpu_thread, seat, signal
//!                   \        |        /
//!              [ the host: who runs where ]            machine, pvqspin-host
//! ```
//!
//! The *doorbell* is a port. A guest that writes to it leaves for this process, which schedules its
//! vCPUs itself with `pvqspin-host`: a vCPU is in `KVM_RUN` only while the host says so, and comes
//! out by a signal when its slice is over. So the contract of the host is kept on real KVM, with
//! real exits.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `guest` | what runs, and whether a run makes sense here |
//! | `image` | the guest image, and whether it fits |
//! | `memory` | guest memory, and how it may be looked at |
//! | `setup` | the state in which a vCPU starts |
//! | `vm` | KVM itself, and one VM |
//! | `exit` | what an exit means |
//! | `signal` | how `KVM_RUN` is ended |
//! | `seat` | pCPUs, and the threads that take turns on them |
//! | `machine` | what all threads share |
//! | `vcpu_thread` | the loop of each |
//! | `session` | from VMs to joined threads |
//! | `watchdog` | noticing that nothing happens any more |
//! | `run` | a measured run |
//! | `trial` | one vCPU that does one thing |
//! | `probe` | what this KVM can do, and which way is best |
//! | `stock` | the other transports: Linux schedules |
//! | `kvm_stats` | what KVM counts itself |
//! | `untrusted` | what is read of guests, for those who hand it garbage; no part of the interface |
//!
//! Linux on x86-64 only: elsewhere the crate is empty.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![doc(test(attr(deny(warnings))))]

mod error;
mod exit;
mod guest;
mod image;
mod kvm_stats;
mod machine;
mod memory;
mod probe;
mod run;
mod seat;
mod session;
mod setup;
mod signal;
mod stock;
mod trial;
#[doc(hidden)]
pub mod untrusted;
mod vcpu_thread;
mod vm;
mod watchdog;

pub use error::{ConfigProblem, Fatal, Registers, RunError, Stuck, StuckVcpu, Unavailable};
pub use exit::Offence;
pub use guest::{Guest, MIN_SLICE_NS, validate};
pub use image::{Image, ImageProblem};
pub use probe::{Choice, Probe, Tried};
pub use run::{RunResult, run};
pub use setup::Cpl;
pub use trial::trial;
pub use vm::KvmHost;
