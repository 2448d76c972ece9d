//! Programs that once took a neighbour's share, by hand.

use pvqspin_greedy::{Action, Bundled, Case, Neighbour, Setup, Step, Target, judge};
use pvqspin_host::{Scheduling, YieldMode};

const SLICE: u64 = 1_000_000;

fn setup(pcpus: usize, scheduling: Scheduling) -> Setup {
    Setup {
        pcpus,
        scheduling,
        yields: YieldMode::Contract,
        slice_ns: SLICE,
        min_loan_ns: SLICE / 30,
    }
}

const fn vm(vcpus: usize, weight: u32) -> Neighbour {
    Neighbour { vcpus, weight }
}

fn holds(case: &Case) {
    let verdict = judge::<Bundled>(case);
    println!("{} {verdict:?}", case.setup.scheduling);
    assert!(verdict.holds(), "{case:?}\n{verdict:?}");
}

/// The policies that give shares.
const SHARES: [Scheduling; 3] = [Scheduling::RoundRobin, Scheduling::Fair, Scheduling::Credit];

/// 16 donors halt for a sibling on 8 pCPUs, are woken a microsecond later, and lend again: a fifth of the
/// neighbour's share under credit (97 % with better timing), when a vCPU could own several slices.
#[test]
fn donors_that_are_woken_at_once_gain_nothing() {
    for scheduling in SHARES {
        let lend = |rest| Step {
            compute_ns: 1_000,
            action: Action::Halt(Some(Target::NextPreempted), rest),
        };
        let nap = Step {
            compute_ns: 1_000,
            action: Action::Nap(SLICE),
        };
        let mut donor = vec![lend(1_000); 15];
        donor.push(lend(SLICE));
        donor.extend([nap; 6]);
        holds(&Case {
            setup: setup(8, scheduling),
            victim: vm(32, 1),
            victim_starts: 0,
            bystander: None,
            greedy: vm(32, 1),
            cap: None,
            programs: vec![vec![], donor],
            first: 16,
            churn: None,
        });
    }
}

/// Vcpus that yield to a sibling 10 us into each slice, beside one that is busy: 0.5 of its 0.888 pCPUs
/// under round robin, when a lender had its next turn before its slice was over.
#[test]
fn yields_at_once_gain_nothing() {
    for scheduling in SHARES {
        for (pcpus, greedy, victim) in [(2, 2, 1), (3, 3, 1), (4, 4, 2), (8, 8, 1), (8, 8, 4)] {
            holds(&Case {
                setup: setup(pcpus, scheduling),
                victim: vm(victim, 1),
                victim_starts: 0,
                bystander: None,
                greedy: vm(greedy, 1),
                cap: None,
                programs: vec![vec![Step {
                    compute_ns: 10_000,
                    action: Action::Yield(Target::NextPreempted),
                }]],
                first: greedy,
                churn: None,
            });
        }
    }
}

/// A VM that starts when others of different weights have had a pCPU each for long: an eighth of its share
/// under fair, when lag was saved up without bound.
#[test]
fn time_without_competition_is_not_saved_up() {
    for scheduling in [Scheduling::Fair, Scheduling::Credit] {
        holds(&Case {
            setup: setup(8, scheduling),
            victim: vm(7, 10),
            victim_starts: 100,
            bystander: Some(vm(1, 1)),
            greedy: vm(7, 10),
            cap: None,
            programs: vec![vec![]],
            first: 7,
            churn: None,
        });
    }
}

/// Seven vCPUs that compute and halt in step, half a slice each, beside one that is busy, on seven pCPUs: 0.50 pCPUs
/// where busy ones leave 0.87, when the half slice that the victim had to itself was held against it in the other.
#[test]
fn time_that_no_vcpu_waits_for_costs_nothing() {
    for scheduling in [Scheduling::Fair, Scheduling::Credit] {
        for (pcpus, greedy, victim, step) in [
            (7, vm(7, 100), vm(1, 100), (SLICE / 2, SLICE / 2)),
            (8, vm(15, 1), vm(1, 2), (SLICE * 9 / 10, SLICE * 2)),
            (6, vm(6, 3), vm(1, 2), (SLICE - 1_000, SLICE)),
        ] {
            holds(&Case {
                setup: setup(pcpus, scheduling),
                victim,
                victim_starts: 0,
                bystander: None,
                greedy,
                cap: None,
                programs: vec![vec![Step {
                    compute_ns: step.0,
                    action: Action::Halt(None, step.1),
                }]],
                first: greedy.vcpus,
                churn: None,
            });
        }
    }
}

