//! The hot lock: every virtual CPU works outside, takes the one lock, works inside, releases it.
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

use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pvqspin_abi::{Cpu, Generation};
use pvqspin_peers::Lock;
use rand_core::Rng;
use rand_pcg::Pcg32;

use crate::Guest;
use crate::control::{Control, Phase};
use crate::record::{Measured, Record};
use crate::section::{Lengths, Section};

/// One section in so many is measured. A power of two.
const SAMPLE_EVERY: u32 = 16;

/// Until so many have been measured, every section is: some locks get through only a few.
const SAMPLES_AT_LEAST: u64 = 64;

/// The longest time, in ns, that a section which was asked to last `asked_ns` may take and still
/// be believed. Generous, because a guest's idea of a nanosecond can be off by a factor of two.
const fn believable_ns(asked_ns: u32) -> u64 {
    8 * asked_ns as u64 + 20_000
}

/// What the hot lock looks like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HotLockConfig {
    /// The critical section.
    pub inside: Section,
    /// The work between two of them.
    pub outside: Section,
    /// Where the randomness starts. The same seed gives every lock the same sections.
    pub seed: u64,
}

/// What lies in the critical section: whoever holds the lock writes here, and nobody else.
///
/// `entered` and `left` are equal between sections. Both are counted up by separate loads and
/// stores, so two CPUs inside at once see each other, or lose a count.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Guarded {
    entered: AtomicU64,
    left: AtomicU64,
    last_release_ns: AtomicU64,
}

impl Guarded {
    /// Counts up `entered`. Returns the count, and whether somebody else was inside.
    #[inline]
    fn enter(&self) -> (u64, bool) {
        let before = self.entered.load(Relaxed);
        let crowded = self.left.load(Relaxed) != before;
        let ticket = before.wrapping_add(1);
        self.entered.store(ticket, Relaxed);
        (ticket, crowded)
    }

    /// Counts up `left`. Returns whether somebody else came in meanwhile.
    #[inline]
    fn leave(&self, ticket: u64) -> bool {
        let crowded = self.entered.load(Relaxed) != ticket;
        self.left.store(ticket, Relaxed);
        crowded
    }
}

/// Keeps the lock's word out of the cache lines of what everybody only reads.
#[derive(Debug)]
#[repr(align(128))]
struct OwnLine<L>(L);

/// One lock that everybody wants.
#[derive(Debug)]
pub struct HotLock<E, L> {
    lock: OwnLine<L>,
    guarded: Guarded,
    inside: Lengths,
    outside: Lengths,
    seed: u64,
    environment: PhantomData<fn() -> E>,
}

impl<E: Guest, L: Lock<E>> HotLock<E, L> {
    /// The workload for virtual CPUs `0..cpus`. Allocates; nothing after it does.
    #[must_use]
    pub fn new(config: HotLockConfig, cpus: usize) -> Self {
        Self {
            lock: OwnLine(L::new(cpus)),
            guarded: Guarded::default(),
            inside: Lengths::new(config.inside),
            outside: Lengths::new(config.outside),
            seed: config.seed,
            environment: PhantomData,
        }
    }

    /// What one virtual CPU does, until [`Phase::Stop`]. It returns with the lock released.
    pub fn run_vcpu(&self, control: &Control, record: &Record) {
        let me = E::cpu();
        let mut vcpu = Vcpu::<E> {
            me,
            record,
            // The CPU number selects a stream of its own.
            random: Pcg32::new(self.seed, me.index() as u64),
            phase: Phase::Warmup,
            outside_since: None,
            round: 0,
            environment: PhantomData,
        };
        record.wasted_before_ns.set(E::wasted_ns());
        vcpu.phase_is(control.phase());
        while vcpu.phase != Phase::Stop {
            self.one_round(control, &mut vcpu);
        }
        record.wasted_after_ns.set(E::wasted_ns());
    }

    #[inline]
    fn one_round(&self, control: &Control, vcpu: &mut Vcpu<'_, E>) {
        let random = vcpu.random.next_u32();
        let inside_ns = self.inside.draw(random);
        let outside_ns = self.outside.draw(random >> Lengths::BITS);

        E::compute(outside_ns);
        let called = E::now_ns();
        vcpu.outside_ends(called, outside_ns);
        let token = self.lock.0.lock();
        let holding = E::now_ns();
        let generation = vcpu.generation();
        let handed_over = self.guarded.last_release_ns.load(Relaxed);
        let (ticket, crowded_before) = self.guarded.enter();

        E::compute(inside_ns);

        let crowded_after = self.guarded.leave(ticket);
        let preemptions = vcpu.preemptions_since(generation);
        let releasing = E::now_ns();
        self.guarded.last_release_ns.store(releasing, Relaxed);
        // SAFETY: this CPU took the lock above, and the token is what it got.
        #[expect(unsafe_code, reason = "releasing a peer is unsafe by contract")]
        unsafe {
            self.lock.0.unlock(token);
        }

        vcpu.phase_is(control.phase());
        vcpu.write_down(&Round {
            called,
            holding,
            releasing,
            handed_over,
            preemptions,
            inside_ns,
            since: control.measuring_since_ns(),
        });
        vcpu.write_down_exclusion(ticket, crowded_before || crowded_after);
        vcpu.outside_begins();
    }
}

