//! The Malthusian lock: an MCS queue that puts aside the waiters that it does not need.
//!
//! ```text
//!   holder ──next──► waiter ──next──► waiter ──next──► ...          the queue: FIFO
//!                      │ more than one waits: cull it on release
//!                      ▼
//!                   newest ◄──► ... ◄──► eldest                     passive: they sleep
//!        queue empty: ▲                    ▲ every 1,000th release: the eldest
//! ```
//!
//! Dave Dice, "Malthusian Locks" (EuroSys 2017), in its form MCSCR with waiters that spin and then
//! park. The lock needs its holder, one waiter that is ready, and those that are at work outside;
//! all others only compete for processors. So a release that finds two waiters moves the
//! first to the passive list and hands the lock to the second. When the queue runs dry, the
//! newest of the passive ones comes back; and for long-term fairness, now and then, the eldest.
//!
//! Parking is a halt without a hint and a kick by the releaser: nothing in the original knows what
//! to name. Culling is itself a remedy for overcommit: sleepers leave the pCPUs to the others.
//!
//! Against the original:
//! - The eldest comes back at every [`PROMOTE_EVERY`]th release instead of at random with that
//!   probability, and also when none has for [`PROMOTE_AFTER_NS`]: under long sections a thousand
//!   releases are seconds, in which no waiter may sleep.
//! - Waiters spin for [`SPIN_NS`] before they park, the original about as long as a switch there
//!   and back takes.
//!
//! Published: long-term unfairness (Dice's factor: the share of the busier half; 0.5 is fair) of
//! 0.90 without oversubscription (FlexGuard, SOSP 2025, section 5), in exchange for throughput that
//! does not fall when threads are many.
//!
//! # Why no wake-up is lost
//!
//! A waiter says that it parks, then looks whether it is at the front; a releaser puts it at the
//! front, then looks whether it has parked. With a full fence between the two on both sides at
//! least one sees the other, and a kick that comes before the halt ends it.

use core::marker::PhantomData;
use core::sync::atomic::Ordering::{Relaxed, SeqCst};
use core::sync::atomic::{AtomicU32, AtomicU64, fence};

use pvqspin::{Budget, Cpu, Env, Point, Sleep};

use crate::Lock;
use crate::per_cpu::PerCpu;
use crate::queue::{Node, Queue};

/// How long a waiter spins before it parks, in ns.
pub const SPIN_NS: u32 = 10_000;

/// Every so many releases the eldest passive waiter comes back.
pub const PROMOTE_EVERY: u32 = 1_000;

/// After so long without that, it comes back all the same, in ns.
pub const PROMOTE_AFTER_NS: u64 = 10_000_000;

/// The state of a node whose owner is parked, or about to.
const PARKED: u32 = 1;

/// The Malthusian lock.
#[derive(Debug)]
pub struct Malthusian<E> {
    queue: Queue,
    passive: Passive,
    /// How often it was released. Only the holder counts.
    releases: AtomicU32,
    /// When an eldest came back last. Only the holder writes it.
    promoted_ns: AtomicU64,
    environment: PhantomData<fn() -> E>,
}

/// Those put aside, in the order in which they were. Only the holder reads and edits it: every
/// access is relaxed, and what one holder wrote the next one sees through the lock.
#[derive(Debug)]
struct Passive {
    newest: AtomicU32,
    eldest: AtomicU32,
    links: PerCpu<Links>,
}

#[derive(Debug, Default)]
struct Links {
    newer: AtomicU32,
    older: AtomicU32,
}

impl Passive {
    fn new(cpus: usize) -> Self {
        Self {
            newest: AtomicU32::new(0),
            eldest: AtomicU32::new(0),
            links: PerCpu::new(cpus),
        }
    }

