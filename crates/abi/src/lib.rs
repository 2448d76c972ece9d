//! The contract between a guest's lock and its hypervisor, and nothing else.
//!
//! Three hypercalls ([`Hypercall`]), the status they return ([`Status`]), and one page for each
//! virtual CPU that both sides can see ([`VcpuPage`]). Guest and host depend on this crate and
//! never on each other.
//!
//! Everything a guest writes is *advice*: a host may believe it for scheduling and for nothing
//! else. Everything a host writes is *a sample*: it was true when it was written, and steers
//! performance only, never who owns a lock.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`chain`] | from a hint to the virtual CPU that all wait for: the walk |
//! | [`cpu`] | virtual CPU numbers, as the lock word can name them |
//! | [`discovery`] | what a guest asks first: version, features, where the pages are |
//! | [`hypercall`] | the calls, their register encoding, and the status that comes back |
//! | [`page`] | the shared pages: run state and generation, wait-for edge, pressure |

#![no_std]
#![deny(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

pub mod chain;
pub mod cpu;
pub mod discovery;
pub mod hypercall;
pub mod page;

pub use cpu::{AtomicCpu, Cpu, MAX_CPUS};
pub use hypercall::{Hint, Hypercall, Status};
pub use page::{Generation, RunSample, RunState, VcpuPage, VmPage};
