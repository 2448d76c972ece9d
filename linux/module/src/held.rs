//! Locks that this CPU holds past a preempted head, with their tokens.
//!
//! Linux's release has no token to pass. That of a lock taken in order follows from the CPU's number;
//! that of one that was taken past a head names this head, which stands nowhere else.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU32, AtomicUsize, compiler_fence};

/// As many as one CPU can hold at once: Linux's own checker stops at 48 for a task, and interrupt
/// handlers hold a few more.
const PLACES: usize = 64;

/// The locks. Only their own CPU reads and writes them.
///
/// An interrupt handler may come at any instant, and keeps tokens here as well. It takes out all that it
/// keeps, so it leaves a free place free, and it never looks for a lock of the context that it interrupts.
/// A place is its own from the address on, until the address is 0: the token is written and read in between.
pub(crate) struct Held([(AtomicUsize, AtomicU32); PLACES]);

impl Held {
    pub(crate) const fn new() -> Self {
        Self([const { (AtomicUsize::new(0), AtomicU32::new(0)) }; PLACES])
    }

    /// Keeps a token; false if there is no place left.
    pub(crate) fn keep(&self, lock: usize, token: u32) -> bool {
        self.keep_interrupted(lock, token, || ())
    }

    /// Takes the token of a lock out again.
    pub(crate) fn take(&self, lock: usize) -> Option<u32> {
        self.take_interrupted(lock, || ())
    }

    /// `interrupt` comes between the two stores. So it does in tests.
    #[inline]
    fn keep_interrupted(&self, lock: usize, token: u32, interrupt: impl FnOnce()) -> bool {
        let Some((address, kept)) = self.place_of(0) else {
            return false;
        };
        address.store(lock, Relaxed);
        // An interrupt in between uses another place.
        compiler_fence(SeqCst);
        interrupt();
        kept.store(token, Relaxed);
        true
    }

    /// `interrupt` comes between the load and the store.
    #[inline]
    fn take_interrupted(&self, lock: usize, interrupt: impl FnOnce()) -> Option<u32> {
        let (address, kept) = self.place_of(lock)?;
        let token = kept.load(Relaxed);
        interrupt();
        // Likewise: from the store on any context may take the place.
        compiler_fence(SeqCst);
        address.store(0, Relaxed);
        Some(token)
    }

    /// The place of a lock; of 0, a free one.
    #[inline]
    fn place_of(&self, lock: usize) -> Option<&(AtomicUsize, AtomicU32)> {
        self.0
            .iter()
            .find(|(address, _)| address.load(Relaxed) == lock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An interrupt handler takes another lock past its head, and releases it.
    fn handler(held: &Held) {
        assert!(held.keep(0x2000, 22));
        assert_eq!(held.take(0x2000), Some(22));
    }

    #[test]
    fn an_interrupt_leaves_the_token_of_the_task_alone() {
        let held = Held::new();
        assert!(held.keep_interrupted(0x1000, 11, || handler(&held)));
        let token = held.take_interrupted(0x1000, || handler(&held));
        assert_eq!(token, Some(11));
        assert_eq!(held.take(0x1000), None, "it is out");
    }

    #[test]
    fn there_are_places_again_once_tokens_are_out() {
        let held = Held::new();
        for lock in 1..=PLACES {
            assert!(held.keep(lock, lock as u32));
        }
        assert!(!held.keep(PLACES + 1, 0));
        assert_eq!(held.take(7), Some(7));
        assert!(held.keep(PLACES + 1, 99));
        assert_eq!(held.take(PLACES + 1), Some(99));
        assert_eq!(held.take(PLACES), Some(PLACES as u32));
    }
}
