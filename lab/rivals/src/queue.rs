//! The queue that many of the rivals stand in: an MCS list.
//!
//! ```text
//!   tail ────────────────────────────────────────┐
//!                                                 ▼
//!   front ──next──► waiter ──next──► waiter ──next──► waiter    each waits for its own `at_front`
//!         ◄─before──       ◄─before──       ◄─before──
//! ```
//!
//! After Mellor-Crummey and Scott (1991). In the locks after Linux's queued spinlock (2015) the
//! front waits for a word and hands the front on as soon as it has the lock, so that the holder
//! needs no node; in the others the front *is* the holder. One node for each CPU and lock: the
//! workloads here take no lock in an interrupt handler.
//!
//! Who may edit: a waiter that joins writes its own node and the `next` of the one before it. All
//! else is done by the front, or by the CPU that just left it, one CPU at a time.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use pvqspin::{Budget, Cpu, Env, Point};

use crate::per_cpu::PerCpu;

/// A place in the queue.
#[derive(Debug, Default)]
pub(crate) struct Node {
    /// The CPU that queued behind, as `cpu + 1`.
    next: AtomicU32,
    /// The CPU that it queued behind, as `cpu + 1`; 0 at the front. Not kept by locks that reorder.
    before: AtomicU32,
    at_front: AtomicU32,
    /// For the lock that uses the queue: what it says about the node's owner. 0 when it joins.
    pub(crate) state: AtomicU32,
}

impl Node {
    /// Whether it has come to the front.
    #[inline]
    pub(crate) fn is_at_front(&self) -> bool {
        // Acquire pairs with the release in `promote`.
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

    /// Whether it is empty. Stale when it returns.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.tail.load(Relaxed) == 0
    }

    /// How many CPUs it is made for.
    pub(crate) fn cpus(&self) -> usize {
        self.nodes.len()
    }

    /// The node of a CPU.
    #[inline]
    pub(crate) fn node(&self, cpu: Cpu) -> &Node {
        self.nodes.of(cpu)
    }

    /// Queues. Returns the CPU before the caller, if the caller is not at the front already.
    ///
    /// For unfair locks: their waits begin before this.
    pub(crate) fn join<E: Env>(&self, me: Cpu) -> Option<Cpu> {
        let before = self.swap_in(me)?;
        self.link::<E>(me, before);
        Some(before)
    }

    /// As [`join`](Self::join), for locks in which the place in the queue is what counts: the
    /// wait begins here.
    pub(crate) fn join_in_order<E: Env>(&self, me: Cpu) -> Option<Cpu> {
        let before = self.swap_in(me)?;
        E::checkpoint(Point::Joined);
        self.link::<E>(me, before);
        Some(before)
    }

    #[inline]
    fn swap_in(&self, me: Cpu) -> Option<Cpu> {
        let node = self.node(me);
        // Relaxed: the exchange below publishes the node.
        node.next.store(0, Relaxed);
        node.before.store(0, Relaxed);
        node.at_front.store(0, Relaxed);
        node.state.store(0, Relaxed);
        // Release publishes our node; acquire sees that of the one before, and pairs with the
        // release in `successor` where an empty queue is a free lock.
        Cpu::from_plus_one(self.tail.swap(me.plus_one(), AcqRel))
    }

    fn link<E: Env>(&self, me: Cpu, before: Cpu) {
        self.node(me).before.store(before.plus_one(), Relaxed);
        // Release pairs with the acquire in `next`.
        self.node(before).next.store(me.plus_one(), Release);
        E::checkpoint(Point::Linked);
    }

    /// Who stands behind, if it has linked itself.
    #[inline]
    pub(crate) fn next(&self, cpu: Cpu) -> Option<Cpu> {
        // Acquire pairs with the release in `link`.
        Cpu::from_plus_one(self.node(cpu).next.load(Acquire))
    }

    /// The CPU that another one queued behind; `None` at the front. Stale when it returns, and so advice only.
    #[inline]
    pub(crate) fn before(&self, cpu: Cpu) -> Option<Cpu> {
        Cpu::from_plus_one(self.node(cpu).before.load(Relaxed))
    }

    /// The CPU behind `at`, which the caller takes out of the queue; `None` if `at` was last,
    /// and then the queue is empty.
    pub(crate) fn successor<E: Env>(&self, at: Cpu) -> Option<Cpu> {
        if self.next(at).is_none() {
            if self.swap_tail(at, None) {
                return None;
            }
            // A waiter has swapped itself in as the tail, and is about to link itself.
            E::spin_until(|| self.next(at).is_some(), Budget::FOREVER);
        }
        self.next(at)
    }

    /// Puts a waiter at the front. Its node is its own from here on.
    #[inline]
    pub(crate) fn promote(&self, next: Cpu) {
        let node = self.node(next);
        node.before.store(0, Relaxed);
        // Release pairs with the acquire in `is_at_front`.
        node.at_front.store(1, Release);
    }

    /// Leaves the front of the queue, and puts the next one there. Returns that one.
    pub(crate) fn hand_on<E: Env>(&self, me: Cpu) -> Option<Cpu> {
        let next = self.successor::<E>(me)?;
        self.promote(next);
        Some(next)
    }

    // --- editing ---------------------------------------------------------------------------------

    /// Makes `next` stand behind `cpu`. Only for links that no waiter is about to write: `cpu` has
    /// a waiter behind it, or is out of the queue.
    pub(crate) fn set_next(&self, cpu: Cpu, next: Option<Cpu>) {
        // Release: a CPU that follows the link sees the node as it is now.
        let raw = next.map_or(0, Cpu::plus_one);
        self.node(cpu).next.store(raw, Release);
    }

    /// Makes `to` the last one instead of `from`, or empties the queue, if `from` is last.
    pub(crate) fn swap_tail(&self, from: Cpu, to: Option<Cpu>) -> bool {
        let to = to.map_or(0, Cpu::plus_one);
        // Release: where the front is the holder, an emptied queue is a free lock.
        self.tail
            .compare_exchange(from.plus_one(), to, Release, Relaxed)
            .is_ok()
    }
}
