//! The locks that pvqspin is compared with: one file each, behind one trait, [`Lock`].
//!
//! Every rival is written from the published description of its original, uses exactly the
//! hypercalls that the original has, and waits through [`Env::spin_until`] alone, so that each
//! runs wherever pvqspin runs. [`catalog`] lists them with what they stand for,
//! [`visit`] goes from a name to a type, [`tuned`] has this project's own at other constants.

#![no_std]
extern crate alloc;

pub mod catalog;
pub mod choice;
pub mod clh;
pub mod erased;
pub mod ideal;
mod lend;
pub mod linux_pv;
pub mod malthusian;
pub mod mcs;
pub mod mcs_tp;
pub mod native_queued;
mod own;
mod per_cpu;
pub mod powerpc;
pub mod preemptable_ticket;
pub mod pv_ticket;
mod queue;
pub mod s390_queued;
pub mod shuffling;
pub mod test_and_set;
pub mod test_and_set_backoff;
#[cfg(test)]
mod test_env;
pub mod ticket;
pub mod tuned;
pub mod unfair_hinted;
pub mod unfair_queued;
pub mod visit;

use pvqspin::Env;

/// A lock under test.
pub trait Lock<E: Env>: Sync + Sized + 'static {
    /// What an acquisition must remember until its release.
    type Token;

    /// A free lock for CPUs `0..cpus`. May allocate; nothing after it does.
    fn new(cpus: usize) -> Self;

    /// Takes the lock.
    ///
    /// Calls `E::checkpoint(Point::Joined)` once the wait is on: for queues right after the step
    /// that fixes the place in the queue, for unfair locks after the first failed attempt.
    fn lock(&self) -> Self::Token;

    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and `token` is what its [`lock`](Self::lock) returned.
    unsafe fn unlock(&self, token: Self::Token);

    /// The raw word of a lock whose word [`pvqspin::word`] tells how to read, for those who look at
    /// it from outside.
    fn word(&self) -> Option<u32> {
        None
    }
}
