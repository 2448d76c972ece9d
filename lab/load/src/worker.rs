//! One virtual CPU at work, and what it writes down: every workload is made of its steps.
//!
//! ```text
//!        sampled          called      holding              releasing   released
//!  ──────┤ outside ├────────┤ lock() ├───┤ inside, check ├─────┤ unlock() ├───┤ next outside
//!                              ├─ call ──┤
//!                         joined ├─ wait ┤
//! ```
//!
//! The clock is read three times for each section, and once more for one section in sixteen, in
//! which the outside is measured too (in every one, while few have been).
//!
//! A section is measured only if its CPU's generation is the same at both ends: then the host did
//! not preempt it. The machine below may still have taken the pCPU away, which no guest can see
//! but by its length: what lasts far longer than it was asked to is left out as well. Otherwise a
//! few such accidents would decide the mean, and the bound that is computed from it.
//!
//! Sections may lie inside each other. The outer one is not charged for the time in which it
//! waited for the inner lock: that is the locks' doing, and not work.

use core::marker::PhantomData;

use pvqspin_abi::{Cpu, Generation};
use rand_core::Rng;
use rand_pcg::Pcg32;

use crate::control::{Control, Phase};
use crate::guarded::{Exclusive, Guarded};
use crate::guest::Guest;
use crate::record::{Measured, Record};

/// One section in so many is measured. A power of two.
const SAMPLE_EVERY: u32 = 16;

/// Until so many have been measured, every section is: some locks get through only a few.
const SAMPLES_AT_LEAST: u64 = 64;

/// The longest time, in ns, that a section which was asked to last `asked_ns` may take and still
/// be believed. Generous, because a guest's idea of a nanosecond can be off by a factor of two.
const fn believable_ns(asked_ns: u32) -> u64 {
    8 * asked_ns as u64 + 20_000
}

/// One virtual CPU at work.
#[derive(Debug)]
pub struct Worker<'a, E> {
    me: Cpu,
    control: &'a Control,
    record: &'a Record,
    random: Pcg32,
    phase: Phase,
    /// Since when the present outside section is being measured, and in which generation.
    outside_since: Option<(u64, Generation)>,
    /// How long the present outside section was asked to last so far.
    outside_asked_ns: u32,
    /// Outermost sections so far.
    round: u32,
    /// Whether every section is measured.
    measures_all: bool,
    /// How many sections it is in.
    depth: u32,
    /// How long it has waited for locks while it held another.
    waited_inside_ns: u64,
    /// Whether it runs in an interrupt, on top of a worker of the same CPU.
    interrupts: bool,
    environment: PhantomData<fn() -> E>,
}

impl<'a, E: Guest> Worker<'a, E> {
    /// A virtual CPU that begins to work. The same seed gives every lock the same work.
    #[must_use]
    pub fn new(seed: u64, control: &'a Control, record: &'a Record) -> Self {
        let me = E::cpu();
        let mut worker = Self {
            // The CPU number selects a stream of its own.
            random: Pcg32::new(seed, me.index() as u64),
            phase: Phase::Warmup,
            measures_all: false,
            interrupts: false,
            ..Self::in_interrupt(control, record)
        };
        record.wasted_before_ns.set(E::wasted_ns());
        worker.phase_is(control.phase());
        worker
    }

    /// The same, but every section is measured: for sections that are not all alike.
    ///
    /// Here the time outside begins at the release. Writing down takes some 10 ns on real
    /// machines: nothing beside a microsecond, a quarter of 40 ns.
    #[must_use]
    pub fn measuring_all(seed: u64, control: &'a Control, record: &'a Record) -> Self {
        Self {
            measures_all: true,
            ..Self::new(seed, control, record)
        }
    }

    /// A handler at work, on top of whatever its CPU does. Its sections count as those of its CPU,
    /// and not as rounds.
    #[must_use]
    pub fn in_interrupt(control: &'a Control, record: &'a Record) -> Self {
        Self {
            me: E::cpu(),
            control,
            record,
            // Handlers choose nothing at random.
            random: Pcg32::new(0, 0),
            phase: control.phase(),
            outside_since: None,
            outside_asked_ns: 0,
            round: 0,
            measures_all: true,
            depth: 0,
            waited_inside_ns: 0,
            interrupts: true,
            environment: PhantomData,
        }
    }

