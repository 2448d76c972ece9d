//! Leaving the middle of the queue, by a waiter that holds the lock already. Only holders edit
//! links, so edits never race.

use crate::atomic::Ordering;
use crate::env::Env;
use crate::policy::Policy;
use crate::queue::look::{cpu_of, node_of};
use crate::queue::waiter::Waiter;
use crate::word::{Format, TAIL};

impl<E: Env, P: Policy, W: Format> Waiter<'_, E, P, W> {
    /// Leaves the middle of the queue. The caller holds the lock, so no other CPU edits links.
    pub(super) fn unlink(&self) {
        // Relaxed loads of links: earlier edits were made under this lock, which we acquired.
        let pred = self.node.pred.load(Ordering::Relaxed);
        let Some(before) = node_of::<E, W>(pred) else {
            return;
        };
        if self.node.next.load(Ordering::Relaxed) == 0 {
            // Perhaps the last one. The CPU that queues behind `pred` next must find its link
            // empty, so that is cleared first; the exchange below publishes it.
            before.next.store(0, Ordering::Relaxed);
            if self.retreat_tail(pred) {
                return;
            }
        }
        let next = self.linked_successor();
        if let Some(after) = node_of::<E, W>(next) {
            after.built.is_known();
            after.pred.store(pred, Ordering::Relaxed);
            // The host follows the edges, and a preempted waiter cannot correct its own. (An edge
            // that does not name us belongs to a wait that interrupted this one.)
            if let Some(cpu) =
                cpu_of::<W>(next).filter(|&cpu| E::waiting_for(cpu) == Some(self.cpu))
            {
                E::redirect_wait_of(cpu, cpu_of::<W>(pred));
            }
        }
        // Release pairs with the acquire of the holder that promotes through this link.
        before.next.store(next, Ordering::Release);
    }

    /// Makes `pred` the tail if we still are.
    fn retreat_tail(&self, pred: u32) -> bool {
        let mut seen = self.word.load(Ordering::Relaxed);
        while seen & TAIL == self.tail {
            // Release pairs with the acquire of the exchange with which the next one joins.
            match self.word.compare_exchange(
                seen,
                seen & !TAIL | pred,
                Ordering::Release,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(now) => seen = now,
            }
        }
        false
    }
}
