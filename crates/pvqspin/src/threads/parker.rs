//! Where one thread sleeps: halt, and the kick that ends it.
//!
//! ```text
//!           halt                     kick
//!   AWAKE ────────► ASLEEP ────────────────────► KICKED
//!     ▲                                            │
//!     └────────────── the halt returns ◄───────────┘
//!   AWAKE ── kick ──► KICKED: remembered, the next halt returns at once
//! ```
//!
//! The state decides; the bed (a mutex and a condition variable, futexes on Linux) only makes the
//! sleeper sleep. A kicker touches the bed only of a thread that sleeps in *this* process: after a
//! fork the bed's mutex may be locked for ever by a thread that the child does not have, so the
//! owner makes a new bed before it first sleeps in a process.

use core::cell::UnsafeCell;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};
use std::process;
use std::sync::{Condvar, Mutex, PoisonError};

const AWAKE: u32 = 0;
const ASLEEP: u32 = 1;
const KICKED: u32 = 2;

#[derive(Debug)]
struct Bed {
    mutex: Mutex<()>,
    woken: Condvar,
}

impl Bed {
    const fn new() -> Self {
        Self {
            mutex: Mutex::new(()),
            woken: Condvar::new(),
        }
    }
}

/// Where one thread sleeps.
#[derive(Debug)]
pub(super) struct Parker {
    state: AtomicU32,
    /// The process in which the bed was made; 0 before the first sleep.
    process: AtomicU32,
    bed: UnsafeCell<Bed>,
}

// SAFETY: the bed is shared by reference only, and its parts are `Sync`, except in `make_bed`,
// whose comment says why it is alone then.
unsafe impl Sync for Parker {}

impl Parker {
    pub(super) const fn new() -> Self {
        Self {
            state: AtomicU32::new(AWAKE),
            process: AtomicU32::new(0),
            bed: UnsafeCell::new(Bed::new()),
        }
    }

    /// Sleeps until kicked; not at all if it was kicked since the last time. Only the thread that
    /// owns the slot calls it.
    pub(super) fn halt(&self) {
        self.make_bed();
        // Release publishes the bed to a kicking thread.
        if self
            .state
            .compare_exchange(AWAKE, ASLEEP, Release, Relaxed)
            .is_ok()
        {
            self.sleep();
        }
        // Acquire pairs with the release of the last kick: what happened before it is visible.
        self.state.swap(AWAKE, Acquire);
    }

    fn sleep(&self) {
        // SAFETY: only `make_bed` writes, and it is called by this thread alone.
        let bed = unsafe { &*self.bed.get() };
        let mut guard = bed.mutex.lock().unwrap_or_else(PoisonError::into_inner);
        while self.state.load(Relaxed) == ASLEEP {
            guard = bed
                .woken
                .wait(guard)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Ends the halt of the owner, or its next one.
    pub(super) fn kick(&self) {
        // Release pairs with the acquire of the halt that it ends; acquire, with the owner's
        // exchange to ASLEEP, which published the bed.
        if self.state.swap(KICKED, AcqRel) != ASLEEP || !self.is_of_this_process() {
            return;
        }
        // SAFETY: the bed was made by the owner in this process, before it went to sleep in it,
        // and is not made again in this process.
        let bed = unsafe { &*self.bed.get() };
        // The sleeper looks at the state under this mutex: it has seen the kick, or it waits by now.
        drop(bed.mutex.lock().unwrap_or_else(PoisonError::into_inner));
        bed.woken.notify_one();
    }

    fn is_of_this_process(&self) -> bool {
        self.process.load(Relaxed) == process::id()
    }

    /// Makes a fresh bed if no thread slept here yet in this process.
    fn make_bed(&self) {
        if self.is_of_this_process() {
            return;
        }
        // SAFETY: no other thread looks at this bed. `halt` and `sleep` belong to this thread; a kicker
        // looks only if `process` names this process, which it does from the next line on. (It
        // may name another one that had the same number long ago; then nothing is written here.)
        // The old bed owns nothing, so nothing is lost by not dropping it.
        unsafe { self.bed.get().write(Bed::new()) };
        self.process.store(process::id(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Duration;

    #[test]
    fn a_kick_before_the_halt_is_remembered_once() {
        let parker = Parker::new();
        parker.kick();
        parker.kick();
        parker.halt();
        // The next halt sleeps again: two kicks at once are one.
        let slept = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                parker.halt();
                assert!(slept.load(Relaxed), "the halt ended before its kick");
            });
            thread::sleep(Duration::from_millis(20));
            slept.store(true, Relaxed);
            parker.kick();
        });
    }

    #[test]
    fn no_kick_is_lost() {
        let (here, there) = (Parker::new(), Parker::new());
        thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..5_000 {
                    here.halt();
                    there.kick();
                }
            });
            for _ in 0..5_000 {
                here.kick();
                there.halt();
            }
        });
    }

    #[test]
    fn a_sleeper_of_another_process_is_not_touched() {
        let parker = Parker::new();
        parker.state.store(ASLEEP, Relaxed);
        parker.process.store(process::id().wrapping_add(1), Relaxed);
        // SAFETY: no other thread has this parker.
        let _held_for_ever = unsafe { &*parker.bed.get() }.mutex.lock();
        parker.kick(); // would hang
        parker.halt(); // was kicked, and has a fresh bed
        assert!(parker.is_of_this_process());
    }
}
