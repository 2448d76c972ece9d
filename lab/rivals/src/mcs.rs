//! The MCS lock: strict order, each waiter on a line of its own.
//!
//! ```text
//!   lock:    swap the own node in as the tail; was it taken? link behind it, wait for `at_front`
//!   unlock:  none behind? tail = none; else put the next one at the front
//! ```
//!
//! John Mellor-Crummey and Michael Scott, "Algorithms for Scalable Synchronization on
//! Shared-Memory Multiprocessors" (ACM TOCS, 1991). It makes no hypercalls. The holder keeps its
//! node until it releases, unlike in Linux's queued spinlock.
//!
//! Against the original: one node for each CPU and lock, where the original takes a node as an
//! argument.
//!
//! Published: with up to one thread for each CPU, down to 0.2 times the section time of a blocking
//! lock; beyond that, four orders of magnitude more (Laforet and others, FlexGuard, SOSP 2025).

use core::marker::PhantomData;

use pvqspin::{Budget, Cpu, Env, Point};

use crate::Lock;
use crate::queue::Queue;

/// The MCS lock.
#[derive(Debug)]
pub struct Mcs<E> {
    queue: Queue,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env> Lock<E> for Mcs<E> {
    /// Whose node it is.
    type Token = Cpu;

    fn new(cpus: usize) -> Self {
        Self {
            queue: Queue::new(cpus),
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) -> Cpu {
        let me = E::cpu();
        if self.queue.join_in_order::<E>(me).is_some() {
            let node = self.queue.node(me);
            E::spin_until(|| node.is_at_front(), Budget::FOREVER);
            E::checkpoint(Point::Taken);
        }
        me
    }

    #[inline]
    unsafe fn unlock(&self, me: Cpu) {
        self.queue.hand_on::<E>(me);
    }
}
