//! What is decided in C is what `crates/host` decides: `bpf/rules.h`, compiled for user space, beside
//! `pvqspin_host::{fair, loan}`, on random events.
//!
//! A failure prints its seed; `RULES_SEED=SEED` runs the same events again.

use std::collections::BTreeSet;

use pvqspin_host::fair::{self, Account, Clock};
use pvqspin_host::loan::{self, Next, RunQueue, Slice, Terms, Waits, Why};

use crate::c::{CAccount, CClock, CSlice, CTerms};
use crate::random::{Random, seeds};

const EVENTS: u32 = 400;

#[test]
fn fair_time_is_the_same_to_the_bit() {
    for seed in seeds() {
        let mut random = Random::new(seed);
        let terms = CTerms {
            slice_ns: 100_000 + random.below(10_000_000),
            min_loan_ns: random.below(50_000),
        };
        let rules = fair::Rules {
            slice_ns: terms.slice_ns,
            min_loan_ns: terms.min_loan_ns,
        };
        let mut clock = Clock::new(random.any(), 1 + random.below(65_536) as u32);
        let mut c_clock = CClock::of(clock.vtime, clock.weight);
        let mut accounts: Vec<Account> = (0..4)
            .map(|_| Account::new(1 + (random.any() % 65_536) as u32))
            .collect();
        let mut now = 0;
        let mut c_accounts: Vec<CAccount> =
            (accounts.iter()).map(|a| CAccount::new(a.weight)).collect();
        for event in 0..EVENTS {
            let one = random.below(4) as usize;
            let ns = random.any();
            let (a, c) = (&mut accounts[one], &mut c_accounts[one]);
            match random.below(5) {
                0 => {
                    a.charge(ns);
                    c.charge(ns);
                }
                1 => {
                    clock.picked(a, c_clock.wanted_ns);
                    c_clock.picked(c);
                }
                2 => {
                    now += random.below(terms.slice_ns);
                    c_clock.pass(now, random.below(2) > 0);
                    rules.start(&clock, c_clock.wanted_ns, a);
                    c.start(&terms, &c_clock);
                }
                3 => {
                    rules.wake(ns, a);
                    c.wake(ns);
                }
                _ => {
                    rules.requeue(&clock, a);
                    c.requeue(&terms, &c_clock);
                }
            }
            assert_eq!(
                (a.vtime, a.rest, a.weight),
                (c.vtime, c.rest, c.weight),
                "TWIN_SEED={seed}, event {event}"
            );
            assert_eq!(
                (clock.vtime, clock.weight),
                (c_clock.vtime, c_clock.weight),
                "TWIN_SEED={seed}, event {event}"
            );
            let other = accounts[random.below(4) as usize];
            assert_eq!(
                rules.preempts(&accounts[one], &other),
                c_accounts[one].preempts(&terms, other.vtime),
                "TWIN_SEED={seed}, event {event}"
            );
        }
    }
}

/// A machine with a queue that does not care for order: the same bookkeeping for both.
struct Machine {
    slices: Vec<Option<Slice<u64>>>,
    owns: Vec<Option<usize>>,
    waiting: BTreeSet<u64>,
    charged: Vec<u64>,
    wanted: u64,
}

impl RunQueue for Machine {
    type Task = u64;

    fn slice(&mut self, pcpu: usize) -> &mut Option<Slice<u64>> {
        &mut self.slices[pcpu]
    }

    fn owns(&mut self, task: u64) -> &mut Option<usize> {
        &mut self.owns[task as usize]
    }

    fn is_waiting(&self, task: u64) -> bool {
        self.waiting.contains(&task)
    }

    fn waits(&mut self, task: u64, _how: Waits) {
        self.waiting.insert(task);
    }

    fn runs(&mut self, task: u64) {
        self.waiting.remove(&task);
    }

    fn wanted_ns(&self, _now: u64) -> u64 {
        self.wanted
    }

    fn charge(&mut self, owner: u64, _current: u64, _ran_ns: u64, charged_ns: u64) {
        self.charged[owner as usize] += charged_ns;
    }
}

const PCPUS: usize = 3;
const TASKS: u64 = 6;

/// What the BPF program does with the functions of `rules.h`.
struct Twin {
    slices: Vec<CSlice>,
    charged: Vec<u64>,
    terms: CTerms,
    clock: CClock,
}

impl Twin {
    fn charge(&mut self, pcpu: usize, now: u64) {
        let owner = self.slices[pcpu].owner as usize;
        let (due, _ran) = self.slices[pcpu].due(now, self.clock.wanted_ns);
        self.charged[owner] += due;
    }
}

#[test]
fn slices_and_loans_are_the_same_to_the_nanosecond() {
    for seed in seeds() {
        compare_loans(seed);
    }
}

