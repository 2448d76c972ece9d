//! Whether a waiter finds a name for the holder.
//!
//! Linux's own fast path writes 1 into a free word, and no name. A lock that was taken in the slow
//! path, or by a patched fast path, has one.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use pvqspin::word::{LOCKED, head_of};
use pvqspin::{Cpu, Env, Format, Idx3, Tail};

/// How often a wait began under which kind of holder. Only the own CPU writes.
pub(crate) struct Names {
    pub(crate) named: AtomicU64,
    pub(crate) nameless: AtomicU64,
    pub(crate) free: AtomicU64,
}

impl Names {
    pub(crate) const fn new() -> Self {
        Self {
            named: AtomicU64::new(0),
            nameless: AtomicU64::new(0),
            free: AtomicU64::new(0),
        }
    }

    /// Counts a wait that begins at this word, on the CPU `me`.
    pub(crate) fn count<E: Env>(&self, word: u32, me: Cpu) {
        let counter = if word & LOCKED == 0 {
            &self.free
        } else if holder_is_named::<E>(word, me) {
            &self.named
        } else {
            &self.nameless
        };
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }
}

/// Whether the word of a held lock leads to its holder.
fn holder_is_named<E: Env>(word: u32, me: Cpu) -> bool {
    match Idx3::tail(word) {
        Tail::SoleHolder(_) => true,
        Tail::Empty => false,
        Tail::Waiter(..) => {
            // The head's edge names the holder; one that passed over the head stands in its place.
            let head = head_of(word).filter(|&head| head != me);
            head.is_some_and(|head| E::waiting_for(head).is_some())
        }
    }
}