    /// Works until the run is stopped: one round after the other.
    pub fn work(mut self, mut round: impl FnMut(&mut Self)) {
        while self.phase != Phase::Stop {
            round(&mut self);
        }
        self.record.wasted_after_ns.set(E::wasted_ns());
    }

    /// Its number in its VM.
    #[must_use]
    pub fn cpu(&self) -> Cpu {
        self.me
    }

    /// 32 random bits of its own.
    #[inline]
    pub fn random(&mut self) -> u32 {
        self.random.next_u32()
    }

    /// A random number below `limit`; the last ones are a little rarer if it is no power of two.
    #[inline]
    pub fn random_below(&mut self, limit: usize) -> usize {
        // The high half of a product with a number below 2^32 is below that number.
        ((u64::from(self.random()) * limit as u64) >> 32) as usize
    }

    /// Works outside of all locks for about so long.
    #[inline]
    pub fn outside(&mut self, ns: u32) {
        self.outside_asked_ns = self.outside_asked_ns.saturating_add(ns);
        E::compute(ns);
    }

    /// One unit of what this workload is for is done.
    #[inline]
    pub fn unit_done(&self) {
        if self.phase == Phase::Measure {
            self.record.units.add(1);
        }
    }

    /// Takes the lock, computes for about `inside_ns`, does `body`, releases the lock, and writes
    /// down how it went. `class` says which of the workload's kinds of locks this one is.
    #[inline]
    pub fn section<K: Exclusive, R>(
        &mut self,
        lock: &Guarded<K>,
        class: usize,
        inside_ns: u32,
        body: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let called = E::now_ns();
        if self.depth == 0 {
            self.outside_ends(called);
        }
        let token = lock.lock.lock();
        E::mark(core::ptr::from_ref(lock).addr(), true);
        let holding = E::now_ns();
        let generation = self.generation();
        let handed_over = lock.account.last_release_ns();
        let (ticket, crowded_before) = lock.account.enter();
        // Now, because inner sections may wait too, and a preemption may come; the second stamp
        // only for those who waited.
        let joined = E::joined_at_ns();
        let entered = if joined < called {
            0
        } else {
            E::entered_at_ns()
        };
        let waited_before = self.waited_inside_ns;
        self.depth += 1;

        E::compute(inside_ns);
        let result = body(self);

        self.depth -= 1;
        let crowded_after = lock.account.leave(ticket);
        let preemptions = self.preemptions_since(generation);
        let releasing = E::now_ns();
        lock.account.set_last_release_ns(releasing);
        // SAFETY: this CPU took the lock above, and the token is what it got.
        #[expect(unsafe_code, reason = "releasing a rival is unsafe by contract")]
        unsafe {
            lock.lock.unlock(token);
        }
        E::mark(core::ptr::from_ref(lock).addr(), false);

        let released = self.measures_all.then(|| self.stamp());
        self.phase_is(self.control.phase());
        self.write_down(&Section {
            class,
            called,
            joined,
            entered,
            holding,
            releasing,
            waited_inside_ns: self.waited_inside_ns - waited_before,
            handed_over,
            preemptions,
            inside_ns,
            since: self.control.measuring_since_ns(),
        });
        self.record.all_acquisitions.add(1);
        if crowded_before || crowded_after {
            self.record.violations.add(1);
        }
        if self.depth == 0 {
            self.outside_begins(released);
        } else {
            self.waited_inside_ns += holding.saturating_sub(called);
        }
        result
    }

    #[inline]
    fn generation(&self) -> Generation {
        E::run_sample(self.me).generation()
    }

    #[inline]
    fn preemptions_since(&self, before: Generation) -> u64 {
        let runs = self.generation().get().wrapping_sub(before.get());
        // Generations count modulo 2^30, and so does their difference.
        Generation::new(runs).get().into()
    }

    #[inline]
    fn phase_is(&mut self, phase: Phase) {
        if phase == Phase::Measure && self.phase == Phase::Warmup {
            self.record.restart();
            self.outside_since = None;
        }
        self.phase = phase;
    }

