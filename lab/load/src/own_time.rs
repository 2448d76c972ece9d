//! A virtual CPU's own time: what passes while it is on a pCPU, for drivers in real time.
//!
//! ```text
//!   clock    ──────────────────────────────────────────────►  ticks
//!   on       ████████         ███████████████       ████
//!   off               ───────                ──────           stolen, told by its host
//!   own time ████████ ███████████████ ████                    clock - stolen
//! ```
//!
//! A spin budget is own time, and so is what was wasted. In [`OwnTime::spin_until`] and at the
//! checkpoints the timer interrupt of [`timer`](crate::timer) is taken.

use core::sync::atomic::{AtomicU64, Ordering, Ordering::Relaxed, compiler_fence};

use pvqspin::{Budget, Env, Point};

use crate::timer::Timer;

/// How often a waiter looks at the lock before it looks at the clock.
const LOOKS_PER_CLOCK: u32 = 4;

/// An environment on a counter that all CPUs read alike.
pub trait Ticks: Env {
    /// The counter.
    fn ticks() -> u64;
    /// A length in nanoseconds, in ticks.
    fn ns_to_ticks(ns: u64) -> u64;
}

/// The account of one virtual CPU.
///
/// Its host writes the first two while it is off; the rest is its own.
#[derive(Debug)]
#[repr(C)]
pub struct OwnTime {
    /// When it was put on a pCPU last, in ticks.
    pub entered_ticks: AtomicU64,
    /// How long it was off since it started, in ticks.
    pub stolen_ticks: AtomicU64,
    /// When it joined the queue that it is in, or was in last, on the clock of [`Env::now_ns`].
    pub joined_ns: AtomicU64,
    /// Its own time spent spinning while another vCPU had to wait for a pCPU, in ticks.
    pub wasted_ticks: AtomicU64,
    /// Interrupts it while it waits.
    pub timer: Timer,
}

impl OwnTime {
    /// The account of one that has not started.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            entered_ticks: AtomicU64::new(0),
            stolen_ticks: AtomicU64::new(0),
            joined_ns: AtomicU64::new(0),
            wasted_ticks: AtomicU64::new(0),
            timer: Timer::new(),
        }
    }

    /// Its own time, in ticks.
    ///
    /// A vCPU can be taken off between reading the clock and reading what was stolen, which would
    /// count a whole absence as its own; so it reads again what was stolen.
    #[inline]
    pub fn own_ticks<E: Ticks>(&self) -> u64 {
        loop {
            let before = self.stolen_ticks.load(Relaxed);
            compiler_fence(Ordering::SeqCst);
            let now = E::ticks();
            compiler_fence(Ordering::SeqCst);
            if self.stolen_ticks.load(Relaxed) == before {
                return now.wrapping_sub(before);
            }
        }
    }

    /// The body of [`Env::spin_until`].
    ///
    /// # Safety
    ///
    /// The caller is the virtual CPU that this account belongs to.
    #[inline]
    #[expect(unsafe_code, reason = "the timer's handler is on the stack of its CPU")]
    pub unsafe fn spin_until<E: Ticks>(
        &self,
        mut condition: impl FnMut() -> bool,
        budget: Budget,
    ) -> bool {
        if condition() {
            return true;
        }
        let mut spinner = Spinner::<E>::new(self, budget);
        loop {
            for _ in 0..LOOKS_PER_CLOCK {
                core::hint::spin_loop();
                if condition() {
                    spinner.account();
                    return true;
                }
            }
            // SAFETY: the caller's promise.
            unsafe { spinner.take_interrupt() };
            let now = spinner.account();
            if now.wrapping_sub(spinner.started) >= spinner.budget_ticks {
                return false;
            }
        }
    }

    /// The body of [`Env::spin_until`] for an environment that spins by itself, in `spin`: takes the
    /// timer's interrupt between its looks, and accounts for what was spun.
    ///
    /// # Safety
    ///
    /// As for [`spin_until`](Self::spin_until).
    #[inline]
    #[expect(unsafe_code, reason = "the timer's handler is on the stack of its CPU")]
    pub unsafe fn account_for<E: Ticks>(
        &self,
        mut condition: impl FnMut() -> bool,
        spin: impl FnOnce(&mut dyn FnMut() -> bool) -> bool,
    ) -> bool {
        if condition() {
            return true;
        }
        let mut spinner = Spinner::<E>::new(self, Budget::FOREVER);
        let held = spin(&mut || {
            // SAFETY: the caller's promise.
            unsafe { spinner.take_interrupt() };
            condition()
        });
        spinner.account();
        held
    }

    /// What every [`Env::checkpoint`] of such an environment has to do: stamp the joining.
    #[inline]
    pub fn stamp<E: Env>(&self, point: Point) {
        if point == Point::Joined {
            self.joined_ns.store(E::now_ns(), Relaxed);
        }
    }

    /// And, last of all, take the timer interrupt if it is due and may come. One load while no
    /// timer is set.
    ///
    /// # Safety
    ///
    /// As for [`spin_until`](Self::spin_until).
    #[inline]
    #[expect(unsafe_code, reason = "the timer's handler is on the stack of its CPU")]
    pub unsafe fn interrupt_at<E: Env>(&self, point: Point) {
        if Timer::may_come_at(point) {
            // SAFETY: the caller's promise.
            unsafe { self.interrupt_if_due::<E>() };
        }
    }

    /// # Safety
    ///
    /// As for [`spin_until`](Self::spin_until).
    #[inline]
    #[expect(unsafe_code, reason = "the timer's handler is on the stack of its CPU")]
    unsafe fn interrupt_if_due<E: Env>(&self) {
        if self.timer.is_set() {
            let joined_ns = self.joined_ns.load(Relaxed);
            // SAFETY: the caller's promise; nothing else sets this timer.
            unsafe { self.timer.fire_if_due::<E>() };
            // The handler may have waited too; this wait is older.
            self.joined_ns.store(joined_ns, Relaxed);
        }
    }
}

