//! The time-published MCS lock: waiters say that they are alive, and the dead are passed over.
//!
//! ```text
//!   waiter:    publish the time ──► look ──► publish ──► look ──► ...
//!                                    │ at the front: held
//!                                    │ SKIPPED: join again, at the end
//!   unlock:    next one published lately? it has the lock
//!              if not: look at the one behind it, then mark it SKIPPED, and so on
//!              none left: the lock is free
//! ```
//!
//! Bijun He, William Scherer and Michael Scott, "Preemption Adaptivity in Time-Published
//! Queue-Based Spin Locks" (HiPC 2005), for threads whose scheduler tells them nothing: a waiter
//! whose time stamp is old is *guessed* to be preempted. It makes no hypercalls.
//!
//! Against the original:
//! - No timeouts: waiters do not give up by themselves, so nodes need no states for that.
//! - The original's waiters yield their processor, undirected, when one holder has
//!   been inside for longer than any section should last. There is no such call here: a yield
//!   names its target, and this lock does not know the holder.
//! - Waiters publish every [`PUBLISH_NS`] instead of in every round, because a wait in virtual
//!   time costs an event for each look; [`STALE_NS`] allows for that.
//!
//! A skipped waiter may join again only when its link is not needed any more, so it is marked after
//! its successor is known. A releaser that finds a newcomer between its swap and its link has to
//! wait for it, here as in the original.
//!
//! Published: the abstract claims that it makes queue locks usable on an oversubscribed machine
//! (32 processors) for the first time; it states no figure. So here: far above `mcs`, and below
//! locks that can help a preempted holder.

use core::marker::PhantomData;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use pvqspin::{Budget, Cpu, Env, Point};

use crate::Lock;
use crate::per_cpu::PerCpu;
use crate::queue::Queue;

/// How often a waiter publishes the time, in ns of its own time.
pub const PUBLISH_NS: u32 = 500;

/// How old a time stamp may be, in ns, before its waiter counts as preempted.
pub const STALE_NS: u64 = 1_500;

/// The state of a node whose waiter was passed over, and is out of the queue.
const SKIPPED: u32 = 1;

/// The time-published MCS lock.
#[derive(Debug)]
pub struct McsTp<E> {
    queue: Queue,
    published_ns: PerCpu<AtomicU64>,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env> McsTp<E> {
    #[inline]
    fn publish_time(&self, me: Cpu) {
        // Relaxed: a guess is made from it, nothing more.
        self.published_ns.of(me).store(E::now_ns(), Relaxed);
    }

    fn is_stale(&self, cpu: Cpu) -> bool {
        let published = self.published_ns.of(cpu).load(Relaxed);
        E::now_ns().saturating_sub(published) > STALE_NS
    }

    #[cold]
    fn wait(&self, me: Cpu) {
        while !self.is_granted(me) {
            // Passed over while away.
            self.publish_time(me);
            if self.queue.join::<E>(me).is_none() {
                break;
            }
        }
        E::checkpoint(Point::Taken);
    }

    /// Waits in the queue. False: it was passed over, and is in the queue no longer.
    fn is_granted(&self, me: Cpu) -> bool {
        let node = self.queue.node(me);
        // Acquire pairs with the release in `unlock`: the node is ours again.
        let skipped = || node.state.load(Acquire) == SKIPPED;
        let decided = || node.is_at_front() || skipped();
        while !E::spin_until(decided, Budget::ns(PUBLISH_NS)) {
            self.publish_time(me);
        }
        !skipped()
    }
}

impl<E: Env> Lock<E> for McsTp<E> {
    /// Whose node it is.
    type Token = Cpu;

    fn new(cpus: usize) -> Self {
        Self {
            queue: Queue::new(cpus),
            published_ns: PerCpu::new(cpus),
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) -> Cpu {
        let me = E::cpu();
        self.publish_time(me);
        if self.queue.join_in_order::<E>(me).is_some() {
            self.wait(me);
        }
        me
    }

    unsafe fn unlock(&self, me: Cpu) {
        let mut gone = None;
        let mut next = self.queue.successor::<E>(me);
        loop {
            if let Some(gone) = gone {
                // Its link was read, or it was last: it may go. Release pairs with the acquire in
                // `is_granted`.
                self.queue.node(gone).state.store(SKIPPED, Release);
            }
            match next {
                Some(waiter) if self.is_stale(waiter) => {
                    gone = Some(waiter);
                    next = self.queue.successor::<E>(waiter);
                }
                Some(waiter) => return self.queue.promote(waiter),
                None => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::{Asleep, set_clock};

    fn cpu(index: usize) -> Cpu {
        Cpu::new(index).expect("in range")
    }

    /// CPU 0 releases to three waiters, of which these published lately. Returns who was skipped,
    /// and who has the lock.
    fn release(alive: &[usize]) -> ([bool; 3], Option<usize>) {
        let lock = McsTp::<Asleep>::new(4);
        for index in 0..4 {
            lock.queue.join::<Asleep>(cpu(index));
        }
        set_clock(10_000);
        for &index in alive {
            lock.publish_time(cpu(index));
        }
        set_clock(10_000 + STALE_NS);
        // SAFETY: CPU 0 is at the front: the holder.
        unsafe { lock.unlock(cpu(0)) };
        let node = |index| lock.queue.node(cpu(index));
        let skipped = [1, 2, 3].map(|index| node(index).state.load(Relaxed) == SKIPPED);
        let front = (1..4).find(|&index| node(index).is_at_front());
        assert_eq!(lock.queue.is_empty(), front.is_none());
        (skipped, front)
    }

    #[test]
    fn the_first_that_published_lately_has_the_lock_and_those_before_it_are_skipped() {
        assert_eq!(release(&[1, 2, 3]), ([false; 3], Some(1)));
        assert_eq!(release(&[2]), ([true, false, false], Some(2)));
        assert_eq!(release(&[3]), ([true, true, false], Some(3)));
    }

    #[test]
    fn if_all_are_stale_the_lock_is_free() {
        assert_eq!(release(&[]), ([true; 3], None));
    }
}
