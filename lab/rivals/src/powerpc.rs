//! A queued spinlock as Linux has it on Power: the owner in the word, and a queue that knows it.
//!
//! ```text
//!                 free: take it                    owner preempted: YIELD_TO(owner), SLEEPY
//!   newcomer ───────────────────────────► held     ┌──────────────┐
//!      │ must-queue, or patience gone     ▲        ▼              │
//!      ▼                          free    │    ┌─► head ──────────┤ patience gone: must-queue
//!   middle ──hand-over──► head ───────────┘    │                  │
//!      │                                       └──────────────────┘ tells the next one the owner
//!      ├─ told of an owner, which is still preempted: tells the next one, YIELD_TO(owner)
//!      └─ else the one before it is preempted:   YIELD_TO(the one before)
//!
//!    31     17      16       15       14    1      0
//!   +---------+------------+--------+--------+--------+
//!   |    0    | must-queue | sleepy | owner  | locked |
//!   +---------+------------+--------+--------+--------+
//! ```
//!
//! Written from descriptions of Linux's `arch/powerpc/lib/qspinlock.c` (Nicholas Piggin, merged in
//! December 2022), with its defaults: `pv_yield_owner`, `pv_yield_prev`, `pv_yield_propagate_owner`
//! and `pv_sleepy_lock` on; `pv_yield_allow_steal`, `pv_spin_on_preempted_owner` and `pv_prod_head`
//! off. `H_CONFER` names a target and the count of its runs that the caller saw, as our `YIELD_TO`
//! does. No waiter halts. Middle waiters do not poll the word: the owner's number is passed down
//! the queue from node to node, and only while it is preempted. Before a waiter yields to an owner
//! that it was told of, it makes sure that it still is one: without that, two waiters that each take
//! the other for in the way lend each other one pCPU without end, as a trace here showed.
//!
//! *Must-queue* closes the lock to newcomers; a head sets it that has waited for long. *Sleepy*
//! says that the owner or a waiter was seen preempted: it makes all patience [`SLEEPY_FACTOR`] times longer,
//! because queueing behind a preempted waiter is worse than unfairness.
//!
//! Against the original:
//! - The tail is a word of its own instead of the upper 15 bits. The steps are the same.
//! - Patience is a time instead of a number of rounds, at [`ROUND_NS`] each, and counts only what
//!   the waiter spins itself. In each look it also looks whether its target is preempted.
//! - All CPUs are near: `remote_steal_spins` (4) for owners on another node is not there.
//! - After a call that ran no vCPU it waits for news, for 15 µs at most, before it asks again.
//! - A new head opens the lock again, so that each has the same patience.
//!
//! Published: no figures in the commits. By its design it has to come close to the lock that only
//! names its owner, with a bound on overtaking while no vCPU sleeps.

use core::marker::PhantomData;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use pvqspin::{Budget, Cpu, Env, Point};

use crate::Lock;
use crate::lend::{is_preempted, lend_to};
use crate::queue::{Node, Queue};

/// One round of a waiting loop, in ns: a load of a line that is there, and a pause.
pub const ROUND_NS: u32 = 10;

/// How long a newcomer lies in wait: `steal_spins`, 32 rounds.
pub const STEAL_NS: u32 = 32 * ROUND_NS;

/// How long a head waits before it closes the lock: `head_spins`, 256 rounds.
pub const HEAD_NS: u32 = 256 * ROUND_NS;

/// By how much patience grows once a vCPU was seen preempted: `pv_sleepy_lock_factor`.
pub const SLEEPY_FACTOR: u32 = 256;

const LOCKED: u32 = 1;
const OWNER_SHIFT: u32 = 1;
const OWNER: u32 = 0x3fff << OWNER_SHIFT;
const SLEEPY: u32 = 1 << 15;
const MUST_QUEUE: u32 = 1 << 16;
/// What a release clears: the lower half.
const HELD: u32 = LOCKED | OWNER | SLEEPY;

const fn held_by(cpu: Cpu) -> u32 {
    LOCKED | (cpu.index() as u32) << OWNER_SHIFT
}

