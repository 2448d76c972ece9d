//! The CLH lock: strict order, each waiter on the cache line of the one before it.
//!
//! ```text
//!   lock:    my node = HELD; before = swap my node in as the tail; wait until `before` is FREE
//!   unlock:  my node = FREE; from now on `before` is my node
//! ```
//!
//! Travis Craig (1993), and independently Peter Magnussen, Anders Landin and Erik Hagersten (1994).
//! The queue has no links, so a waiter has no window in which it has joined and cannot be found;
//! and the release is one store. It makes no hypercalls, and knows no CPU: nodes wander from CPU
//! to CPU.
//!
//! Against the original: nodes are numbers in a table of the lock.
//!
//! Published: within a few per cent of MCS on machines with coherent caches (the authors above),
//! and the same collapse when the machine is oversubscribed.

use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release};

use pvqspin::{Budget, Env, Point};

use crate::Lock;
use crate::per_cpu::PerCpu;

const FREE: u32 = 0;
const HELD: u32 = 1;

/// The nodes of one acquisition.
#[derive(Clone, Copy, Debug)]
pub struct Nodes {
    mine: u32,
    before: u32,
}

/// The CLH lock.
#[derive(Debug)]
pub struct Clh<E> {
    /// The node of the last waiter.
    tail: AtomicU32,
    /// One for each CPU, and one for the tail of a free lock.
    nodes: PerCpu<AtomicU32>,
    /// Which node each CPU has at present. Only that CPU looks.
    owned: PerCpu<AtomicU32>,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env> Clh<E> {
    #[inline]
    fn is_free(&self, node: u32) -> bool {
        // Acquire pairs with the release in `unlock`.
        self.nodes.at(node as usize).load(Acquire) == FREE
    }

    #[cold]
    fn wait_for(&self, before: u32) {
        E::checkpoint(Point::Joined);
        E::checkpoint(Point::Linked);
        E::spin_until(|| self.is_free(before), Budget::FOREVER);
        E::checkpoint(Point::Taken);
    }
}

impl<E: Env> Lock<E> for Clh<E> {
    type Token = Nodes;

    fn new(cpus: usize) -> Self {
        let owned = PerCpu::<AtomicU32>::new(cpus);
        for (index, (_, node)) in owned.iter().enumerate() {
            node.store(index as u32, Relaxed);
        }
        Self {
            tail: AtomicU32::new(cpus as u32),
            nodes: PerCpu::new(cpus + 1),
            owned,
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) -> Nodes {
        let mine = self.owned.of(E::cpu()).load(Relaxed);
        // Relaxed: the exchange publishes it.
        self.nodes.at(mine as usize).store(HELD, Relaxed);
        // Release publishes our node, acquire sees that of the one before.
        let before = self.tail.swap(mine, AcqRel);
        if !self.is_free(before) {
            self.wait_for(before);
        }
        Nodes { mine, before }
    }

    #[inline]
    unsafe fn unlock(&self, nodes: Nodes) {
        // Only this CPU waited on the node before its own, so it may keep that node.
        self.owned.of(E::cpu()).store(nodes.before, Relaxed);
        self.nodes.at(nodes.mine as usize).store(FREE, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::Alone;

    #[test]
    fn a_node_is_used_again_only_when_nobody_can_look_at_it() {
        let lock = Clh::<Alone>::new(1);
        let [first, second, third] = [(); 3].map(|()| {
            let nodes = lock.lock();
            // SAFETY: taken in the line before.
            unsafe { lock.unlock(nodes) };
            nodes
        });
        // The tail still is the node of the release: the next acquisition must not mark that one.
        assert_ne!(first.mine, second.mine);
        assert_eq!(second.before, first.mine);
        assert_eq!((third.mine, third.before), (first.mine, second.mine));
    }
}
