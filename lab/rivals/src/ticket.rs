//! The ticket lock: strict first come, first served.
//!
//! ```text
//!   lock:   ticket = next++;  wait until serving == ticket
//!   unlock: serving = ticket + 1
//! ```
//!
//! Linux's spinlock on x86 from 2.6.25 (Nick Piggin, 2008) to 4.1. It makes no hypercalls. Under
//! overcommit it is the textbook case of lock-waiter preemption: Jeremy Fitzhardinge reported
//! guests that spent more than 90 % of their time spinning.
//!
//! Against the original: two 32-bit words side by side instead of two halves of one word, so that
//! every access has the size of its atomic.

use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use pvqspin::{Budget, Env, Point};

use crate::Lock;

/// The ticket lock.
#[derive(Debug)]
#[repr(C, align(8))]
pub struct Ticket<E> {
    next: AtomicU32,
    serving: AtomicU32,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env> Ticket<E> {
    #[cold]
    fn wait_for(&self, ticket: u32) {
        E::checkpoint(Point::Joined);
        E::spin_until(|| self.serving.load(Acquire) == ticket, Budget::FOREVER);
        E::checkpoint(Point::Taken);
    }
}

impl<E: Env> Lock<E> for Ticket<E> {
    /// The ticket.
    type Token = u32;

    fn new(_cpus: usize) -> Self {
        Self {
            next: AtomicU32::new(0),
            serving: AtomicU32::new(0),
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) -> u32 {
        // Relaxed: a ticket orders nothing yet. The acquire below, or in `wait_for`, pairs with
        // the release in `unlock`.
        let ticket = self.next.fetch_add(1, Relaxed);
        if self.serving.load(Acquire) != ticket {
            self.wait_for(ticket);
        }
        ticket
    }

    #[inline]
    unsafe fn unlock(&self, ticket: u32) {
        // Only the holder writes it, so a store is enough.
        self.serving.store(ticket.wrapping_add(1), Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::Alone;

    #[test]
    fn tickets_wrap() {
        let lock = Ticket::<Alone>::new(1);
        lock.next.store(u32::MAX - 1, Relaxed);
        lock.serving.store(u32::MAX - 1, Relaxed);
        for expected in [u32::MAX - 1, u32::MAX, 0, 1] {
            let ticket = lock.lock();
            assert_eq!(ticket, expected);
            // SAFETY: taken in the line before.
            unsafe { lock.unlock(ticket) };
        }
    }
}
