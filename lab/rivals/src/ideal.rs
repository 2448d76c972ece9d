//! The ideal lock: the bound in flesh, for environments that know everything and charge nothing.
//!
//! ```text
//!   release:  waiters run on pCPUs?  the oldest of them takes it, in no time
//!             every waiter is off its pCPU?  the host runs the oldest of them, in no time
//!   waiter:   the holder is preempted, and works?  it has this pCPU, in no time
//!             another vCPU that works is preempted?  it has this pCPU
//! ```
//!
//! A vCPU works unless it waits, for whatever lock: two waiters for two locks would else give their
//! pCPUs to each other for ever.
//!
//! No such lock can exist. It needs an [`Oracle`]: an environment in which a look at a vCPU is never
//! out of date and a call takes no time and is always heard. Only the simulator is one. What is
//! left to lose then is what no lock and no host can mend: that there are too few pCPUs, or that
//! sections happen to come at the same time. So no other lock may have more throughput in the same
//! simulation; how near one comes is what it is worth.
//!
//! It bounds *throughput*. A waiter that is preempted is passed by running ones, so its
//! longest wait is no bound for others.

use core::marker::PhantomData;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};

use pvqspin::{Budget, Cpu, Env, Hint, Point, RunState, Status};

use crate::Lock;
use crate::lend::is_preempted;
use crate::per_cpu::PerCpu;

/// An environment that knows everything and charges nothing: [`Env::run_sample`] is exact at the
/// instant of the look, a store is seen at once, and [`Env::yield_to`] runs its target at once and
/// costs nothing. Anything else may implement it too; then the lock still excludes, and bounds
/// nothing.
pub trait Oracle: Env {
    /// Whether that CPU of the caller's VM waits, on its pCPU or off it: it is in
    /// [`Env::spin_until`] or in [`lend`](Self::lend).
    fn waits(cpu: Cpu) -> bool;

    /// [`Env::yield_to`] of a CPU that waits.
    fn lend(hint: Hint) -> Status;
}

/// How long to wait before asking again after a call that was not heard, in ns. Time has to pass,
/// or a host that refuses would be asked for ever at one instant.
const RETRY_NS: u32 = 10_000;

/// The ideal lock.
#[derive(Debug)]
pub struct Ideal<E> {
    /// The owner as `cpu + 1`, or 0.
    word: AtomicU32,
    /// How many have waited so far.
    tickets: AtomicU64,
    /// How many wait.
    waiting: AtomicU32,
    /// Since when each CPU waits, as a ticket; 0: it does not.
    since: PerCpu<AtomicU64>,
    environment: PhantomData<fn() -> E>,
}

impl<E: Oracle> Ideal<E> {
    fn try_lock(&self, me: Cpu) -> bool {
        // Acquire pairs with the release in `unlock`.
        self.word
            .compare_exchange(0, me.plus_one(), Acquire, Relaxed)
            .is_ok()
    }

    fn owner(&self) -> Option<Cpu> {
        Cpu::from_plus_one(self.word.load(Relaxed))
    }

    /// The one that has waited longest, among those who wait and satisfy the condition.
    fn oldest(&self, which: impl Fn(Cpu) -> bool) -> Option<Cpu> {
        let waiters = self.since.iter().filter_map(|(cpu, since)| {
            let since = since.load(Relaxed);
            cpu.filter(|&cpu| since != 0 && which(cpu))
                .map(|cpu| (since, cpu))
        });
        waiters.min().map(|(_, cpu)| cpu)
    }

    fn oldest_present(&self) -> Option<Cpu> {
        self.oldest(|cpu| E::run_sample(cpu).state() == RunState::Running)
    }

    fn is_my_turn(&self, me: Cpu) -> bool {
        self.owner().is_none() && self.oldest_present() == Some(me)
    }

    /// The preempted CPU that has a better use for a waiter's pCPU: the holder, or any that works.
    fn better_use(&self, me: Cpu) -> Option<Cpu> {
        let owner = self.owner()?;
        let could_work = |cpu: Cpu| is_preempted::<E>(cpu) && !E::waits(cpu);
        if could_work(owner) {
            return Some(owner);
        }
        // In turn, or the same few would have all pCPUs.
        let cpus = self.since.len();
        (1..cpus)
            .filter_map(|distance| Cpu::new((me.index() + distance) % cpus))
            .find(|&cpu| could_work(cpu))
    }

    /// A hint that is exact.
    fn hint(cpu: Cpu) -> Hint {
        let generation = E::run_sample(cpu).generation();
        Hint { cpu, generation }
    }

    #[cold]
    fn lock_contended(&self, me: Cpu) {
        E::checkpoint(Point::Joined);
        let ticket = self.tickets.fetch_add(1, Relaxed) + 1;
        self.since.of(me).store(ticket, Relaxed);
        self.waiting.fetch_add(1, Relaxed);
        while !(self.is_my_turn(me) && self.try_lock(me)) {
            let better_use = self.better_use(me);
            let heard = better_use.is_none_or(|cpu| E::lend(Self::hint(cpu)) == Status::Ran);
            let patience = if heard {
                Budget::FOREVER
            } else {
                Budget::ns(RETRY_NS)
            };
            let news = || self.is_my_turn(me) || (heard && self.better_use(me).is_some());
            E::spin_until(news, patience);
        }
        self.since.of(me).store(0, Relaxed);
        self.waiting.fetch_sub(1, Relaxed);
        E::checkpoint(Point::Taken);
    }
}

impl<E: Oracle> Lock<E> for Ideal<E> {
    type Token = ();

    fn new(cpus: usize) -> Self {
        Self {
            word: AtomicU32::new(0),
            tickets: AtomicU64::new(0),
            waiting: AtomicU32::new(0),
            since: PerCpu::new(cpus),
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) {
        let me = E::cpu();
        if self.waiting.load(Relaxed) != 0 || !self.try_lock(me) {
            self.lock_contended(me);
        }
    }

    #[inline]
    unsafe fn unlock(&self, (): ()) {
        self.word.store(0, Release);
        if self.waiting.load(Relaxed) != 0
            && self.oldest_present().is_none()
            && let Some(absent) = self.oldest(is_preempted::<E>)
        {
            // Not heard, it waits for its turn.
            let _ = E::yield_to(Self::hint(absent));
        }
    }
}