impl Default for OwnTime {
    fn default() -> Self {
        Self::new()
    }
}

struct Spinner<'a, E> {
    of: &'a OwnTime,
    budget_ticks: u64,
    started: u64,
    /// Up to when wasted time has been accounted for.
    accounted: u64,
    environment: core::marker::PhantomData<fn() -> E>,
}

impl<'a, E: Ticks> Spinner<'a, E> {
    #[inline]
    fn new(of: &'a OwnTime, budget: Budget) -> Self {
        let started = of.own_ticks::<E>();
        Self {
            of,
            budget_ticks: budget
                .get()
                .map_or(u64::MAX, |ns| E::ns_to_ticks(ns.into())),
            started,
            accounted: started,
            environment: core::marker::PhantomData,
        }
    }

    /// What a handler does in the middle of a spin is neither spinning nor part of the budget.
    ///
    /// # Safety
    ///
    /// As for [`OwnTime::spin_until`].
    #[inline]
    #[expect(unsafe_code, reason = "the timer's handler is on the stack of its CPU")]
    unsafe fn take_interrupt(&mut self) {
        if self.of.timer.is_set() {
            let before = self.account();
            // SAFETY: the caller's promise.
            unsafe { self.of.interrupt_if_due::<E>() };
            let handled = self.of.own_ticks::<E>().wrapping_sub(before);
            self.accounted = self.accounted.wrapping_add(handled);
            self.started = self.started.wrapping_add(handled);
        }
    }

    /// Adds the time since the last call to what was wasted, if another vCPU had to wait for a pCPU.
    #[inline]
    fn account(&mut self) -> u64 {
        let now = self.of.own_ticks::<E>();
        if E::pressure() {
            let wasted = self.of.wasted_ticks.load(Relaxed);
            let spun = now.wrapping_sub(self.accounted);
            self.of
                .wasted_ticks
                .store(wasted.wrapping_add(spun), Relaxed);
        }
        self.accounted = now;
        now
    }
}
