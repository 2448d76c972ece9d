//! The run order: who waits for a pCPU, and who is next.
//!
//! One order for the whole host, so that no pCPU idles while a vCPU waits at another. What the
//! keys mean depends on the policy:
//!
//! ```text
//!                class                      rank
//! round robin    0                          turn: a number drawn on waking and at a slice's end
//! fair           0                          weighted run time
//! credit         boost 0, under 1, over 2   turn
//! co-scheduled   0                          0: gangs have an order of their own
//! ```

use alloc::collections::BTreeSet;

use crate::ids::VcpuId;

/// A place in the run order; the least goes first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub(crate) struct Key {
    pub(crate) class: u8,
    pub(crate) rank: u128,
}

/// Where a vCPU goes when it enters the order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Place {
    /// Behind everybody: it woke, or it used its own slice, or gave it away.
    Tail,
    /// Where it stood before: it ran on a borrowed slice, or lost its own too early.
    Kept,
}

/// Everybody who waits for a pCPU.
#[derive(Debug, Default)]
pub(crate) struct RunOrder {
    waiting: BTreeSet<(Key, VcpuId)>,
    turns: u64,
}

impl RunOrder {
    /// A turn behind all turns drawn so far.
    pub(crate) fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    pub(crate) fn insert(&mut self, key: Key, vcpu: VcpuId) {
        self.waiting.insert((key, vcpu));
    }

    pub(crate) fn remove(&mut self, key: Key, vcpu: VcpuId) {
        let was_there = self.waiting.remove(&(key, vcpu));
        debug_assert!(was_there, "{vcpu:?} was not where its key says");
    }

    pub(crate) fn first(&self) -> Option<(Key, VcpuId)> {
        self.waiting.first().copied()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = VcpuId> {
        self.waiting.iter().map(|&(_, vcpu)| vcpu)
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_goes_before_rank_and_rank_before_number() {
        let mut order = RunOrder::default();
        let key = |class, rank| Key { class, rank };
        let expected = [
            (key(0, 9), VcpuId::new(5)),
            (key(1, 2), VcpuId::new(4)),
            (key(1, 3), VcpuId::new(0)),
            (key(1, 3), VcpuId::new(1)),
        ];
        for (key, vcpu) in expected.into_iter().rev() {
            order.insert(key, vcpu);
        }
        for (key, vcpu) in expected {
            assert_eq!(order.first(), Some((key, vcpu)));
            order.remove(key, vcpu);
        }
        assert_eq!(order.len(), 0);
    }

    #[test]
    fn turns_never_repeat() {
        let mut order = RunOrder::default();
        let first = order.next_turn();
        assert!(order.next_turn() > first);
    }
}
