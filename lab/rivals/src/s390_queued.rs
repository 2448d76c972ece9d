//! A queued spinlock as Linux has it on s390: at most three thieves pass a waiting head.
//!
//! ```text
//!                free, and fewer than 3 stolen: steals + 1
//!   newcomer ──────────────────────────────────────────────► held
//!      └──► middle ──hand-over──► head ──free: steals = 0──► held
//!
//!   a waiter, while its target is preempted: YIELD_TO(the owner; without an owner the head)
//!
//!    31     18 17    16 15  14 13     0
//!   +---------+--------+------+--------+
//!   |    0    | steals |  0   | owner  |
//!   +---------+--------+------+--------+
//! ```
//!
//! Written from descriptions of Linux's `arch/s390/lib/spinlock.c` in its queued form (Martin
//! Schwidefsky, 2017). The bound on overtaking is in the word: it holds whether the head runs or
//! not, which is its strength and, under overcommit, its weakness. Waiters are linked both ways, so
//! that a middle waiter finds the head of a free lock. The target of `diag 9c` is
//! asked for only if it is not running. Linux uses this form on *dedicated* CPUs alone; its classic
//! form, for shared ones, is `unfair-hinted`.
//!
//! Against the original:
//! - Owners have 14 bits instead of 16, and the tail is a word of its own instead of the upper 12
//!   bits, which limit s390 to 4,095 CPUs. The steps are the same.
//! - Middle waiters look for a target when they come and then every [`CHECK_NS`], as the original
//!   does every 1,000 rounds; but they read the word anew instead of what they saw when they came.
//! - The head looks at its owner in every round, and yields only if it is preempted. On a
//!   hypervisor of another kind than its own (as KVM) the original yields blindly every 1,000
//!   rounds.
//! - A hint carries a generation, and after a call that ran no vCPU there is a pause of 15 µs.
//!
//! Published: no figures in the commit; that it is *not* used on shared CPUs is the verdict. So it
//! has to fall behind `unfair-hinted` under overcommit, and be the fairer one.

use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use pvqspin::{Budget, Cpu, Env, Point};

use crate::Lock;
use crate::lend::{is_preempted, lend_to};
use crate::queue::Queue;

/// How often a middle waiter looks for a vCPU to lend its pCPU to, in ns: 1,000 rounds.
pub const CHECK_NS: u32 = 5_000;

/// How often a lock may be stolen from one head.
pub const MOST_STEALS: u32 = 3;

const OWNER: u32 = 0x3fff;
const STEALS_SHIFT: u32 = 16;

fn owner_of(word: u32) -> Option<Cpu> {
    Cpu::from_plus_one(word & OWNER)
}

const fn steals_of(word: u32) -> u32 {
    word >> STEALS_SHIFT
}

