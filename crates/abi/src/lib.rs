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
//! | [`chain`] | from a hint to the virtual CPU that everybody waits for: the walk |
//! | [`cpu`] | virtual CPU numbers, as the lock word can name them |
//! | [`hypercall`] | the calls, their register encoding, and the status that comes back |
//! | [`page`] | the shared pages: run state and generation, wait-for edge, pressure |

#![no_std]
#![deny(unsafe_code)]
#![doc(test(attr(deny(warnings))))]

pub mod chain;
pub mod cpu;
pub mod hypercall;
#[cfg(mutants)]
#[doc(hidden)]
pub mod mutants;
pub mod page;

/// `mutate!("name", right, wrong)`: a place where `cargo xtask mutants` makes a mistake on purpose, to
/// see that a check finds it. In every other build it *is* what is right.
#[cfg(not(mutants))]
#[doc(hidden)]
#[macro_export]
macro_rules! mutate {
    ($name:literal, $right:expr, $wrong:expr) => {
        $right
    };
}

#[cfg(mutants)]
#[doc(hidden)]
#[macro_export]
macro_rules! mutate {
    ($name:literal, $right:expr, $wrong:expr) => {
        if $crate::mutants::chosen($name) {
            $wrong
        } else {
            $right
        }
    };
}

pub use cpu::{AtomicCpu, Cpu, MAX_CPUS};
pub use hypercall::{Hint, Hypercall, Status};
pub use page::{Generation, RunSample, RunState, VcpuPage, VmPage};