/// One section as it went: times in ns.
struct Round {
    called: u64,
    holding: u64,
    releasing: u64,
    /// When the holder before us released the lock, or was about to.
    handed_over: u64,
    /// How often this CPU was off its pCPU while it held the lock.
    preemptions: u64,
    /// How long the critical section was asked to last.
    inside_ns: u32,
    /// When measuring began.
    since: u64,
}

impl Round {
    /// Whether this virtual CPU waited already when the lock was released, and was put on a pCPU
    /// only later: lock-waiter preemption.
    fn was_handed_to_absent(&self, joined: u64, entered: u64) -> bool {
        joined < self.handed_over && self.handed_over < entered
    }
}

fn add_if_believable(measured: &Measured, ns: u64, asked_ns: u32) {
    if ns <= believable_ns(asked_ns) {
        measured.add(ns);
    }
}

/// One virtual CPU at work.
struct Vcpu<'a, E> {
    me: Cpu,
    record: &'a Record,
    random: Pcg32,
    phase: Phase,
    /// Since when the present outside section is being measured, and in which generation.
    outside_since: Option<(u64, Generation)>,
    round: u32,
    environment: PhantomData<fn() -> E>,
}

impl<E: Guest> Vcpu<'_, E> {
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
        self.round.is_multiple_of(SAMPLE_EVERY) || measured.sections.get() < SAMPLES_AT_LEAST
    }

    fn outside_ends(&mut self, now: u64, asked_ns: u32) {
        if let Some((since, generation)) = self.outside_since.take()
            && self.generation() == generation
        {
            add_if_believable(&self.record.outside, now.saturating_sub(since), asked_ns);
        }
    }

    fn outside_begins(&mut self) {
        self.round = self.round.wrapping_add(1);
        if self.phase == Phase::Measure && self.is_sampled(&self.record.outside) {
            // The generation first: a preemption between the two spoils the sample, not the sum.
            let generation = self.generation();
            self.outside_since = Some((E::now_ns(), generation));
        }
    }

    #[inline]
    fn write_down(&self, round: &Round) {
        match self.phase {
            Phase::Warmup => self.record.wasted_before_ns.set(E::wasted_ns()),
            Phase::Measure => {
                self.record.acquisitions.add(1);
                let since = round.holding.saturating_sub(round.since);
                self.record.count_in_window(since);
                self.write_down_waits(round);
                self.write_down_hold(round);
            }
            // Whoever waited when the run ended has its wait counted, or the longest ones would
            // be missing; its section came too late to count.
            Phase::Stop => {
                if round.since > 0 {
                    self.write_down_waits(round);
                }
            }
        }
    }

    #[inline]
    fn write_down_waits(&self, round: &Round) {
        let record = self.record;
        record
            .call
            .record(round.holding.saturating_sub(round.called));
        let joined = E::joined_at_ns();
        if joined < round.called {
            // The stamp is from an earlier wait: this acquisition took the fast path.
            record.wait.record(0);
            return;
        }
        record.wait.record(round.holding.saturating_sub(joined));
        if round.was_handed_to_absent(joined, E::entered_at_ns()) {
            record.lwp.add(1);
        }
    }

    #[inline]
    fn write_down_hold(&self, round: &Round) {
        if round.preemptions > 0 {
            self.record.lhp.add(round.preemptions);
        } else if self.is_sampled(&self.record.inside) {
            let held = round.releasing.saturating_sub(round.holding);
            add_if_believable(&self.record.inside, held, round.inside_ns);
        }
    }

    #[inline]
    fn write_down_exclusion(&self, ticket: u64, crowded: bool) {
        self.record.all_acquisitions.add(1);
        self.record.last_ticket.set(ticket);
        if crowded {
            self.record.violations.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_waited_and_was_away_was_absent() {
        let round = Round {
            called: 10,
            holding: 90,
            releasing: 100,
            handed_over: 50,
            preemptions: 0,
            inside_ns: 10,
            since: 1,
        };
        assert!(round.was_handed_to_absent(20, 80));
        assert!(!round.was_handed_to_absent(20, 40), "it ran again in time");
        assert!(!round.was_handed_to_absent(60, 80), "it came later");
    }

    #[test]
    fn two_at_once_are_noticed_whoever_comes_first() {
        let guarded = Guarded::default();
        let (first, crowded) = guarded.enter();
        assert!(!crowded);
        let (second, crowded) = guarded.enter();
        assert!(crowded, "the second sees the first");
        assert!(guarded.leave(first), "the first sees the second");
        assert!(!guarded.leave(second));
        let (third, crowded) = guarded.enter();
        assert!(!crowded, "one violation is not counted for ever");
        assert!(!guarded.leave(third));
    }
}