/// The s390-like queued lock.
#[derive(Debug)]
pub struct S390Queued<E> {
    word: AtomicU32,
    queue: Queue,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env> S390Queued<E> {
    #[inline]
    fn take(&self, seen: u32, me: Cpu, steals: u32) -> bool {
        let held = me.plus_one() | steals << STEALS_SHIFT;
        // Acquire pairs with the release in `unlock`.
        self.word
            .compare_exchange(seen, held, Acquire, Relaxed)
            .is_ok()
    }

    #[cold]
    fn lock_contended(&self, me: Cpu) {
        E::checkpoint(Point::Joining);
        // For unfair locks a wait counts from the first failed attempt: it may end by stealing.
        E::checkpoint(Point::Joined);
        if !self.steal(me) {
            self.queue_up(me);
        }
        E::checkpoint(Point::Taken);
    }

    /// Takes a lock that is free, if those who wait may still be passed.
    fn steal(&self, me: Cpu) -> bool {
        loop {
            let seen = self.word.load(Relaxed);
            if owner_of(seen).is_some() || steals_of(seen) >= MOST_STEALS {
                return false;
            }
            let passes_somebody = !self.queue.is_empty();
            let steals = steals_of(seen) + u32::from(passes_somebody);
            if self.take(seen, me, steals) {
                return true;
            }
        }
    }

    fn queue_up(&self, me: Cpu) {
        if self.queue.join::<E>(me).is_some() {
            self.wait_in_queue(me);
        }
        self.wait_as_head(me);
        self.queue.hand_on::<E>(me);
    }

    fn wait_in_queue(&self, me: Cpu) {
        let node = self.queue.node(me);
        loop {
            if let Some(target) = self.target(me) {
                let out_of_the_way = || node.is_at_front() || self.target(me) != Some(target);
                lend_to::<E>(target, out_of_the_way);
            }
            if E::spin_until(|| node.is_at_front(), Budget::ns(CHECK_NS)) {
                return;
            }
        }
    }

    /// The vCPU that all wait for: the owner, or the head of the queue if there is none.
    fn target(&self, me: Cpu) -> Option<Cpu> {
        owner_of(self.word.load(Relaxed)).or_else(|| self.head(me))
    }

    /// Who is at the front, as far as the links say. They may change while we walk: bounded.
    fn head(&self, me: Cpu) -> Option<Cpu> {
        let mut at = self.queue.before(me)?;
        for _ in 0..self.queue.cpus() {
            match self.queue.before(at) {
                Some(before) => at = before,
                None => break,
            }
        }
        (at != me).then_some(at)
    }

    fn wait_as_head(&self, me: Cpu) {
        loop {
            let seen = self.word.load(Relaxed);
            match owner_of(seen) {
                None if self.take(seen, me, 0) => return,
                None => {}
                Some(owner) => {
                    let moved = || owner_of(self.word.load(Relaxed)) != Some(owner);
                    E::spin_until(|| moved() || is_preempted::<E>(owner), Budget::FOREVER);
                    lend_to::<E>(owner, moved);
                }
            }
        }
    }
}

impl<E: Env> Lock<E> for S390Queued<E> {
    type Token = ();

    fn new(cpus: usize) -> Self {
        Self {
            word: AtomicU32::new(0),
            queue: Queue::new(cpus),
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) {
        let me = E::cpu();
        // The original compares the whole word with 0: free, no waiters.
        if !self.queue.is_empty() || !self.take(0, me, 0) {
            self.lock_contended(me);
        }
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        // A store of half a word in the original: the count of steals survives.
        self.word.fetch_and(!OWNER, Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::Alone;

    fn cpu(index: usize) -> Cpu {
        Cpu::new(index).expect("in range")
    }

    fn release(lock: &S390Queued<Alone>) {
        // SAFETY: the test has just taken it.
        unsafe { lock.unlock(()) }
    }

    #[test]
    fn three_thieves_pass_a_head_and_no_fourth() {
        let lock = S390Queued::<Alone>::new(3);
        for _ in 0..2 {
            assert!(lock.take(0, cpu(2), 0));
            assert_eq!(lock.queue.join::<Alone>(cpu(1)), None, "it is the head");
            for thief in 1..=MOST_STEALS {
                assert!(!lock.steal(cpu(0)), "held");
                release(&lock);
                assert!(lock.steal(cpu(0)), "thief {thief}");
                assert_eq!(steals_of(lock.word.load(Relaxed)), thief);
            }
            release(&lock);
            assert!(!lock.steal(cpu(0)), "free, and closed");
            // The head takes it, and those who come then may be passed three times again.
            lock.wait_as_head(cpu(1));
            assert_eq!(lock.word.load(Relaxed), cpu(1).plus_one());
            assert_eq!(lock.queue.hand_on::<Alone>(cpu(1)), None);
            release(&lock);
        }
    }

    #[test]
    fn without_a_queue_nothing_is_stolen() {
        let lock = S390Queued::<Alone>::new(1);
        for _ in 0..2 * MOST_STEALS {
            assert!(lock.steal(cpu(0)));
            assert_eq!(steals_of(lock.word.load(Relaxed)), 0);
            release(&lock);
        }
    }

    #[test]
    fn the_one_that_all_wait_for_is_the_owner_or_else_the_head() {
        let lock = S390Queued::<Alone>::new(4);
        assert!(lock.take(0, cpu(0), 0));
        for waiter in 1..4 {
            lock.queue.join::<Alone>(cpu(waiter));
        }
        assert_eq!(lock.target(cpu(3)), Some(cpu(0)));
        release(&lock);
        assert_eq!(lock.target(cpu(3)), Some(cpu(1)));
        lock.queue.hand_on::<Alone>(cpu(1));
        assert_eq!(lock.target(cpu(3)), Some(cpu(2)));
        assert_eq!(lock.target(cpu(2)), None, "it is the head itself");
    }
}