fn owner_of(word: u32) -> Option<Cpu> {
    let owner = (word & OWNER) >> OWNER_SHIFT;
    if word & LOCKED == 0 {
        None
    } else {
        Cpu::new(owner as usize)
    }
}

/// The Power-like queued lock.
#[derive(Debug)]
pub struct Powerpc<E> {
    word: AtomicU32,
    queue: Queue,
    environment: PhantomData<fn() -> E>,
}

/// How long a waiter goes on as it does.
struct Patience {
    rounds_ns: u32,
    spent_ns: u32,
    /// A vCPU was seen preempted in this wait.
    sleepy: bool,
}

impl Patience {
    const fn new(rounds_ns: u32) -> Self {
        Self {
            rounds_ns,
            spent_ns: 0,
            sleepy: false,
        }
    }

    fn left_ns(&self) -> u32 {
        let factor = if self.sleepy { SLEEPY_FACTOR } else { 1 };
        (self.rounds_ns * factor).saturating_sub(self.spent_ns)
    }

    fn spend(&mut self, ns: u32) {
        self.spent_ns = self.spent_ns.saturating_add(ns);
    }

    /// Waits until the condition holds or nothing is left.
    fn wait<E: Env>(&mut self, condition: impl FnMut() -> bool) {
        let left_ns = self.left_ns();
        let since = E::now_ns();
        let held = E::spin_until(condition, Budget::ns(left_ns));
        let passed = u32::try_from(E::now_ns().saturating_sub(since)).unwrap_or(u32::MAX);
        // Being preempted in between is no spinning of one's own.
        self.spend(if held { passed.min(left_ns) } else { left_ns });
    }
}

impl<E: Env> Powerpc<E> {
    #[inline]
    fn take(&self, seen: u32, me: Cpu) -> bool {
        // Acquire pairs with the release in `unlock`.
        self.word
            .compare_exchange(seen, held_by(me), Acquire, Relaxed)
            .is_ok()
    }

    #[inline]
    fn is_owned_by(&self, owner: Cpu) -> bool {
        owner_of(self.word.load(Relaxed)) == Some(owner)
    }

