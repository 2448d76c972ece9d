//! The pending bit: the second contender of a native lock needs no node.

use crate::atomic::{AtomicU32, Ordering};
use crate::env::{Budget, Env, Point};
use crate::events::Event;
use crate::nodes::CpuNodes;
use crate::word::{LOCKED, PENDING};

/// Waits as the pending one and takes the lock; false if another CPU pends or queues.
///
/// A paravirtual lock queues at once instead: it wants to know every waiter by name.
pub(crate) fn take<E: Env>(word: &AtomicU32, nodes: &CpuNodes) -> bool {
    if word
        .compare_exchange(
            LOCKED,
            LOCKED | PENDING,
            Ordering::Relaxed,
            Ordering::Relaxed,
        )
        .is_err()
    {
        return false;
    }
    E::checkpoint(Point::Joined);
    nodes.count(Event::Pending);
    loop {
        E::spin_until(
            || word.load(Ordering::Relaxed) & LOCKED == 0,
            Budget::FOREVER,
        );
        let seen = word.load(Ordering::Relaxed);
        // A compare-exchange rather than an addition: a CPU that came through the fallback may have
        // been faster. Acquire pairs with the release of the holder before.
        if seen & LOCKED == 0
            && word
                .compare_exchange(
                    seen,
                    seen & !PENDING | LOCKED,
                    Ordering::Acquire,
                    Ordering::Relaxed,
                )
                .is_ok()
        {
            E::checkpoint(Point::Taken);
            return true;
        }
    }
}