    fn push(&self, cpu: Cpu) {
        let links = self.links.of(cpu);
        let older = self.newest.load(Relaxed);
        links.older.store(older, Relaxed);
        links.newer.store(0, Relaxed);
        self.newest.store(cpu.plus_one(), Relaxed);
        match Cpu::from_plus_one(older) {
            Some(older) => self.links.of(older).newer.store(cpu.plus_one(), Relaxed),
            None => self.eldest.store(cpu.plus_one(), Relaxed),
        }
    }

    fn newest(&self) -> Option<Cpu> {
        Cpu::from_plus_one(self.newest.load(Relaxed))
    }

    fn eldest(&self) -> Option<Cpu> {
        Cpu::from_plus_one(self.eldest.load(Relaxed))
    }

    fn remove(&self, cpu: Cpu) {
        let links = self.links.of(cpu);
        let (newer, older) = (links.newer.load(Relaxed), links.older.load(Relaxed));
        match Cpu::from_plus_one(newer) {
            Some(newer) => self.links.of(newer).older.store(older, Relaxed),
            None => self.newest.store(older, Relaxed),
        }
        match Cpu::from_plus_one(older) {
            Some(older) => self.links.of(older).newer.store(newer, Relaxed),
            None => self.eldest.store(newer, Relaxed),
        }
    }
}

impl<E: Env> Malthusian<E> {
    #[cold]
    fn wait(&self, node: &Node) {
        while !E::spin_until(|| node.is_at_front(), Budget::ns(SPIN_NS)) {
            node.state.store(PARKED, Relaxed);
            // Pairs with the fence in `grant`.
            fence(SeqCst);
            if !node.is_at_front() {
                E::checkpoint(Point::Halting);
                Sleep::halt::<E>(None);
            }
            node.state.store(0, Relaxed);
        }
        E::checkpoint(Point::Taken);
    }

    /// Hands the lock to a waiter.
    fn grant(&self, to: Cpu) {
        self.queue.promote(to);
        // Pairs with the fence in `wait`: it sees that it is at the front, or we see it parked.
        // (It may be in its next wait by now. Then the kick ends a halt for nothing.)
        fence(SeqCst);
        if self.queue.node(to).state.load(Relaxed) == PARKED {
            Sleep::kick::<E>(to);
        }
    }

    /// Takes the eldest passive one into the queue, right behind the holder, if it is time to.
    fn promoted_eldest(&self, me: Cpu) -> Option<Cpu> {
        let releases = self.releases.load(Relaxed).wrapping_add(1);
        self.releases.store(releases, Relaxed);
        let eldest = self.passive.eldest()?;
        let now = E::now_ns();
        let since = now.saturating_sub(self.promoted_ns.load(Relaxed));
        if !releases.is_multiple_of(PROMOTE_EVERY) && since < PROMOTE_AFTER_NS {
            return None;
        }
        self.promoted_ns.store(now, Relaxed);
        self.passive.remove(eldest);
        self.queue.set_next(eldest, None);
        if self.queue.next(me).is_some() || !self.queue.swap_tail(me, Some(eldest)) {
            let behind_us = self.queue.successor::<E>(me);
            self.queue.set_next(eldest, behind_us);
        }
        Some(eldest)
    }

    /// The newest passive waiter, if the queue is empty.
    fn recalled_newest(&self, me: Cpu) -> Option<Cpu> {
        if self.queue.next(me).is_some() {
            return None;
        }
        let newest = self.passive.newest()?;
        self.queue.set_next(newest, None);
        // If that fails, a waiter is about to link itself behind this one: no need for the newest.
        let recalled = self.queue.swap_tail(me, Some(newest));
        recalled.then(|| {
            self.passive.remove(newest);
            newest
        })
    }

    /// The next in the queue; or the one behind it, and the next becomes passive.
    fn next_after_culling(&self, me: Cpu) -> Option<Cpu> {
        let next = self.queue.successor::<E>(me)?;
        let Some(behind) = self.queue.next(next) else {
            return Some(next);
        };
        self.passive.push(next);
        Some(behind)
    }
}

impl<E: Env> Lock<E> for Malthusian<E> {
    /// Whose node it is.
    type Token = Cpu;

