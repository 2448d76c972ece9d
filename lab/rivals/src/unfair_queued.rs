//! The unfair queued lock: waiters queue, but any newcomer may take the lock before them.
//!
//! ```text
//!   newcomer ──tries for a while──────────────► held
//!      └──► queue ──► front ──tries for ever──► held
//! ```
//!
//! After Waiman Long's proposals to the Linux kernel list ("unfair queued spinlock for virtual
//! guests", 2014 and 2015): the lock can be stolen, so a preempted waiter in the queue keeps
//! no vCPU out that is not behind it, and the queue keeps the lock's cache line quiet. It makes no
//! hypercalls.
//!
//! Against the original:
//! - Long let waiters in the middle of the queue steal as well, the less often the further back
//!   they stood. Here only newcomers and the front do, as in his simplest version.
//! - In that version a newcomer tries *once*. On a busy lock it then queues, perhaps behind a
//!   preempted front, and is lost for the rest of its slice. Trying for [`STEAL_NS`] first makes
//!   the lock much stronger here.

use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use pvqspin::{Budget, Env, Point};

use crate::Lock;
use crate::queue::Queue;

/// How long a newcomer tries before it queues, in ns: several short sections, and a small part of
/// a slice.
pub const STEAL_NS: u32 = 10_000;

const FREE: u32 = 0;
const HELD: u32 = 1;

/// The unfair queued lock.
#[derive(Debug)]
pub struct UnfairQueued<E> {
    word: AtomicU32,
    pub(crate) queue: Queue,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env> UnfairQueued<E> {
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

    /// Tries until the budget is gone. Another one may be faster, so the budget starts anew with
    /// each free lock: a vCPU that sees it change hands is in a race that it may win.
    pub(crate) fn try_for(&self, budget: Budget) -> bool {
        while E::spin_until(|| self.is_free(), budget) {
            if self.try_lock() {
                return true;
            }
        }
        false
    }

    #[cold]
    fn lock_contended(&self) {
        E::checkpoint(Point::Joining);
        // For unfair locks a wait counts from the first failed attempt.
        E::checkpoint(Point::Joined);
        if !self.try_for(Budget::ns(STEAL_NS)) {
            self.queue_up();
        }
        E::checkpoint(Point::Taken);
    }

    fn queue_up(&self) {
        let me = E::cpu();
        if self.queue.join::<E>(me).is_some() {
            let node = self.queue.node(me);
            E::spin_until(|| node.is_at_front(), Budget::FOREVER);
        }
        while !self.try_for(Budget::FOREVER) {}
        self.queue.hand_on::<E>(me);
    }
}

impl<E: Env> Lock<E> for UnfairQueued<E> {
    type Token = ();

    fn new(cpus: usize) -> Self {
        Self {
            word: AtomicU32::new(FREE),
            queue: Queue::new(cpus),
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