    #[inline]
    fn is_sampled(&self, measured: &Measured) -> bool {
        self.measures_all
            || self.round.is_multiple_of(SAMPLE_EVERY)
            || measured.sections.get() < SAMPLES_AT_LEAST
    }

    #[inline]
    fn outside_ends(&mut self, now: u64) {
        let asked_ns = core::mem::take(&mut self.outside_asked_ns);
        if let Some((since, generation)) = self.outside_since.take()
            && self.generation() == generation
        {
            add_if_believable(&self.record.outside, now.saturating_sub(since), asked_ns);
        }
    }

    /// Now, and the generation that it is in.
    #[inline]
    fn stamp(&self) -> (u64, Generation) {
        // The generation first: a preemption between the two spoils the sample, not the sum.
        let generation = self.generation();
        (E::now_ns(), generation)
    }

    #[inline]
    fn outside_begins(&mut self, released: Option<(u64, Generation)>) {
        self.round = self.round.wrapping_add(1);
        if self.phase == Phase::Measure && self.is_sampled(&self.record.outside) {
            self.outside_since = Some(released.unwrap_or_else(|| self.stamp()));
        }
    }

    #[inline]
    fn write_down(&self, section: &Section) {
        match self.phase {
            Phase::Warmup => self.record.wasted_before_ns.set(E::wasted_ns()),
            Phase::Measure => {
                self.record.acquisitions.add(1);
                if self.depth > 0 || self.interrupts {
                    self.record.nested.add(1);
                }
                let since = section.holding.saturating_sub(section.since);
                self.record.count_in_window(since);
                self.write_down_waits(section);
                self.write_down_hold(section);
            }
            // A vCPU that waited when the run ended has its wait counted, or the longest ones would
            // be missing; its section came too late to count.
            Phase::Stop => {
                if section.since > 0 {
                    self.write_down_waits(section);
                }
            }
        }
    }

    #[inline]
    fn write_down_waits(&self, section: &Section) {
        let record = self.record;
        record
            .call
            .record(section.holding.saturating_sub(section.called));
        if section.joined < section.called {
            // The stamp is from an earlier wait: this acquisition took the fast path.
            record.wait.record(0);
            return;
        }
        record
            .wait
            .record(section.holding.saturating_sub(section.joined));
        if section.was_handed_to_absent() {
            record.lwp.add(1);
        }
    }

    #[inline]
    fn write_down_hold(&self, section: &Section) {
        let outermost = self.depth == 0;
        let use_of_class = self.record.use_of(section.class);
        use_of_class.acquisitions.add(1);
        if section.preemptions > 0 {
            // The outer section counts what befell its inner ones.
            if outermost {
                self.record.lhp.add(section.preemptions);
            }
        } else if self.is_sampled(&self.record.inside) {
            let held = section.releasing.saturating_sub(section.holding);
            let worked = held.saturating_sub(section.waited_inside_ns);
            add_if_believable(&use_of_class.held, worked, section.inside_ns);
            if outermost && !self.interrupts {
                add_if_believable(&self.record.inside, worked, section.inside_ns);
            }
        }
    }
}

/// One section as it went: times in ns.
struct Section {
    class: usize,
    called: u64,
    /// When this CPU joined a queue last, and when it was put on a pCPU last.
    joined: u64,
    entered: u64,
    holding: u64,
    releasing: u64,
    /// Of the time between the two, how long this CPU waited for other locks.
    waited_inside_ns: u64,
    /// When the holder before us released the lock, or was about to.
    handed_over: u64,
    /// How often this CPU was off its pCPU while it held the lock.
    preemptions: u64,
    /// How long the critical section was asked to last.
    inside_ns: u32,
    /// When measuring began.
    since: u64,
}

impl Section {
    /// Whether this virtual CPU waited already when the lock was released, and was put on a pCPU
    /// only later: lock-waiter preemption.
    fn was_handed_to_absent(&self) -> bool {
        self.joined < self.handed_over && self.handed_over < self.entered
    }
}

fn add_if_believable(measured: &Measured, ns: u64, asked_ns: u32) {
    if ns <= believable_ns(asked_ns) {
        measured.add(ns);
    }
}

#[cfg(test)]
mod tests;
