//! pCPUs that go and come back, pages that do, and VMs that end in the middle of things: no other
//! loses anything.

use std::sync::Arc;

use crate::machine::{Guest, Machine, VmPlan};
use crate::rig::{Rig, SLICE, config};
use pvqspin_abi::{RunState, Status};
use pvqspin_host::{GuestPages, HeapPages, Pcpu, Run, Scheduling, VmId, YieldMode};

#[test]
fn who_ran_on_a_pcpu_that_goes_keeps_its_place() {
    let mut rig = Rig::contract(2, 4); // on: 0, 1; waiting: 2, 3
    rig.pass(SLICE / 4);
    assert!(rig.offline(1));
    assert_eq!(rig.on(), [Some(0), None]);
    assert_eq!(rig.state(1), RunState::Preempted);
    rig.pass(SLICE);
    let run = rig.reschedule(0);
    // It had its turn before those who waited, and gets what was left of its slice.
    assert_eq!(rig.on(), [Some(1), None]);
    assert_eq!(run.until, Some(rig.now + SLICE * 3 / 4));
}

#[test]
fn an_offline_pcpu_has_nothing_to_run_and_nothing_to_say() {
    let mut rig = Rig::contract(2, 3);
    assert!(rig.offline(1));
    assert_eq!(rig.reschedule(1), Run::IDLE);
    let outcome = rig.yield_to_from_nobody(1);
    assert_eq!((outcome.status, outcome.run), (Status::Refused, Run::IDLE));
    assert!(!rig.host.is_online(Pcpu::new(1)));
    assert!(!rig.offline(1), "it has gone already");
    assert!(!rig.offline(0), "it is the last one");
    assert!(!rig.offline(7) && !rig.online(7), "there is no such pCPU");
    assert!(!rig.online(0), "it was never away");
}

#[test]
fn a_pcpu_that_comes_back_is_poked_for_those_who_wait() {
    let mut rig = Rig::contract(2, 3);
    assert!(rig.offline(1));
    assert!(rig.online(1));
    assert_eq!(rig.pokes, [Pcpu::new(1)]);
    rig.deliver();
    assert!(rig.on().iter().all(Option::is_some));
    // And not if none does.
    let mut rig = Rig::contract(2, 1);
    assert!(rig.offline(1) && rig.online(1));
    assert_eq!(rig.pokes, []);
}

#[test]
fn everybody_runs_on_what_is_left_under_every_policy() {
    for scheduling in Scheduling::ALL {
        for yields in YieldMode::ALL {
            let mut rig = Rig::new(config(3, scheduling, yields), &[(3, 1), (2, 1)]);
            rig.start_all();
            assert!(rig.offline(1) && rig.offline(2));
            rig.deliver();
            let before: Vec<_> = (0..5).map(|vcpu| rig.stats(vcpu).ran_ns).collect();
            for _ in 0..60 {
                rig.pass(SLICE);
                let _ = rig.reschedule(0);
                rig.deliver();
            }
            for (vcpu, before) in before.into_iter().enumerate() {
                let ran = rig.stats(vcpu).ran_ns - before;
                assert!(
                    ran >= 5 * SLICE,
                    "{scheduling} {yields}: vCPU {vcpu} ran {ran}"
                );
            }
        }
    }
}

#[test]
fn a_borrower_whose_pcpu_goes_costs_the_owner_nothing_more() {
    let mut rig = Rig::contract(2, 4);
    rig.pass(1_000);
    assert_eq!(rig.yield_to(1, 3).status, Status::Ran);
    rig.pass(1_000);
    assert!(rig.offline(1));
    assert_eq!(rig.state(3), RunState::Preempted);
    assert_eq!(
        (rig.stats(1).charged_ns, rig.stats(3).ran_ns),
        (2_000, 1_000)
    );
    for _ in 0..8 {
        rig.pass(SLICE);
        let _ = rig.reschedule(0);
    }
    assert!((0..4).all(|vcpu| rig.stats(vcpu).ran_ns > SLICE));
}

#[test]
fn a_reservation_on_a_pcpu_that_goes_loses_nobody() {
    let mut rig = Rig::contract(2, 2);
    let _ = rig.halt(1, None);
    let _ = rig.block(0);
    rig.start(0);
    rig.deliver();
    assert_eq!(rig.kick(0, 1), Status::Ran);
    // Wherever it was to run, that one goes before it comes.
    assert!(rig.offline(1));
    rig.pass(SLICE);
    let _ = rig.reschedule(0);
    assert!(rig.on().contains(&Some(1)), "{:?}", rig.on());
}

