//! Test-and-test-and-set: the first to come takes it, without any order or memory.
//!
//! ```text
//!   FREE ──compare-exchange──► HELD ──store──► FREE
//! ```
//!
//! Linux's `virt_spin_lock` (`arch/x86/include/asm/qspinlock.h`, Peter Zijlstra, 2015): what an x86
//! guest falls back to whose hypervisor offers no paravirtual lock, because any order would be
//! worse under preemption. It makes no hypercalls.
//!
//! Against the original: a word of its own instead of the whole queued word, which changes
//! nothing while no vCPU queues.

use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use pvqspin::{Budget, Env, Point};

use crate::Lock;

const FREE: u32 = 0;
const HELD: u32 = 1;

/// The test-and-test-and-set lock.
#[derive(Debug)]
pub struct TestAndSet<E> {
    word: AtomicU32,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env> TestAndSet<E> {
    /// Whether it can be taken. Stale when it returns.
    #[inline]
    pub(crate) fn is_free(&self) -> bool {
        self.word.load(Relaxed) == FREE
    }

    #[inline]
    pub(crate) fn try_lock(&self) -> bool {
        // Acquire pairs with the release in `unlock`.
        self.word
            .compare_exchange(FREE, HELD, Acquire, Relaxed)
            .is_ok()
    }

    #[cold]
    fn lock_contended(&self) {
        E::checkpoint(Point::Joining);
        // For unfair locks a wait counts from the first failed attempt.
        E::checkpoint(Point::Joined);
        // Only reads while it is held, so that the holder keeps its cache line.
        loop {
            E::spin_until(|| self.is_free(), Budget::FOREVER);
            if self.try_lock() {
                break;
            }
        }
        E::checkpoint(Point::Taken);
    }
}

impl<E: Env> Lock<E> for TestAndSet<E> {
    type Token = ();

    fn new(_cpus: usize) -> Self {
        Self {
            word: AtomicU32::new(FREE),
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) {
        if !self.try_lock() {
            self.lock_contended();
        }
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        self.word.store(FREE, Release);
    }
}
