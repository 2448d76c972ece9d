//! The locks that a CPU holds, in the order in which it took them.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU32, AtomicUsize, compiler_fence};

/// The most locks that a CPU holds at once. (Linux's lockdep has room for 48.)
const DEEPEST: usize = 16;

const FREE: u32 = 0;
/// Claimed, and not written yet.
const CLAIMED: u32 = u32::MAX;

#[derive(Debug)]
struct Held {
    /// [`FREE`], [`CLAIMED`], or the class + 1.
    class: AtomicU32,
    lock: AtomicUsize,
}

/// Written by the own CPU alone. An interrupt leaves it as it found it.
#[derive(Debug)]
pub(crate) struct HeldLocks {
    held: [Held; DEEPEST],
    /// How many more it holds, for which there was no room.
    more: AtomicU32,
}

impl HeldLocks {
    pub(crate) const fn new() -> Self {
        Self {
            held: [const {
                Held {
                    class: AtomicU32::new(FREE),
                    lock: AtomicUsize::new(0),
                }
            }; DEEPEST],
            more: AtomicU32::new(0),
        }
    }

    pub(crate) fn reset(&self) {
        self.more.store(0, Relaxed);
        self.held
            .iter()
            .for_each(|held| held.class.store(FREE, Relaxed));
    }

    /// The classes of what is held.
    pub(crate) fn classes(&self) -> impl Iterator<Item = u8> {
        let known = |class: &u32| !matches!(*class, FREE | CLAIMED);
        let classes = self.held.iter().map(|held| held.class.load(Relaxed));
        classes.filter(known).map(|class| (class - 1) as u8)
    }

    /// Whether one more would have no room.
    pub(crate) fn is_full(&self) -> bool {
        self.held
            .iter()
            .all(|held| held.class.load(Relaxed) != FREE)
    }

    /// Adds a lock; one without room is counted.
    pub(crate) fn push(&self, class: u8, lock: usize) {
        let free = |held: &&Held| held.class.load(Relaxed) == FREE;
        let Some(held) = self.held.iter().find(free) else {
            // Plain load and store, here and below: an interrupt in between puts back what it found.
            let more = self.more.load(Relaxed);
            self.more.store(more + 1, Relaxed);
            return;
        };
        // First the claim, so that an interrupt in between uses another entry.
        held.class.store(CLAIMED, Relaxed);
        compiler_fence(SeqCst);
        held.lock.store(lock, Relaxed);
        compiler_fence(SeqCst);
        held.class.store(u32::from(class) + 1, Relaxed);
    }

    /// Removes a lock, wherever it is. False if it is not there.
    pub(crate) fn pop(&self, lock: usize) -> bool {
        let is_it = |held: &&Held| {
            !matches!(held.class.load(Relaxed), FREE | CLAIMED) && held.lock.load(Relaxed) == lock
        };
        if let Some(held) = self.held.iter().rev().find(is_it) {
            held.class.store(FREE, Relaxed);
            return true;
        }
        // Perhaps one of those that had no room.
        let more = self.more.load(Relaxed);
        self.more.store(more.saturating_sub(1), Relaxed);
        more > 0
    }
}