/// A VM of weight 100 that starts late beside one of equal weight and one of weight 1 or 3: 231 of 300 slices, when it
/// stood at the clock, which the light one drives, while its like might lag by hundreds of their own slices.
#[test]
fn a_heavy_vm_that_starts_stands_where_its_like_do() {
    let step = |compute_ns, action| Step { compute_ns, action };
    let yields = step(100_000, Action::Yield(Target::NextHalted));
    let long = vec![
        yields,
        yields,
        yields,
        yields,
        step(250_000, Action::Yield(Target::NextPreempted)),
        step(3_000_000, Action::Halt(None, 10_000)),
    ];
    let short = vec![
        step(100_000, Action::Halt(None, 2_000_000)),
        step(500_000, Action::Kick(Target::NextPreempted)),
        step(250_000, Action::Halt(Some(Target::NextPreempted), 100_000)),
        step(500_000, Action::Yield(Target::NextPreempted)),
    ];
    let naps = vec![
        step(10_000, Action::Nap(1_000)),
        step(10_000, Action::Nap(1_000)),
        step(999_000, Action::Yield(Target::NextPreempted)),
        step(10_000, Action::Kick(Target::NextPreempted)),
        step(100_000, Action::Halt(None, 1_000)),
    ];
    for scheduling in [Scheduling::Fair, Scheduling::Credit] {
        for (pcpus, victim, bystander, greedy, programs, first) in [
            (
                6,
                vm(4, 100),
                vm(2, 1),
                vm(6, 100),
                vec![long.clone(), short.clone()],
                2,
            ),
            (5, vm(10, 100), vm(1, 3), vm(5, 100), vec![naps.clone()], 3),
        ] {
            holds(&Case {
                setup: Setup {
                    min_loan_ns: SLICE / 2,
                    ..setup(pcpus, scheduling)
                },
                victim,
                victim_starts: 100,
                bystander: Some(bystander),
                greedy,
                cap: None,
                programs,
                first,
                churn: None,
            });
        }
    }
}

/// VMs that come and go beside one that is too heavy for its share: half of the victim's share, when a vCPU
/// that starts stood at an average that the heavy one held back.
#[test]
fn coming_and_going_beside_a_heavy_vm_gains_nothing() {
    for scheduling in [Scheduling::Fair, Scheduling::Credit] {
        holds(&Case {
            setup: Setup {
                min_loan_ns: SLICE / 4,
                ..setup(8, scheduling)
            },
            victim: vm(12, 1),
            victim_starts: 0,
            bystander: Some(vm(2, 100)),
            greedy: vm(5, 2),
            cap: None,
            programs: vec![vec![]],
            first: 5,
            churn: Some(7),
        });
    }
}

/// A VM of weight 100 that starts beside one of weight 10, whose vCPUs lend to each other, and one of weight 1: 159 of
/// 200 slices, when it stood at the clock. The one of weight 1 drove that, as the others seldom queued, and they lagged.
#[test]
fn a_vm_that_starts_stands_no_later_than_lighter_ones() {
    for scheduling in [Scheduling::Fair, Scheduling::Credit] {
        holds(&Case {
            setup: Setup {
                min_loan_ns: SLICE / 4,
                ..setup(7, scheduling)
            },
            victim: vm(6, 100),
            victim_starts: 100,
            bystander: Some(vm(1, 1)),
            greedy: vm(11, 10),
            cap: None,
            programs: vec![vec![Step {
                compute_ns: SLICE / 4,
                action: Action::Yield(Target::NextPreempted),
            }]],
            first: 11,
            churn: None,
        });
    }
}

/// A vCPU that borrows, and goes on at its own cost because a pCPU idles, over and over: it owed more and more, as the
/// clock stood still while others used up their lag. Debug assertions see it.
#[test]
fn a_borrower_that_goes_on_at_its_own_cost_moves_the_clock() {
    let yields = Step {
        compute_ns: 10_000,
        action: Action::Yield(Target::Number(0)),
    };
    let mut program = vec![yields; 8];
    program.push(Step {
        compute_ns: SLICE * 3,
        action: Action::Nap(1_000),
    });
    program.push(Step {
        compute_ns: 10_000,
        action: Action::Edge(Some(Target::NextPreempted)),
    });
    for scheduling in [Scheduling::Fair, Scheduling::Credit] {
        holds(&Case {
            setup: setup(5, scheduling),
            victim: vm(3, 2),
            victim_starts: 0,
            bystander: None,
            greedy: vm(3, 1),
            cap: None,
            programs: vec![program.clone()],
            first: 3,
            churn: None,
        });
    }
}
