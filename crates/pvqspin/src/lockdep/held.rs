//! The locks that a CPU holds, in the order in which it took them.

use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU32, AtomicUsize, compiler_fence};

/// The most locks that a CPU holds at once. (Linux's lockdep has room for 48.)
const DEEPEST: usize = 16;

#[derive(Debug)]
struct Held {
    /// The class + 1, or 0 for an entry without a lock.
    class: AtomicU32,
    lock: AtomicUsize,
}

/// Written by the own CPU alone. An interrupt leaves it as it found it.
#[derive(Debug)]
pub(crate) struct HeldLocks {
    depth: AtomicU32,
    held: [Held; DEEPEST],
}

impl HeldLocks {
    pub(crate) const fn new() -> Self {
        Self {
            depth: AtomicU32::new(0),
            held: [const {
                Held {
                    class: AtomicU32::new(0),
                    lock: AtomicUsize::new(0),
                }
            }; DEEPEST],
        }
    }

    pub(crate) fn reset(&self) {
        self.depth.store(0, Relaxed);
        self.held
            .iter()
            .for_each(|held| held.class.store(0, Relaxed));
    }

    fn depth(&self) -> usize {
        self.depth.load(Relaxed) as usize
    }

    /// The classes of what is held.
    pub(crate) fn classes(&self) -> impl Iterator<Item = u8> {
        let held = self.held.iter().take(self.depth());
        held.filter_map(|held| held.class.load(Relaxed).checked_sub(1))
            .map(|class| class as u8)
    }

    /// Adds a lock. False if there is no room; the depth counts it nevertheless.
    pub(crate) fn push(&self, class: u8, lock: usize) -> bool {
        // First the claim, so that an interrupt in between uses the entry above.
        let depth = self.depth();
        self.depth.store(depth as u32 + 1, Relaxed);
        compiler_fence(SeqCst);
        let Some(held) = self.held.get(depth) else {
            return false;
        };
        held.lock.store(lock, Relaxed);
        held.class.store(u32::from(class) + 1, Relaxed);
        true
    }

    /// Removes a lock, wherever it is. False if it is not there.
    pub(crate) fn pop(&self, lock: usize) -> bool {
        let depth = self.depth();
        if depth > DEEPEST {
            // Somewhere among those that had no room, or one of those below: nobody can tell.
            self.depth.store(depth as u32 - 1, Relaxed);
            return true;
        }
        let is_it = |held: &Held| held.class.load(Relaxed) != 0 && held.lock.load(Relaxed) == lock;
        let Some(at) = self.held[..depth].iter().rposition(is_it) else {
            return false;
        };
        self.held[at].class.store(0, Relaxed);
        // Entries without a lock at the top go, too: others were released first.
        let top = self.held[..depth]
            .iter()
            .rposition(|held| held.class.load(Relaxed) != 0);
        compiler_fence(SeqCst);
        self.depth
            .store(top.map_or(0, |top| top as u32 + 1), Relaxed);
        true
    }
}
