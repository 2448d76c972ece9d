//! Locks that this CPU holds past a preempted head, with their tokens.
//!
//! Linux's release has no token to pass. That of a lock taken in order follows from the CPU's number;
//! that of one that was taken past a head names this head, which stands nowhere else.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicUsize};

/// As many as one CPU can hold at once: Linux's own checker stops at 48 for a task, and interrupt
/// handlers hold a few more.
const PLACES: usize = 64;

/// The locks. Only their own CPU reads and writes them.
pub(crate) struct Held([(AtomicUsize, AtomicU32); PLACES]);

impl Held {
    pub(crate) const fn new() -> Self {
        Self([const { (AtomicUsize::new(0), AtomicU32::new(0)) }; PLACES])
    }

    /// Keeps a token; false if there is no place left.
    pub(crate) fn keep(&self, lock: usize, token: u32) -> bool {
        for (address, kept) in &self.0 {
            // An interrupt handler may come at any instant. It frees every place that it takes, so a
            // place that is free stays free.
            if address.load(Relaxed) == 0 {
                kept.store(token, Relaxed);
                address.store(lock, Relaxed);
                return true;
            }
        }
        false
    }

    /// Takes the token of a lock out again.
    pub(crate) fn take(&self, lock: usize) -> Option<u32> {
        let (address, kept) = self
            .0
            .iter()
            .find(|(address, _)| address.load(Relaxed) == lock)?;
        let token = kept.load(Relaxed);
        address.store(0, Relaxed);
        Some(token)
    }
}
