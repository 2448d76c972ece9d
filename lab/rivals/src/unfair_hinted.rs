//! Unfair with a holder hint: the strongest rival.
//!
//! ```text
//!             free: compare-exchange ───────────────────────────► held
//!           ┌───────────────────────────────────────┐
//!   wait ───┤ word changed: look again              │
//!     ▲     │ owner preempted: YIELD_TO(owner) ─────┤
//!     └─────┴───────────────────────────────────────┘
//! ```
//!
//! The word holds the owner's CPU number and nothing else, set by the very step that takes the
//! lock. Any running vCPU takes a free lock; a waiter that sees the owner preempted lends it its pCPU
//! at once. A preempted *waiter* costs nothing, which is this lock's strength; that it may
//! wait for ever is its weakness.
//!
//! This is what Linux does on s390 with shared CPUs (`arch_spin_lock_wait` in its classic form,
//! Martin Schwidefsky, 2017: owner in the word, `diag 9c` to it). The queue of the same file is
//! used on dedicated CPUs only, because a preempted waiter would block it.
//!
//! Against the original, always to this lock's advantage:
//! - s390 looks at the owner when it comes, and then every 1,000 rounds. Here each look at the word
//!   is also a look at the owner, so a preemption is noticed within nanoseconds.
//! - The hint carries the owner's generation, so that a late call is dropped by the host.
//! - After a call that ran no vCPU it waits for news, [`RETRY_NS`] at most, before it asks again.

use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use pvqspin::{Budget, Cpu, Env, Point};

use crate::Lock;
pub use crate::lend::RETRY_NS;
use crate::lend::{is_preempted, lend_to};

const FREE: u32 = 0;

/// The unfair lock whose waiters yield to a preempted owner.
#[derive(Debug)]
pub struct UnfairHinted<E> {
    /// The owner as `cpu + 1`, or [`FREE`].
    word: AtomicU32,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env> UnfairHinted<E> {
    #[inline]
    fn try_lock(&self, me: Cpu) -> bool {
        // Acquire pairs with the release in `unlock`.
        self.word
            .compare_exchange(FREE, me.plus_one(), Acquire, Relaxed)
            .is_ok()
    }

    #[cold]
    fn lock_contended(&self, me: Cpu) {
        E::checkpoint(Point::Joining);
        // For unfair locks a wait counts from the first failed attempt.
        E::checkpoint(Point::Joined);
        loop {
            match Cpu::from_plus_one(self.word.load(Relaxed)) {
                Some(owner) => self.wait_for(owner),
                None if self.try_lock(me) => break,
                None => {}
            }
        }
        E::checkpoint(Point::Taken);
    }

    /// Waits until the lock has another owner, or none, and helps the present one to run.
    fn wait_for(&self, owner: Cpu) {
        let moved = || self.word.load(Relaxed) != owner.plus_one();
        E::spin_until(|| moved() || is_preempted::<E>(owner), Budget::FOREVER);
        lend_to::<E>(owner, moved);
    }
}

impl<E: Env> Lock<E> for UnfairHinted<E> {
    type Token = ();

    fn new(_cpus: usize) -> Self {
        Self {
            word: AtomicU32::new(FREE),
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) {
        let me = E::cpu();
        if !self.try_lock(me) {
            self.lock_contended(me);
        }
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        self.word.store(FREE, Release);
    }
}
