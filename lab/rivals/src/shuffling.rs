//! A shuffling lock: the head of the queue puts the waiters behind it into a better order.
//!
//! ```text
//!   newcomer ──tries for a while──────────────► held
//!      └──► queue ──► head ──tries for ever───► held, hands the head on
//!                      │ the next one is preempted, and one behind it runs
//!                      ▼
//!   before:  head ──► asleep ──► asleep ──► RUNS ──► asleep
//!   after:   head ──► RUNS ──► asleep ──► asleep ──► asleep
//! ```
//!
//! Sanidhya Kashyap, Irina Calciu, Xiaohe Cheng, Changwoo Min and Taesoo Kim, "Scalable and
//! Practical Locking with Shuffling" (SOSP 2019): a lock word that any CPU may take, a queue for
//! those who wait, and a *shuffler* among the waiters that reorders the queue by a policy, off the
//! critical path. Their policy groups waiters by NUMA node. There are no nodes here, so the policy
//! is the one that matters under overcommit: those who run come before those who are preempted,
//! as the host's page says. So a hand-over hardly ever meets an absent waiter. It makes no
//! hypercalls, like the original.
//!
//! Against the original:
//! - The head is always the shuffler; there the part is passed on among waiters, to shuffle in
//!   batches.
//! - Newcomers try for [`STEAL_NS`] and not once, as in
//!   `unfair-queued`, whose word and queue these are: a head can still lose its pCPU.
//! - It looks once more when the head is handed on, which there is left to the next shuffler.
//! - At most [`MOST_LOOKS`] waiters are looked at.
//!
//! Published: up to 12.5 times the throughput of applications on stock Linux locks, on eight
//! sockets (abstract), which is a gain of NUMA grouping and cannot show here. Here it has to stay
//! at least level with `unfair-queued`, and above every queue that knows no CPU.

use core::marker::PhantomData;

use pvqspin::{Budget, Cpu, Env, Point};

use crate::Lock;
use crate::lend::is_preempted;
use crate::queue::Queue;
use crate::unfair_queued::{STEAL_NS, UnfairQueued};

/// How far back the head looks for one that runs.
pub const MOST_LOOKS: usize = 32;

/// The shuffling lock.
#[derive(Debug)]
pub struct Shuffling<E> {
    lock: UnfairQueued<E>,
    environment: PhantomData<fn() -> E>,
}

/// A waiter that runs while the one right behind the head does not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Find {
    /// Right behind the head.
    first: Cpu,
    /// Right before the one found.
    before: Cpu,
    found: Cpu,
}

/// The waiter to bring forward, if any.
fn find<E: Env>(queue: &Queue, head: Cpu) -> Option<Find> {
    let first = queue.next(head)?;
    if !is_preempted::<E>(first) {
        return None;
    }
    let mut before = first;
    for _ in 0..MOST_LOOKS {
        let found = queue.next(before)?;
        if !is_preempted::<E>(found) {
            return Some(Find {
                first,
                before,
                found,
            });
        }
        before = found;
    }
    None
}

/// Brings one that runs to right behind the head, if that pays. Only for the head.
fn shuffle<E: Env>(queue: &Queue, head: Cpu) {
    let Some(Find {
        first,
        before,
        found,
    }) = find::<E>(queue, head)
    else {
        return;
    };
    let behind = queue.next(found);
    // The links between waiters that have a successor are the head's to edit.
    queue.set_next(before, behind);
    // If it is last, newcomers have to find the one before it.
    if behind.is_none() && !queue.swap_tail(found, Some(before)) {
        // A waiter is about to link itself behind it. Leave it there.
        queue.set_next(before, Some(found));
        return;
    }
    queue.set_next(found, Some(first));
    queue.set_next(head, Some(found));
}

impl<E: Env> Shuffling<E> {
    #[cold]
    fn lock_contended(&self) {
        E::checkpoint(Point::Joining);
        // For unfair locks a wait counts from the first failed attempt.
        E::checkpoint(Point::Joined);
        if !self.lock.try_for(Budget::ns(STEAL_NS)) {
            self.queue_up(E::cpu());
        }
        E::checkpoint(Point::Taken);
    }

    fn queue_up(&self, me: Cpu) {
        let queue = &self.lock.queue;
        if queue.join::<E>(me).is_some() {
            let node = queue.node(me);
            E::spin_until(|| node.is_at_front(), Budget::FOREVER);
        }
        loop {
            let to_shuffle = || find::<E>(queue, me).is_some();
            E::spin_until(|| self.lock.is_free() || to_shuffle(), Budget::FOREVER);
            if self.lock.try_lock() {
                break;
            }
            shuffle::<E>(queue, me);
        }
        shuffle::<E>(queue, me);
        queue.hand_on::<E>(me);
    }
}

impl<E: Env> Lock<E> for Shuffling<E> {
    type Token = ();

    fn new(cpus: usize) -> Self {
        Self {
            lock: UnfairQueued::new(cpus),
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) {
        if !self.lock.try_lock() {
            self.lock_contended();
        }
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        // SAFETY: the caller holds this lock, which is that one.
        unsafe { self.lock.unlock(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::{Asleep, put_to_sleep};

    fn cpu(index: usize) -> Cpu {
        Cpu::new(index).expect("in range")
    }

    /// The order of the queue after shuffling with these CPUs asleep.
    fn shuffled(waiters: usize, asleep: &[usize]) -> [Option<usize>; 5] {
        let queue = Queue::new(waiters + 1);
        for index in 0..=waiters {
            queue.join::<Asleep>(cpu(index));
        }
        put_to_sleep(asleep);
        shuffle::<Asleep>(&queue, cpu(0));
        let mut order = [None; 5];
        let mut at = cpu(0);
        for place in &mut order {
            *place = queue.hand_on::<Asleep>(at).map(Cpu::index);
            match *place {
                Some(next) => at = cpu(next),
                None => break,
            }
        }
        assert!(queue.is_empty(), "the last one is the tail");
        order
    }

    #[test]
    fn the_first_that_runs_is_brought_forward_and_nobody_is_lost() {
        let order = [Some(3), Some(1), Some(2), Some(4), None];
        assert_eq!(shuffled(4, &[1, 2]), order);
    }

    #[test]
    fn the_last_one_can_be_brought_forward() {
        assert_eq!(
            shuffled(3, &[1, 2]),
            [Some(3), Some(1), Some(2), None, None]
        );
        assert_eq!(shuffled(2, &[1]), [Some(2), Some(1), None, None, None]);
    }

    #[test]
    fn order_stays_where_the_next_one_runs_or_nobody_does() {
        let order = [Some(1), Some(2), Some(3), None, None];
        assert_eq!(shuffled(3, &[2]), order);
        assert_eq!(shuffled(3, &[1, 2, 3]), order);
    }
}