    fn new(cpus: usize) -> Self {
        Self {
            queue: Queue::new(cpus),
            passive: Passive::new(cpus),
            releases: AtomicU32::new(0),
            promoted_ns: AtomicU64::new(0),
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) -> Cpu {
        let me = E::cpu();
        if self.queue.join_in_order::<E>(me).is_some() {
            self.wait(self.queue.node(me));
        }
        me
    }

    unsafe fn unlock(&self, me: Cpu) {
        let next = (self.promoted_eldest(me))
            .or_else(|| self.recalled_newest(me))
            .or_else(|| self.next_after_culling(me));
        if let Some(next) = next {
            E::checkpoint(Point::Released);
            self.grant(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::Alone;

    fn cpu(index: usize) -> Cpu {
        Cpu::new(index).expect("in range")
    }

    /// CPU 0 holds the lock; so many others wait, in order.
    fn crowded(waiters: usize) -> Malthusian<Alone> {
        let lock = Malthusian::new(waiters + 1);
        for index in 0..=waiters {
            lock.queue.join::<Alone>(cpu(index));
        }
        lock
    }

    /// The holder releases. Returns who is at the front then.
    fn release(lock: &Malthusian<Alone>, holder: usize, cpus: usize) -> Option<usize> {
        // SAFETY: the test lets only the one at the front do this.
        unsafe { lock.unlock(cpu(holder)) };
        let at_front = |index: usize| lock.queue.node(cpu(index)).is_at_front();
        (0..cpus).find(|&index| index != holder && at_front(index))
    }

    #[test]
    fn a_surplus_waiter_is_put_aside_and_comes_back_when_the_queue_runs_dry() {
        let lock = crowded(3);
        assert_eq!(release(&lock, 0, 4), Some(2), "1 is put aside");
        assert_eq!(lock.passive.newest(), Some(cpu(1)));
        let lone = |lock: &Malthusian<Alone>| lock.queue.next(cpu(2)) == Some(cpu(3));
        assert!(lone(&lock), "one waiter is no surplus");
        // SAFETY: 2 is the holder.
        unsafe { lock.unlock(cpu(2)) };
        assert!(lock.queue.node(cpu(3)).is_at_front());
        // SAFETY: 3 is the holder.
        unsafe { lock.unlock(cpu(3)) };
        assert!(lock.queue.node(cpu(1)).is_at_front());
        assert_eq!(lock.passive.newest(), None);
        // SAFETY: 1 is the holder.
        unsafe { lock.unlock(cpu(1)) };
        assert!(lock.queue.is_empty());
    }

    #[test]
    fn the_newest_comes_back_first_and_the_eldest_when_it_is_time() {
        let lock = crowded(4);
        for holder in [0, 2] {
            // 1 and then 3 are put aside; 2 and then 4 get the lock.
            assert_eq!(lock.next_after_culling(cpu(holder)), Some(cpu(holder + 2)));
        }
        assert_eq!(lock.passive.newest(), Some(cpu(3)));
        lock.releases.store(PROMOTE_EVERY - 1, Relaxed);
        assert_eq!(lock.promoted_eldest(cpu(4)), Some(cpu(1)));
        assert_eq!(lock.promoted_eldest(cpu(1)), None, "not each time");
        assert_eq!(lock.recalled_newest(cpu(1)), Some(cpu(3)));
        assert_eq!(lock.passive.eldest(), None);
        assert_eq!(lock.queue.successor::<Alone>(cpu(3)), None);
    }

    #[test]
    fn the_eldest_goes_before_those_who_wait() {
        let lock = crowded(4);
        assert_eq!(lock.next_after_culling(cpu(0)), Some(cpu(2)));
        lock.releases.store(PROMOTE_EVERY - 1, Relaxed);
        assert_eq!(lock.promoted_eldest(cpu(2)), Some(cpu(1)));
        assert_eq!(lock.queue.next(cpu(1)), Some(cpu(3)), "no waiter is lost");
    }
}