    #[inline]
    fn must_queue(&self) -> bool {
        self.word.load(Relaxed) & MUST_QUEUE != 0
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

    /// Tries to get past the queue, for a while, unless the head has closed the lock.
    fn steal(&self, me: Cpu) -> bool {
        let mut patience = Patience::new(STEAL_NS);
        loop {
            let seen = self.word.load(Relaxed);
            if seen & MUST_QUEUE != 0 {
                return false;
            }
            match owner_of(seen) {
                None if self.take(seen, me) => return true,
                None => patience.spend(ROUND_NS),
                Some(owner) => {
                    let moved = || !self.is_owned_by(owner) || self.must_queue();
                    self.wait_for_owner(owner, seen, Some(&mut patience), moved, || ());
                }
            }
            if patience.left_ns() == 0 {
                return false;
            }
        }
    }

    /// Waits until the lock has moved on, and lends its pCPU to a preempted owner. Without
    /// patience it waits for ever.
    fn wait_for_owner(
        &self,
        owner: Cpu,
        seen: u32,
        patience: Option<&mut Patience>,
        moved: impl Fn() -> bool,
        tell: impl FnOnce(),
    ) {
        let news = || moved() || is_preempted::<E>(owner);
        let mut unlimited = Patience::new(0);
        let patience = match patience {
            Some(patience) => {
                patience.sleepy |= seen & SLEEPY != 0;
                patience.wait::<E>(news);
                patience
            }
            None => {
                E::spin_until(news, Budget::FOREVER);
                &mut unlimited
            }
        };
        if !moved() && is_preempted::<E>(owner) {
            patience.sleepy = true;
            patience.spend(ROUND_NS);
            self.mark_sleepy();
            tell();
            Self::lend_for_a_round(owner, moved);
        }
    }

    /// Lends its pCPU once. Each call takes a round of its own time, or waiters that lend each other
    /// one pCPU in a circle, on a host that hears none of them, would do so without end where
    /// calls are free.
    fn lend_for_a_round(cpu: Cpu, moved: impl Fn() -> bool) {
        lend_to::<E>(cpu, &moved);
        E::spin_until(moved, Budget::ns(ROUND_NS));
    }

    /// Tells all that the owner or a waiter was seen preempted. The release takes it back.
    fn mark_sleepy(&self) {
        let seen = self.word.load(Relaxed);
        if seen & LOCKED != 0 && seen & SLEEPY == 0 {
            // Another vCPU may be faster, or the lock has moved on: no matter.
            let _ = (self.word).compare_exchange(seen, seen | SLEEPY, Relaxed, Relaxed);
        }
    }

    // --- the queue -------------------------------------------------------------------------------

    fn queue_up(&self, me: Cpu) {
        if let Some(before) = self.queue.join::<E>(me) {
            self.wait_in_queue(me, before);
        }
        self.wait_as_head(me);
        self.queue.hand_on::<E>(me);
    }

    /// What a node is told: the preempted owner as `cpu + 1`, or 0.
    fn told(node: &Node) -> u32 {
        node.state.load(Relaxed)
    }

    /// Whether the one behind `me` has not been told what `me` knows.
    fn next_to_tell(&self, me: Cpu, told: u32) -> Option<&Node> {
        let next = self.queue.node(self.queue.next(me)?);
        (Self::told(next) != told).then_some(next)
    }

    fn tell_next(&self, me: Cpu, told: u32) {
        if let Some(next) = self.next_to_tell(me, told) {
            // Relaxed: advice. A link is seen only after its node was made ready.
            next.state.store(told, Relaxed);
        }
    }

    /// The vCPU that a middle waiter lends its pCPU to: the owner that it was told of, else the one before.
    ///
    /// What it was told may be old, if one that should have passed on the news was preempted: so
    /// it looks at the word, which middle waiters do not do otherwise.
    fn whom_to_lend_to(&self, told: u32, before: Cpu) -> Option<Cpu> {
        let preempted = |cpu: &Cpu| is_preempted::<E>(*cpu);
        Cpu::from_plus_one(told)
            .filter(|owner| preempted(owner) && self.is_owned_by(*owner))
            .or_else(|| Some(before).filter(preempted))
    }

    fn wait_in_queue(&self, me: Cpu, before: Cpu) {
        let node = self.queue.node(me);
        while !node.is_at_front() {
            let told = Self::told(node);
            self.tell_next(me, told);
            let news = || node.is_at_front() || Self::told(node) != told;
            let target = || self.whom_to_lend_to(told, before);
            match target() {
                Some(cpu) => {
                    self.mark_sleepy();
                    Self::lend_for_a_round(cpu, news);
                }
                None => {
                    let to_tell = || self.next_to_tell(me, told).is_some();
                    let any = || news() || to_tell() || target().is_some();
                    E::spin_until(any, Budget::FOREVER);
                }
            }
        }
    }

    fn wait_as_head(&self, me: Cpu) {
        let mut patience = Patience::new(HEAD_NS);
        let mut closed = false;
        loop {
            let seen = self.word.load(Relaxed);
            let Some(owner) = owner_of(seen) else {
                if self.take(seen, me) {
                    return;
                }
                continue;
            };
            let moved = || !self.is_owned_by(owner);
            if !is_preempted::<E>(owner) {
                self.tell_next(me, 0);
            }
            let tell = || self.tell_next(me, owner.plus_one());
            let patience_left = (!closed).then_some(&mut patience);
            self.wait_for_owner(owner, seen, patience_left, moved, tell);
            if !closed && patience.left_ns() == 0 {
                // Relaxed: a thief that does not see it in time steals once more.
                self.word.fetch_or(MUST_QUEUE, Relaxed);
                closed = true;
            }
        }
    }
}

impl<E: Env> Lock<E> for Powerpc<E> {
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
        // The original compares the whole word with 0: free, open, no queue.
        if !self.queue.is_empty() || !self.take(0, me) {
            self.lock_contended(me);
        }
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        // A store of half a word in the original: must-queue survives.
        self.word.fetch_and(!HELD, Release);
    }
}

#[cfg(test)]
#[path = "powerpc_tests.rs"]
mod tests;
