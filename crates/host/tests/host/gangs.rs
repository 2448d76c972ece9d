//! Strict co-scheduling.

use crate::rig::{Rig, SLICE, config};
use pvqspin_abi::{RunState, Status};
use pvqspin_host::{Scheduling, YieldMode};

fn gangs(pcpus: usize, vms: &[(usize, u32)]) -> Rig {
    let mut rig = Rig::new(
        config(pcpus, Scheduling::CoScheduled, YieldMode::Contract),
        vms,
    );
    rig.start_all();
    rig
}

/// One slice passes; pCPU `first` notices, and pokes the others.
fn next_gang(rig: &mut Rig, first: usize) {
    rig.pass(SLICE);
    let _ = rig.reschedule(first);
    rig.deliver();
}

#[test]
fn all_pcpus_switch_together() {
    let mut rig = gangs(2, &[(2, 1), (2, 1)]);
    for round in 0..6 {
        let expected = if round % 2 == 0 { [0, 1] } else { [2, 3] };
        assert_eq!(rig.on(), expected.map(Some), "round {round}");
        next_gang(&mut rig, round % 2);
    }
}

#[test]
fn a_vm_with_more_vcpus_than_pcpus_runs_as_several_gangs() {
    let mut rig = gangs(2, &[(5, 1)]);
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(rig.on());
        next_gang(&mut rig, 0);
    }
    assert_eq!(
        seen,
        [
            [Some(0), Some(1)],
            [Some(2), Some(3)],
            // Strict: no vCPU fills the gap, although others wait.
            [Some(4), None],
        ]
    );
    assert_eq!(rig.on(), [Some(0), Some(1)]);
}

#[test]
fn a_pcpu_whose_member_sleeps_stays_idle() {
    let mut rig = gangs(2, &[(2, 1), (2, 1)]);
    let _ = rig.halt(1, None);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0), None]);
    assert!(pvqspin_host::GuestPages::vm(&rig.pages[0]).pressure());
    assert_eq!(rig.kick(0, 1), Status::Ran);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0), Some(1)]);
}

#[test]
fn a_gang_that_sleeps_as_a_whole_makes_room_at_once() {
    let mut rig = gangs(2, &[(2, 1), (2, 1)]);
    let _ = rig.block(0);
    let _ = rig.block(1);
    rig.deliver();
    assert_eq!(rig.on(), [Some(2), Some(3)]);
    rig.start(0);
    rig.deliver();
    assert_eq!(rig.on(), [Some(2), Some(3)]); // not before its turn
    next_gang(&mut rig, 0);
    assert_eq!(rig.on(), [Some(0), None]);
}

#[test]
fn a_gang_alone_goes_on_unseen() {
    let mut rig = gangs(2, &[(2, 1)]);
    let before = [rig.page(0).run(), rig.page(1).run()];
    next_gang(&mut rig, 0);
    next_gang(&mut rig, 1);
    assert_eq!([rig.page(0).run(), rig.page(1).run()], before);
}

#[test]
fn a_yield_reaches_another_gang_of_the_vm_within_the_slice() {
    let mut rig = gangs(2, &[(4, 1)]);
    let end = rig.now + SLICE;
    rig.pass(SLICE - 10);
    let outcome = rig.yield_to(0, 3);
    assert_eq!(outcome.status, Status::Ran);
    // No stretching: the other pCPUs switch at the gang's end.
    assert_eq!(outcome.run.until, Some(end));
    assert_eq!(rig.on(), [Some(3), Some(1)]);
    rig.pass(10);
    let _ = rig.reschedule(1);
    rig.deliver();
    // pCPU 1 came first, and 3 was still on loan at pCPU 0.
    assert_eq!(rig.on(), [Some(3), Some(2)]);
    assert_eq!(rig.state(0), RunState::Preempted);
}

#[test]
fn gangs_get_time_by_weight() {
    let mut rig = gangs(2, &[(2, 3), (2, 1)]);
    for round in 0..400 {
        next_gang(&mut rig, round % 2);
    }
    let ran = |vcpus: [usize; 2]| vcpus.map(|v| rig.stats(v).ran_ns).iter().sum::<u64>() / SLICE;
    let (heavy, light) = (ran([0, 1]), ran([2, 3]));
    assert!(heavy.abs_diff(600) <= 4, "{heavy}");
    assert!(light.abs_diff(200) <= 4, "{light}");
}
