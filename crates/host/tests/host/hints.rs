//! The hint-only host: buddies, homes, eligibility, expiry.

use crate::rig::{Rig, SLICE, config};
use pvqspin_abi::{Generation, Hint, Hypercall, RunState, Status};
use pvqspin_host::{Scheduling, YieldMode};

fn hint_only(pcpus: usize, scheduling: Scheduling, vms: &[(usize, u32)]) -> Rig {
    let mut rig = Rig::new(config(pcpus, scheduling, YieldMode::Hint), vms);
    rig.start_all();
    rig
}

/// Lets each vCPU run a slice in turn on one pCPU, so that all have run the same.
fn rotate(rig: &mut Rig, slices: usize) {
    for _ in 0..slices {
        rig.pass(SLICE);
        let _ = rig.reschedule(0);
    }
}

#[test]
fn a_buddy_that_is_eligible_goes_first_on_a_slice_of_its_own() {
    let mut rig = hint_only(1, Scheduling::RoundRobin, &[(4, 1)]);
    rig.pass(1_000);
    let outcome = rig.yield_to(0, 3); // 1 is next in turn
    assert_eq!(outcome.status, Status::Ran);
    assert_eq!(rig.on(), [Some(3)]);
    assert_eq!(outcome.run.until, Some(rig.now + SLICE));
    rig.pass(500);
    let _ = rig.reschedule(0);
    assert_eq!(rig.stats(3).charged_ns, 500); // nothing is donated
    assert_eq!(rig.stats(0).charged_ns, 1_000);
    assert_eq!(rig.stats(3).loans, 0);
}

#[test]
fn a_buddy_that_had_more_than_its_share_is_passed_by() {
    let mut rig = hint_only(1, Scheduling::RoundRobin, &[(4, 1)]);
    rotate(&mut rig, 1); // 0 has run a slice, 1 runs, 2, 3, 0 wait
    rig.pass(1_000);
    let outcome = rig.yield_to(0, 0);
    assert_eq!(outcome.status, Status::Refused);
    assert_eq!(rig.on(), [Some(2)]);
    assert_eq!(rig.state(0), RunState::Preempted);
    // The caller has lost its pCPU all the same: that is what makes it a poor bargain.
    assert_eq!(rig.state(1), RunState::Preempted);
}

#[test]
fn a_buddy_is_forgotten_after_one_pick() {
    let mut rig = hint_only(1, Scheduling::RoundRobin, &[(4, 1)]);
    rotate(&mut rig, 1);
    let _ = rig.yield_to(0, 0); // not eligible; 2 runs, 3, 0, 1 wait
    rotate(&mut rig, 1); // now 0 would be below the average of some, but was forgotten
    assert_eq!(rig.on(), [Some(3)]);
}

#[test]
fn no_chain_is_followed() {
    let mut rig = hint_only(1, Scheduling::RoundRobin, &[(4, 1)]);
    rig.waits(2, Some(3));
    assert_eq!(rig.yield_to(0, 2).status, Status::Ran);
    assert_eq!(rig.on(), [Some(2)]);
    assert_eq!(rig.stats(0).longest_chain, 0);
}

#[test]
fn a_target_with_its_home_elsewhere_is_not_moved_here() {
    let mut rig = hint_only(2, Scheduling::RoundRobin, &[(4, 1)]);
    rig.pass(1_000);
    // 1 leaves pCPU 1 early, and has run the least; 3 goes there, 2 stays in line.
    let on_1 = rig.yield_to(1, 3);
    assert_eq!(on_1.status, Status::Ran);
    assert_eq!(rig.on(), [Some(0), Some(3)]);
    rig.pass(10_000); // 0 runs on; both pCPUs are charged at their own events
    let _ = rig.reschedule(1);
    // 0 yields to 1, whose home is pCPU 1: that one is poked, and 2 runs here.
    let outcome = rig.yield_to(0, 1);
    assert_eq!(outcome.status, Status::Refused);
    assert_eq!(rig.on(), [Some(2), Some(3)]);
    assert_eq!(rig.pokes.len(), 1);
    rig.deliver();
    assert_eq!(rig.on(), [Some(2), Some(1)]);
}

#[test]
fn one_that_a_buddy_displaced_keeps_its_turn_and_the_rest_of_its_slice() {
    let mut rig = hint_only(2, Scheduling::RoundRobin, &[(5, 1)]);
    let _ = rig.yield_to(1, 3); // on: 0, 3; waiting: 2, 4, 1
    rig.pass(SLICE / 4);
    let _ = rig.reschedule(1);
    let _ = rig.yield_to(0, 1); // on: 2, 3; pCPU 1 is poked for 1
    rig.deliver(); // on: 2, 1; 3 keeps its turn: it is first in line again
    assert_eq!(rig.on(), [Some(2), Some(1)]);
    rig.pass(SLICE);
    let next: Vec<_> = (0..2).map(|p| rig.reschedule(p)).collect();
    let position = rig.on().iter().position(|&on| on == Some(3)).expect("next");
    assert_eq!(next[position].until, Some(rig.now + SLICE * 3 / 4));
}

#[test]
fn yields_that_make_no_sense_leave_the_caller_alone() {
    let mut rig = hint_only(2, Scheduling::Fair, &[(4, 1)]);
    assert_eq!(rig.yield_to(0, 1).status, Status::AlreadyRunning);
    assert_eq!(rig.yield_to(0, 0).status, Status::Refused);
    assert_eq!(rig.yield_to(0, 77).status, Status::Refused);
    let stale = Hint {
        cpu: crate::rig::cpu(2),
        generation: Generation::new(9),
    };
    let outcome = rig.call(0, Hypercall::YieldTo(stale));
    assert_eq!(outcome.status, Status::Stale);
    assert_eq!(rig.on(), [Some(0), Some(1)]);
}

#[test]
fn a_halt_with_a_hint_asks_for_the_target_next() {
    let mut rig = hint_only(1, Scheduling::RoundRobin, &[(4, 1)]);
    assert_eq!(rig.halt(0, Some(3)).status, Status::Ran);
    assert_eq!(rig.on(), [Some(3)]);
    assert_eq!(rig.state(0), RunState::Halted);
}

#[test]
fn a_kicked_one_is_first_in_line_where_it_ran_last() {
    let mut rig = hint_only(1, Scheduling::RoundRobin, &[(4, 1)]);
    let _ = rig.halt(0, None); // 1 runs, 2, 3 wait
    assert_eq!(rig.kick(0, 0), Status::Refused);
    assert_eq!(rig.on(), [Some(1)]); // no vCPU is moved out
    assert_eq!(rig.state(0), RunState::Preempted);
    rotate(&mut rig, 1);
    assert_eq!(rig.on(), [Some(0)]);
}

#[test]
fn a_kicked_one_runs_at_once_where_a_pcpu_idles() {
    let mut rig = hint_only(2, Scheduling::RoundRobin, &[(2, 1)]);
    let _ = rig.halt(1, None);
    assert_eq!(rig.kick(0, 1), Status::Ran);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0), Some(1)]);
}
