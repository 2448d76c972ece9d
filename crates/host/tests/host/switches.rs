//! A contract host with a part of the contract switched off, to measure what that part saves.

use crate::rig::{Rig, config};
use pvqspin_abi::{RunState, Status};
use pvqspin_host::{Config, Scheduling, YieldMode};

fn rig(pcpus: usize, vcpus: usize, switch: impl Fn(&mut Config)) -> Rig {
    let mut config = config(pcpus, Scheduling::RoundRobin, YieldMode::Contract);
    switch(&mut config);
    let mut rig = Rig::new(config, &[(vcpus, 1)]);
    rig.start_all();
    rig
}

fn direct(config: &mut Config) {
    config.follow_chain = false;
}

fn unordered(config: &mut Config) {
    config.ordered = false;
}

#[test]
fn without_following_the_hint_is_taken_as_it_is() {
    let mut rig = rig(1, 4, direct);
    rig.waits(1, Some(2));
    rig.waits(2, Some(3));
    assert_eq!(rig.yield_to(0, 1).status, Status::Ran);
    assert_eq!(rig.on(), [Some(1)], "the waiter, not the holder");
    assert_eq!(rig.stats(0).chains, 0);
    // One hypercall for each hop is what it costs.
    assert_eq!(rig.yield_to(0, 2).status, Status::Ran);
    assert_eq!(rig.yield_to(0, 3).status, Status::Ran);
    assert_eq!(rig.on(), [Some(3)]);
}

#[test]
fn without_following_a_waiter_that_runs_or_sleeps_is_the_end() {
    let mut rig = rig(2, 4, direct);
    rig.waits(1, Some(2));
    assert_eq!(rig.yield_to(0, 1).status, Status::AlreadyRunning);
    let _ = rig.halt(1, None); // 1 sleeps, 2 runs in its place
    assert_eq!(rig.yield_to(0, 1).status, Status::Refused);
}

#[test]
fn hops_are_counted_where_chains_are_followed() {
    let mut rig = rig(1, 4, |_| {});
    rig.waits(1, Some(2));
    rig.waits(2, Some(3));
    let _ = rig.yield_to(0, 1);
    let stats = rig.stats(0);
    assert_eq!(
        (stats.chains, stats.chain_hops, stats.longest_chain),
        (1, 2, 2)
    );
}

#[test]
fn without_ordering_a_kicked_one_waits_for_its_turn() {
    let mut rig = rig(2, 4, unordered);
    let _ = rig.halt(0, None); // 0 sleeps, 2 runs in its place
    rig.waits(1, Some(2)); // 1 only spins
    assert_eq!(rig.kick(0, 0), Status::Refused);
    rig.deliver();
    assert_eq!(rig.on(), [Some(2), Some(1)], "no vCPU makes room");
    assert_eq!(rig.state(0), RunState::Preempted, "but it is awake");
}

#[test]
fn without_ordering_an_idle_pcpu_is_still_used() {
    let mut rig = rig(2, 2, unordered);
    let _ = rig.halt(1, None);
    assert_eq!(rig.kick(0, 1), Status::Ran);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0), Some(1)]);
}

#[test]
fn without_ordering_a_lent_slice_does_not_come_back() {
    for (ordered, next) in [(true, 0), (false, 1)] {
        let mut rig = rig(1, 3, |config| config.ordered = ordered);
        let _ = rig.yield_to(0, 2); // 0 lends its slice to 2; 1 has waited longest
        let _ = rig.halt(0, None);
        assert_eq!(rig.on(), [Some(next)], "ordered: {ordered}");
    }
}