#[test]
fn pages_that_go_away_are_not_touched_again() {
    let mut rig = Rig::new(*Rig::contract(1, 1).host.config(), &[(3, 1), (2, 1)]);
    rig.start_all();
    rig.waits(1, Some(2));
    let old = rig.pages[0].clone();
    let seen = |pages: &Arc<HeapPages>| {
        let run = |n| pages.vcpu(crate::rig::cpu(n)).run();
        ([0, 1, 2].map(run), pages.vm().pressure())
    };
    let before = seen(&old);
    rig.replace_pages(0);
    assert_eq!(
        seen(&rig.pages[0]),
        before,
        "the new ones say the same at once"
    );
    // No edge any more: the hint is taken as it is.
    assert_eq!(rig.yield_to(0, 1).status, Status::Ran);
    assert_eq!(rig.on(), [Some(1)]);
    rig.kill(1);
    rig.kill(0);
    assert_eq!(seen(&old), before);
    let nowhere = rig.host.replace_pages(VmId::new(9), old);
    assert!(nowhere.is_err());
}

/// Locking VMs, one of which is killed in the middle: what the other one runs.
fn beside_one_that_is_killed(scheduling: Scheduling, seed: u64) {
    let locker = |vcpus| VmPlan {
        vcpus,
        weight: 1,
        guest: Guest::Locker,
    };
    let vms = [locker(4), locker(3)];
    let mut machine = Machine::new(2, scheduling, YieldMode::Contract, &vms, seed);
    machine.run_slices(20);
    machine.kill(0);
    let (killed, other) = (machine.ran(0), machine.ran(1));
    machine.run_slices(40);
    assert_eq!(machine.ran(0), killed, "none of its vCPUs runs again");
    // Its vCPUs sleep now and then; a pCPU idles only while all who could run do.
    assert!(
        machine.ran(1) > other + 20 * SLICE,
        "{scheduling} seed {seed}"
    );
}

#[test]
fn a_vm_that_is_killed_while_it_holds_waits_or_lends_costs_nobody_anything() {
    for scheduling in Scheduling::ALL {
        for seed in 0..20 {
            beside_one_that_is_killed(scheduling, seed);
        }
    }
}

#[test]
fn a_vcpu_that_ends_while_others_wait_for_it_is_nobodys_target() {
    let mut rig = Rig::contract(1, 3);
    rig.waits(1, Some(0));
    let _ = rig.exit(0); // 0 ends, 1 runs and waits for it
    assert_eq!(rig.yield_to(0, 0).status, Status::Refused);
    // A chain that leads to it ends before it.
    rig.waits(2, Some(0));
    assert_eq!(rig.yield_to(0, 2).status, Status::Ran);
    assert_eq!(rig.kick(0, 0), Status::Refused);
    assert_eq!(rig.on(), [Some(2)]);
}

#[test]
fn a_late_timer_is_paid_for_by_whose_slice_it_was() {
    let mut rig = Rig::contract(1, 3);
    rig.pass(3 * SLICE); // the signal was lost, and some other event came in the end
    let _ = rig.reschedule(0);
    assert_eq!(rig.stats(0).charged_ns, 3 * SLICE);
    rig.pass(SLICE);
    let _ = rig.reschedule(0);
    rig.pass(SLICE);
    // Its next slice is a short one.
    let run = rig.reschedule(0);
    assert_eq!(rig.on(), [Some(0)]);
    assert_eq!(run.until, Some(rig.now + SLICE / 2));
}

#[test]
fn a_storm_of_kicks_takes_nothing_from_another_vm() {
    for scheduling in [Scheduling::RoundRobin, Scheduling::Fair, Scheduling::Credit] {
        let mut rig = Rig::new(
            config(2, scheduling, YieldMode::Contract),
            &[(4, 1), (4, 1)],
        );
        rig.start_all();
        for step in 0..4_000 {
            rig.pass(SLICE / 20);
            for p in 0..2 {
                if rig.current(p).is_some_and(|vcpu| vcpu < 4) {
                    let _ = rig.kick(p, step % 4);
                    if step % 7 == 0 {
                        let _ = rig.halt(p, None);
                    }
                }
                if step % 20 == 10 * p {
                    let _ = rig.reschedule(p);
                }
            }
            rig.deliver();
        }
        let ran = |vcpus: core::ops::Range<usize>| -> u64 {
            vcpus.map(|vcpu| rig.stats(vcpu).ran_ns).sum()
        };
        let (storm, other) = (ran(0..4), ran(4..8));
        assert!(storm <= other + 12 * SLICE, "{scheduling}: {storm} {other}");
    }
}
