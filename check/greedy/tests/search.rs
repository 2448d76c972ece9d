//! The search: random cases, every policy and yield mode.
//!
//! A failure prints its seed and the smallest case that fails; `PROPTEST_RNG_SEED=SEED` runs the same cases
//! again, `PROPTEST_CASES=N` runs more of them. (`cargo run --release -p pvqspin-greedy --example hunt` counts.)

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};
use pvqspin_abi::RunState;
use pvqspin_greedy::{Bundled, Case, Failure, Placed, Setup, Subject, check, judge};
use pvqspin_host::Scheduling;

const CASES: u32 = 4_000;

/// Searches, and says what was found, and how to find it again.
fn search<S: Subject>(mut config: ProptestConfig) -> Result<(), String> {
    config.failure_persistence = None;
    // Not from the clock: what stands in the way of a change is found by every run, or by none.
    let seed = match config.rng_seed {
        RngSeed::Fixed(seed) => seed,
        RngSeed::Random => 1,
    };
    config.rng_seed = RngSeed::Fixed(seed);
    let cases = config.cases;
    let run = TestRunner::new(config).run(&vec(any::<u8>(), 0..96), |input| {
        let case = Case::from_bytes(&input);
        // A panic of the host is a failure like any other: it is caught, and made small.
        let verdict = judge::<S>(&case);
        prop_assert!(verdict.holds(), "{verdict:?}\n{case:?}");
        Ok(())
    });
    run.map_err(|error| format!("{error}\nagain: PROPTEST_RNG_SEED={seed} PROPTEST_CASES={cases}"))
}

#[test]
fn no_program_takes_a_neighbours_share() {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    if let Err(found) = search::<Bundled>(config) {
        panic!("{found}");
    }
}

#[test]
fn no_program_gets_more_than_its_cap() {
    let mut config = ProptestConfig::default();
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES / 2;
    }
    config.failure_persistence = None;
    config.rng_seed = RngSeed::Fixed(1);
    let inputs = (vec(any::<u8>(), 0..96), 1_u64..20, 1_u64..30);
    let run = TestRunner::new(config).run(&inputs, |(input, period, parts)| {
        let mut case = Case::from_bytes(&input).capped(period, parts);
        if case.setup.scheduling == Scheduling::CoScheduled {
            // It knows no caps.
            case.setup.scheduling = Scheduling::Fair;
        }
        let verdict = judge::<Bundled>(&case);
        prop_assert!(verdict.holds(), "{verdict:?}\n{case:?}");
        Ok(())
    });
    if let Err(found) = run {
        panic!("{found}");
    }
}

/// A host that panics when a vCPU halts with a hint, as a debug assertion would.
struct Fragile(Bundled);

impl Subject for Fragile {
    fn new(setup: &Setup) -> Self {
        Self(Bundled::new(setup))
    }
    fn add_vm(&mut self, now: u64, vcpus: usize, weight: u32) -> Vec<u32> {
        self.0.add_vm(now, vcpus, weight)
    }
    fn remove_vm(&mut self, now: u64, vcpus: &[u32]) {
        self.0.remove_vm(now, vcpus);
    }
    fn start(&mut self, now: u64, vcpu: u32) {
        self.0.start(now, vcpu);
    }
    fn reschedule(&mut self, now: u64, pcpu: usize) -> Placed {
        self.0.reschedule(now, pcpu)
    }
    fn yield_to(&mut self, now: u64, pcpu: usize, to: u32) -> Placed {
        self.0.yield_to(now, pcpu, to)
    }
    fn halt(&mut self, now: u64, pcpu: usize, to: Option<u32>) -> Placed {
        assert!(to.is_none(), "no halt with a hint");
        self.0.halt(now, pcpu, to)
    }
    fn kick(&mut self, now: u64, pcpu: usize, to: u32) -> Placed {
        self.0.kick(now, pcpu, to)
    }
    fn block(&mut self, now: u64, pcpu: usize) -> Placed {
        self.0.block(now, pcpu)
    }
    fn set_edge(&mut self, vcpu: u32, to: Option<u32>) {
        self.0.set_edge(vcpu, to);
    }
    fn state(&self, vcpu: u32) -> RunState {
        self.0.state(vcpu)
    }
    fn next_poke(&mut self) -> Option<usize> {
        self.0.next_poke()
    }
}

#[test]
fn no_seed_is_lost_when_the_host_panics() {
    let config = ProptestConfig {
        cases: 1_000,
        rng_seed: RngSeed::Fixed(7),
        ..ProptestConfig::default()
    };
    let found = search::<Fragile>(config).expect_err("it panics");
    for what in [
        "no halt with a hint",
        "PROPTEST_RNG_SEED=7 ",
        "PROPTEST_CASES=1000",
    ] {
        assert!(found.contains(what), "{found}");
    }

    let found = (0..1_000).find_map(|seed| check::<Fragile>(seed, None).err());
    let found = found.expect("one of a thousand cases halts with a hint");
    assert_eq!(
        found.failure,
        Failure::Panicked("no halt with a hint".to_owned())
    );
    let policy = (found.case.setup.scheduling, found.case.setup.yields);
    let again = check::<Fragile>(found.seed, Some(policy)).expect_err("it panics again");
    assert_eq!(again, found);
    let command = format!("-- 1 {} {} {}", found.seed, policy.0, policy.1);
    assert!(found.to_string().contains(&command), "{found}");
}