fn compare_loans(seed: u64) {
    let mut random = Random::new(seed);
    let slice_ns = 1_000_000 + random.below(4_000_000);
    let terms = Terms {
        slice_ns,
        min_loan_ns: random.below(slice_ns / 2),
        most_charged_ns: fair::LATE_SLICES * slice_ns,
    };
    // Task 0 is none.
    let mut machine = Machine {
        slices: vec![None; PCPUS],
        owns: vec![None; TASKS as usize + 1],
        waiting: (1..=TASKS).collect(),
        charged: vec![0; TASKS as usize + 1],
        wanted: 0,
    };
    let mut twin = Twin {
        slices: vec![CSlice::default(); PCPUS],
        charged: vec![0; TASKS as usize + 1],
        terms: CTerms {
            slice_ns,
            min_loan_ns: terms.min_loan_ns,
        },
        clock: CClock::of(0, 1),
    };
    let mut now = random.below(1 << 40);
    twin.clock.pass(now, false);
    for event in 0..EVENTS {
        // Mostly within a slice, now and then much later.
        let passed = match random.below(10) {
            0 => random.below(20 * slice_ns),
            _ => random.below(slice_ns / 2),
        };
        let queued = random.below(3) > 0;
        now += passed;
        machine.wanted += if queued { passed } else { 0 };
        twin.clock.pass(now, queued);
        let p = random.below(PCPUS as u64) as usize;
        let task = 1 + random.below(TASKS);
        let at = format!("TWIN_SEED={seed}, event {event}");
        match (machine.slices[p], random.below(5)) {
            (None, _) => {
                if machine.waiting.contains(&task) && machine.owns[task as usize].is_none() {
                    machine.runs(task);
                    loan::begin(&mut machine, now, p, task, &terms);
                    twin.slices[p].begin(now, twin.clock.wanted_ns, task, &twin.terms);
                }
            }
            (Some(_), 0 | 1) => {
                let can = twin.slices[p].can_lend(now, &twin.terms);
                let waits = machine.waiting.contains(&task);
                let lent = loan::lend(&mut machine, now, p, task, true);
                twin.charge(p, now);
                let c_lent = can && waits && twin.slices[p].current != task;
                if c_lent {
                    twin.slices[p].give_to(now, task, &twin.terms);
                }
                assert_eq!(
                    lent,
                    c_lent.then_some((task, twin.slices[p].end)),
                    "lend, {at}"
                );
            }
            (Some(slice), 2) => {
                let owner_waits = machine.waiting.contains(&slice.owner());
                let next = loan::leave(&mut machine, now, p);
                twin.charge(p, now);
                let c_next = if twin.slices[p].owner_goes_on(now, owner_waits) {
                    let owner = twin.slices[p].owner;
                    twin.slices[p].give_to(now, owner, &twin.terms);
                    Next::Run(owner, twin.slices[p].end)
                } else {
                    twin.slices[p].owner = 0;
                    Next::Pick
                };
                assert_eq!(next, c_next, "leave, {at}");
                // What slept wakes at once, on a slice of its own later.
                if machine.owns[slice.current() as usize].is_none() {
                    loan::wake(&mut machine, slice.current());
                } else {
                    machine.waits(slice.current(), Waits::ForItsSlice);
                }
            }
            (Some(_), 3) => {
                loan::end(&mut machine, now, p, Some(Why::Over));
                twin.charge(p, now);
                twin.slices[p].owner = 0;
            }
            (Some(slice), _) => {
                // As the BPF program: only a loan whose borrower owns nothing elsewhere is converted in one step.
                if slice.loan().is_some() && machine.owns[slice.current() as usize].is_none() {
                    twin.charge(p, now);
                    loan::convert(&mut machine, now, p, &terms);
                    twin.slices[p].convert(now, twin.clock.wanted_ns, &twin.terms);
                }
            }
        }
        assert_eq!(machine.charged, twin.charged, "charges, {at}");
        for (slice, c) in machine.slices.iter().zip(&twin.slices) {
            let Some(slice) = slice else {
                assert_eq!(c.owner, 0, "{at}");
                continue;
            };
            assert_eq!(
                (slice.owner(), slice.current(), slice.end(), slice.began()),
                (c.owner, c.current, c.end, c.began),
                "{at}"
            );
            assert_eq!(slice.free_ns(), c.free_ns, "{at}");
            let owner = CAccount::new(7);
            assert_eq!(
                c.as_if_paid(now, &owner),
                fair::span(now - c.charged_until + slice.free_ns(), 7),
                "{at}"
            );
            for later in [
                now,
                now + terms.min_loan_ns,
                slice.planned_end(),
                slice.end(),
            ] {
                assert_eq!(slice.is_over(later), c.is_over(later), "over, {at}");
                assert_eq!(
                    slice.can_lend(later),
                    c.can_lend(later, &twin.terms),
                    "can lend, {at}"
                );
                assert_eq!(
                    slice.is_protected(later),
                    c.is_protected(later, &twin.terms),
                    "protected, {at}"
                );
            }
        }
    }
}
