//! Who runs next when no call named a vCPU.

use crate::rig::{Rig, SLICE, config};
use pvqspin_abi::Status;
use pvqspin_host::{Scheduling, YieldMode};

fn one_pcpu(scheduling: Scheduling, vms: &[(usize, u32)]) -> Rig {
    Rig::new(config(1, scheduling, YieldMode::Contract), vms)
}

fn slices(rig: &mut Rig, count: usize) -> Vec<usize> {
    (0..count)
        .map(|_| {
            let current = rig.current(0).expect("busy");
            rig.pass(SLICE);
            let _ = rig.reschedule(0);
            rig.deliver();
            current
        })
        .collect()
}

#[test]
fn round_robin_goes_round_whatever_the_weights() {
    let mut rig = one_pcpu(Scheduling::RoundRobin, &[(1, 9), (2, 1)]);
    rig.start_all();
    assert_eq!(slices(&mut rig, 6), [0, 1, 2, 0, 1, 2]);
}

#[test]
fn fair_follows_the_weights() {
    let mut rig = one_pcpu(Scheduling::Fair, &[(1, 3), (1, 1)]);
    rig.start_all();
    let order = slices(&mut rig, 400);
    let heavy = order.iter().filter(|&&vcpu| vcpu == 0).count();
    assert!(heavy.abs_diff(300) <= 1, "{heavy}");
}

#[test]
fn credit_follows_the_weights() {
    let mut rig = one_pcpu(Scheduling::Credit, &[(1, 3), (1, 1)]);
    rig.start_all();
    let order = slices(&mut rig, 400);
    let heavy = order.iter().filter(|&&vcpu| vcpu == 0).count();
    assert!(heavy.abs_diff(300) <= 4, "{heavy}");
}

#[test]
fn credit_that_a_heavy_vcpu_cannot_use_goes_to_the_others() {
    // On two pCPUs the heavy one can use one at most; the rest is for the two light ones.
    let mut rig = Rig::new(
        config(2, Scheduling::Credit, YieldMode::Contract),
        &[(1, 100), (1, 3), (1, 1)],
    );
    rig.start_all();
    for _ in 0..400 {
        rig.pass(SLICE);
        for p in 0..2 {
            let _ = rig.reschedule(p);
            rig.deliver();
        }
    }
    let ran = [0, 1, 2].map(|vcpu| rig.stats(vcpu).ran_ns / SLICE);
    assert!(ran[0] >= 390, "{ran:?}");
    assert!(ran[1].abs_diff(300) <= 12, "{ran:?}");
}

#[test]
fn sleep_saves_nothing_up() {
    for scheduling in [Scheduling::Fair, Scheduling::Credit] {
        let mut rig = one_pcpu(scheduling, &[(2, 1)]);
        rig.start(0);
        rig.deliver();
        slices(&mut rig, 1_000);
        rig.start(1);
        rig.deliver();
        let order = slices(&mut rig, 40);
        let late = order.iter().filter(|&&vcpu| vcpu == 1).count();
        assert!(late.abs_diff(20) <= 4, "{scheduling}: {late}");
    }
}

#[test]
fn fair_lets_a_sleeper_preempt_one_that_ran_long() {
    let mut rig = one_pcpu(Scheduling::Fair, &[(2, 1)]);
    rig.start_all();
    rig.pass(1);
    let _ = rig.block(0); // 1 runs
    rig.pass(SLICE / 8);
    rig.start(0);
    rig.deliver();
    assert_eq!(rig.on(), [Some(1)]); // too little between them
    let _ = rig.block(0);
    let _ = rig.block(0);
    rig.start(1);
    rig.deliver();
    rig.pass(SLICE - 1);
    rig.start(0);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0)]);
}

#[test]
fn credit_boosts_one_that_wakes_with_credit_once() {
    let mut rig = one_pcpu(Scheduling::Credit, &[(3, 1)]);
    rig.start_all();
    slices(&mut rig, 30); // credit has been handed out, and all know the rhythm
    let sleeper = rig.current(0).expect("busy");
    let _ = rig.block(0);
    slices(&mut rig, 8);
    rig.pass(SLICE / 4);
    rig.start(sleeper);
    rig.deliver();
    assert_ne!(
        rig.on(),
        [Some(sleeper)],
        "a slice that has just begun is left alone"
    );
    let _ = rig.block(0);
    let _ = rig.reschedule(0);
    let _ = rig.block(0);
    for vcpu in 0..3 {
        rig.start(vcpu);
    }
    rig.deliver();
    slices(&mut rig, 30);
    while rig.current(0) != Some(sleeper) {
        slices(&mut rig, 1);
    }
    let _ = rig.block(0);
    slices(&mut rig, 8);
    rig.pass(SLICE / 2);
    rig.start(sleeper);
    rig.deliver();
    assert_eq!(rig.on(), [Some(sleeper)]);
}

#[test]
fn round_robin_and_gangs_know_no_preemption_by_waking() {
    for scheduling in [Scheduling::RoundRobin, Scheduling::CoScheduled] {
        let mut rig = one_pcpu(scheduling, &[(1, 1), (1, 1)]);
        rig.start(0);
        rig.deliver();
        rig.pass(SLICE - 1);
        rig.start(1);
        rig.deliver();
        assert_eq!(rig.on(), [Some(0)], "{scheduling}");
    }
}

#[test]
fn a_donor_that_waits_is_moved_back_as_it_pays() {
    let mut rig = one_pcpu(Scheduling::Fair, &[(2, 1), (1, 1)]);
    rig.start_all();
    rig.pass(1);
    assert_eq!(rig.yield_to(0, 1).status, Status::Ran);
    rig.pass(SLICE);
    let _ = rig.reschedule(0);
    // 0 has paid for a slice and a bit, 1 and 2 for nothing: after a slice each, it is still
    // not 0's turn.
    assert_eq!(slices(&mut rig, 3), [2, 1, 2]);
}
