//! The queue that two of the peers stand in: an MCS list whose front is handed on as soon as its
//! owner has the lock, so that the holder needs no node.
//!
//! ```text
//!   tail ───────────────────────────────┐
//!                                        ▼
//!   front (waits for  ──next──► node ──next──► node     each waits for its own `at_front`
//!          the lock)
//! ```
//!
//! After Mellor-Crummey and Scott (1991), in the form of Linux's queued spinlock (2015). One node
//! for each CPU and lock: the workloads here take no lock in an interrupt handler.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use pvqspin::{Budget, Cpu, Env, Point};

use crate::per_cpu::PerCpu;

/// A place in the queue.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// Who queued behind, as `cpu + 1`.
    next: AtomicU32,
    at_front: AtomicU32,
    /// For the lock that uses the queue: what the node's owner says that it is doing. 0 when it
    /// joins.
    pub(crate) state: AtomicU32,
}

impl Node {
    /// Whether it has come to the front.
    #[inline]
    pub(crate) fn is_at_front(&self) -> bool {
        // Acquire pairs with the release in `hand_on`.
        self.at_front.load(Acquire) != 0
    }
}

/// A queue of CPUs.
#[derive(Debug)]
pub(crate) struct Queue {
    /// The last waiter as `cpu + 1`, or 0.
    tail: AtomicU32,
    nodes: PerCpu<Node>,
}

impl Queue {
    pub(crate) fn new(cpus: usize) -> Self {
        Self {
            tail: AtomicU32::new(0),
            nodes: PerCpu::new(cpus),
        }
    }

    /// Whether nobody waits. Stale when it returns.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.tail.load(Relaxed) == 0
    }

    /// The node of a CPU.
    #[inline]
    pub(crate) fn node(&self, cpu: Cpu) -> &Node {
        self.nodes.of(cpu)
    }

    /// Queues. Returns whoever is before us, if we are not at the front already.
    ///
    /// The locks that use the queue are unfair: their waits begin before this.
    pub(crate) fn join<E: Env>(&self, me: Cpu) -> Option<Cpu> {
        let node = self.node(me);
        // Relaxed: the exchange below publishes the node.
        node.next.store(0, Relaxed);
        node.at_front.store(0, Relaxed);
        node.state.store(0, Relaxed);
        // Release publishes our node, acquire sees that of the one before.
        let before = Cpu::from_plus_one(self.tail.swap(me.plus_one(), AcqRel));
        if let Some(before) = before {
            // Release pairs with the acquire in `hand_on`.
            self.node(before).next.store(me.plus_one(), Release);
            E::checkpoint(Point::Linked);
        }
        before
    }

    /// Leaves the front of the queue, and puts the next one there. Returns that one.
    pub(crate) fn hand_on<E: Env>(&self, me: Cpu) -> Option<Cpu> {
        let node = self.node(me);
        let next = || node.next.load(Acquire);
        if next() == 0 {
            // Relaxed: what the lock guards is published by the lock's own word.
            if self
                .tail
                .compare_exchange(me.plus_one(), 0, Relaxed, Relaxed)
                .is_ok()
            {
                return None;
            }
            // Somebody has swapped itself in as the tail, and is about to link itself.
            E::spin_until(|| next() != 0, Budget::FOREVER);
        }
        let next = Cpu::from_plus_one(next())?;
        // Release pairs with the acquire in `is_at_front`.
        self.node(next).at_front.store(1, Release);
        Some(next)
    }
}
