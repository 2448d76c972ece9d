//! No VM gets more than its share, whatever it calls.

use crate::machine::{GUESTS, Guest, Machine, VmPlan};
use crate::rig::SLICE;
use proptest::prelude::*;
use pvqspin_host::{Scheduling, YieldMode};

const SLICES: u64 = 400;

const CASES: u32 = 48;

/// Runs a VM that does what it likes beside one that only computes. Returns what the first one
/// ran, what it was entitled to, and how far off that may be, in nanoseconds.
fn beside_a_busy_one(
    scheduling: Scheduling,
    yields: YieldMode,
    pcpus: usize,
    vcpus: usize,
    weights: (u32, u32),
    guest: Guest,
    seed: u64,
) -> (u64, u64, u64) {
    let plan = |weight, guest| VmPlan {
        vcpus,
        weight,
        guest,
    };
    let vms = [plan(weights.0, guest), plan(weights.1, Guest::Busy)];
    let mut machine = Machine::new(pcpus, scheduling, yields, &vms, seed);
    machine.run_slices(SLICES);
    let all = machine.ran(0) + machine.ran(1);
    assert!(all.abs_diff(SLICES * SLICE * pcpus as u64) <= 2 * pcpus as u64);
    let (own, other) = match scheduling {
        Scheduling::RoundRobin => (1, 1),
        _ => (u64::from(weights.0), u64::from(weights.1)),
    };
    // A slice for each vCPU and pCPU; under the credit scheduler also what can be saved up.
    let slack = (vcpus + pcpus) as u64
        + if scheduling == Scheduling::Credit {
            6
        } else {
            1
        };
    (machine.ran(0), all * own / (own + other), slack * SLICE)
}

fn policies() -> impl Strategy<Value = Scheduling> {
    prop::sample::select(vec![
        Scheduling::RoundRobin,
        Scheduling::Fair,
        Scheduling::Credit,
    ])
}

fn modes() -> impl Strategy<Value = YieldMode> {
    prop::sample::select(YieldMode::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nobody_gets_more_than_its_share(
        scheduling in policies(),
        yields in modes(),
        pcpus in 1_usize..4,
        more in 0_usize..4,
        weights in (1_u32..4, 1_u32..4),
        guest in prop::sample::select(GUESTS.to_vec()),
        seed: u64,
    ) {
        // Enough vCPUs that none is entitled to more than a whole pCPU.
        let vcpus = pcpus + more;
        let (ran, share, slack) =
            beside_a_busy_one(scheduling, yields, pcpus, vcpus, weights, guest, seed);
        prop_assert!(
            ran <= share + slack,
            "{} of {} slices",
            ran / SLICE,
            share / SLICE,
        );
        // Nor less, if it gives nothing away: by contract a yield moves time inside the VM. As a
        // mere hint it gives up the rest of the slice, and round robin keeps no account of that.
        let gives_away = yields == YieldMode::Hint && scheduling == Scheduling::RoundRobin;
        let keeps_all = guest == Guest::Busy
            || (guest == Guest::Yielder && pcpus == 1 && !gives_away);
        if keeps_all {
            prop_assert!(
                ran + slack >= share,
                "only {} of {} slices",
                ran / SLICE,
                share / SLICE,
            );
        }
    }

    #[test]
    fn everybody_runs_within_a_bounded_time(
        scheduling in policies(),
        yields in modes(),
        pcpus in 1_usize..4,
        vcpus in 1_usize..6,
        weights in (1_u32..4, 1_u32..4),
        guests in (prop::sample::select(GUESTS.to_vec()), prop::sample::select(GUESTS.to_vec())),
        seed: u64,
    ) {
        let vms = [
            VmPlan { vcpus, weight: weights.0, guest: guests.0 },
            VmPlan { vcpus: vcpus + 1, weight: weights.1, guest: guests.1 },
        ];
        let mut machine = Machine::new(pcpus, scheduling, yields, &vms, seed);
        machine.run_slices(SLICES);
        // The lightest one waits until the others have had their weights' worth, twice over:
        // once by turn, and once because they may overdraw and be paid back.
        let weight = u64::from(weights.0.max(weights.1));
        let bound = (2 * weight * (2 * vcpus as u64 + 1) + 12) * SLICE;
        for (vcpu, &wait) in machine.longest_wait.iter().enumerate() {
            prop_assert!(wait <= bound, "vCPU {} waited {} slices", vcpu, wait / SLICE);
        }
    }
}

#[test]
fn every_policy_and_mode_holds_for_the_two_vms_of_the_specification() {
    for scheduling in [Scheduling::RoundRobin, Scheduling::Fair, Scheduling::Credit] {
        for yields in YieldMode::ALL {
            for guest in [Guest::Yielder, Guest::Locker, Guest::Hostile] {
                let (ran, share, slack) =
                    beside_a_busy_one(scheduling, yields, 2, 4, (1, 1), guest, 1);
                assert!(
                    ran <= share + slack,
                    "{scheduling}, {yields}, {guest:?}: {} of {} slices",
                    ran / SLICE,
                    share / SLICE,
                );
            }
        }
    }
}

#[test]
fn those_who_slept_do_not_starve_one_that_used_their_time() {
    // Credit saved by three sleepers once kept a busy vCPU waiting for 38 slices.
    let vms = [
        VmPlan {
            vcpus: 2,
            weight: 1,
            guest: Guest::Busy,
        },
        VmPlan {
            vcpus: 3,
            weight: 2,
            guest: Guest::Locker,
        },
    ];
    let seed = 5_048_654_860_527_217_017;
    let mut machine = Machine::new(1, Scheduling::Credit, YieldMode::Hint, &vms, seed);
    machine.run_slices(SLICES);
    let wait = machine.longest_wait[0] / SLICE;
    assert!(wait <= 32, "{wait} slices");
}

#[test]
fn yields_gain_nothing_however_long_they_go_on() {
    // A donor that drew its next turn when it lent its slice, and not when that slice was over,
    // once gained 2 % on three pCPUs: within any slack for a short run, and without end.
    let plan = |guest| VmPlan {
        vcpus: 4,
        weight: 1,
        guest,
    };
    for scheduling in [Scheduling::RoundRobin, Scheduling::Fair, Scheduling::Credit] {
        let vms = [plan(Guest::Yielder), plan(Guest::Busy)];
        let mut machine = Machine::new(3, scheduling, YieldMode::Contract, &vms, 53_585_987);
        machine.run_slices(8 * SLICES);
        let share = 8 * SLICES * SLICE * 3 / 2;
        let gain = machine.ran(0).saturating_sub(share) / SLICE;
        assert!(gain <= 7, "{scheduling}: {gain} slices too many");
    }
}

#[test]
fn unused_turns_are_not_saved_up_for_jumping_the_queue() {
    // Yielders on a hint-only host once kept a busy vCPU waiting longer the longer they had run.
    let vms = [
        VmPlan {
            vcpus: 4,
            weight: 1,
            guest: Guest::Yielder,
        },
        VmPlan {
            vcpus: 5,
            weight: 1,
            guest: Guest::Busy,
        },
    ];
    let seed = 7_208_859_591_305_941_234;
    let mut machine = Machine::new(2, Scheduling::RoundRobin, YieldMode::Hint, &vms, seed);
    machine.run_slices(4 * SLICES);
    let wait = machine.longest_wait.iter().max().map_or(0, |ns| ns / SLICE);
    assert!(wait <= 30, "{wait} slices");
}
