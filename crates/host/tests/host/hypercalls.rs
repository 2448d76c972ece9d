//! Every hypercall, every status.

use crate::rig::{Rig, SLICE, cpu};
use pvqspin_abi::{Generation, Hint, Hypercall, RunState, Status};

#[test]
fn a_yield_runs_a_preempted_target_here_and_now() {
    let mut rig = Rig::contract(1, 2);
    let before = rig.page(1).run().generation();
    let outcome = rig.yield_to(0, 1);
    assert_eq!(outcome.status, Status::Ran);
    assert_eq!(rig.on(), [Some(1)]);
    assert_eq!(rig.state(0), RunState::Preempted);
    assert_eq!(rig.page(1).run().generation(), before.next());
    assert_eq!(rig.stats(0).yields.ran, 1);
}

#[test]
fn a_yield_to_a_running_target_changes_nothing() {
    let mut rig = Rig::contract(2, 2);
    let outcome = rig.yield_to(0, 1);
    assert_eq!(outcome.status, Status::AlreadyRunning);
    assert_eq!(rig.on(), [Some(0), Some(1)]);
    assert_eq!(rig.stats(0).yields.already_running, 1);
}

#[test]
fn a_yield_with_an_old_generation_is_stale() {
    let mut rig = Rig::contract(1, 2);
    let old = rig.hint(0, 1);
    rig.pass(SLICE);
    assert_eq!(rig.reschedule(0).vcpu.map(|v| v.index()), Some(1));
    rig.pass(SLICE);
    let _ = rig.reschedule(0);
    let outcome = rig.call(0, Hypercall::YieldTo(old));
    assert_eq!(outcome.status, Status::Stale);
    assert_eq!(rig.on(), [Some(0)]);
    assert_eq!(rig.stats(0).yields.stale, 1);
}

#[test]
fn a_yield_to_nobody_itself_or_a_sleeper_is_refused() {
    let mut rig = Rig::contract(1, 3);
    assert_eq!(rig.yield_to(0, 99).status, Status::Refused);
    assert_eq!(rig.yield_to(0, 0).status, Status::Refused);
    let _ = rig.halt(0, None); // 0 sleeps, 1 runs
    assert_eq!(rig.yield_to(0, 0).status, Status::Refused);
    let _ = rig.block(0); // 1 sleeps, 2 runs
    assert_eq!(rig.yield_to(0, 1).status, Status::Refused);
    assert_eq!(rig.on(), [Some(2)]);
    assert_eq!(rig.stats(0).yields.refused, 2);
}

#[test]
fn one_vm_cannot_name_a_vcpu_of_another() {
    let mut rig = Rig::new(*Rig::contract(1, 1).host.config(), &[(2, 1), (2, 1)]);
    rig.start_all();
    assert_eq!(rig.yield_to(0, 2).status, Status::Refused);
    assert_eq!(rig.kick(0, 2), Status::Refused);
    assert_eq!(rig.on(), [Some(0)]);
}

#[test]
fn a_yield_follows_the_chain_to_its_end() {
    let mut rig = Rig::contract(1, 4);
    rig.waits(1, Some(2));
    rig.waits(2, Some(3));
    assert_eq!(rig.yield_to(0, 1).status, Status::Ran);
    assert_eq!(rig.on(), [Some(3)]);
    assert_eq!(rig.stats(0).longest_chain, 2);
}

#[test]
fn a_chain_that_comes_back_to_the_caller_runs_the_one_before_it() {
    let mut rig = Rig::contract(1, 4);
    rig.waits(1, Some(2));
    rig.waits(2, Some(0));
    assert_eq!(rig.yield_to(0, 1).status, Status::Ran);
    assert_eq!(rig.on(), [Some(2)]);
}

#[test]
fn a_cycle_runs_the_hinted_one() {
    let mut rig = Rig::contract(1, 4);
    rig.waits(1, Some(2));
    rig.waits(2, Some(1));
    assert_eq!(rig.yield_to(0, 1).status, Status::Ran);
    assert_eq!(rig.on(), [Some(1)]);
}

#[test]
fn a_chain_that_ends_asleep_runs_the_last_preempted_on_the_way() {
    let mut rig = Rig::contract(1, 4);
    let _ = rig.halt(0, None); // 0 sleeps, 1 runs, 2 and 3 wait
    rig.waits(3, Some(2));
    rig.waits(2, Some(0));
    assert_eq!(rig.yield_to(0, 3).status, Status::Ran);
    assert_eq!(rig.on(), [Some(2)]);
}

#[test]
fn a_halted_waiter_on_the_way_is_followed() {
    let mut rig = Rig::contract(1, 3);
    let _ = rig.halt(0, None); // 0 sleeps, 1 runs, 2 waits
    rig.waits(0, Some(2));
    assert_eq!(rig.yield_to(0, 0).status, Status::Ran);
    assert_eq!(rig.on(), [Some(2)]);
}

#[test]
fn a_halt_runs_its_target_and_reports_it() {
    let mut rig = Rig::contract(1, 3);
    let outcome = rig.halt(0, Some(2));
    assert_eq!(outcome.status, Status::Ran);
    assert_eq!(rig.on(), [Some(2)]);
    assert_eq!(rig.state(0), RunState::Halted);
    assert_eq!(rig.stats(0).halts, 1);
    assert_eq!(rig.stats(0).halt_hints.ran, 1);
}

#[test]
fn a_halt_with_a_bad_hint_halts_all_the_same() {
    let mut rig = Rig::contract(2, 4);
    let stale = Hint {
        cpu: cpu(2),
        generation: Generation::new(77),
    };
    let outcome = rig.call(0, Hypercall::Halt(Some(stale)));
    assert_eq!(outcome.status, Status::Stale);
    assert_eq!(rig.on(), [Some(2), Some(1)]);
    assert_eq!(rig.halt(0, Some(1)).status, Status::AlreadyRunning);
    assert_eq!(rig.halt(0, Some(99)).status, Status::Refused);
    for halted in [0, 2, 3] {
        assert_eq!(rig.state(halted), RunState::Halted);
    }
    assert_eq!(rig.on(), [None, Some(1)]);
}

#[test]
fn a_kick_before_the_halt_is_remembered_once() {
    let mut rig = Rig::contract(2, 2);
    assert_eq!(rig.kick(0, 1), Status::AlreadyRunning);
    assert_eq!(rig.kick(0, 1), Status::AlreadyRunning);
    let outcome = rig.halt(1, None);
    assert_eq!(outcome.status, Status::Ran);
    assert_eq!(rig.on(), [Some(0), Some(1)]);
    assert_eq!(rig.stats(1).halts_avoided, 1);
    assert_eq!(rig.stats(1).halts, 0);
    let _ = rig.halt(1, None);
    assert_eq!(rig.on(), [Some(0), None]);
    assert_eq!(rig.stats(1).halts, 1);
}

#[test]
fn a_preempted_target_remembers_its_kick_too() {
    let mut rig = Rig::contract(1, 2);
    assert_eq!(rig.kick(0, 1), Status::AlreadyRunning);
    let _ = rig.yield_to(0, 1);
    let _ = rig.halt(0, None);
    assert_eq!(rig.on(), [Some(1)]);
}

#[test]
fn a_kick_goes_to_an_idle_pcpu_first() {
    let mut rig = Rig::contract(2, 2);
    let _ = rig.halt(1, None);
    assert_eq!(rig.kick(0, 1), Status::Ran);
    assert_eq!(rig.state(1), RunState::Preempted);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0), Some(1)]);
    assert_eq!(rig.stats(0).kicks.ran, 1);
}

#[test]
fn a_kick_displaces_one_that_only_spins() {
    let mut rig = Rig::contract(2, 3);
    let _ = rig.halt(1, None); // 0 and 2 run
    rig.waits(2, Some(1));
    rig.pass(1_000);
    assert_eq!(rig.kick(0, 1), Status::Ran);
    assert_eq!(rig.on(), [Some(0), Some(2)]);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0), Some(1)]);
    assert_eq!(rig.state(2), RunState::Preempted);
    assert_eq!(rig.stats(1).loans, 1);
    // The spinner pays.
    rig.pass(5_000);
    let _ = rig.reschedule(1);
    assert_eq!(rig.stats(2).charged_ns - rig.stats(2).ran_ns, 5_000);
}

#[test]
fn one_that_stopped_spinning_is_left_alone() {
    let mut rig = Rig::contract(2, 3);
    let _ = rig.halt(1, None);
    rig.waits(2, Some(1));
    assert_eq!(rig.kick(0, 1), Status::Ran);
    rig.waits(2, None);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0), Some(2)]);
    assert_eq!(rig.state(1), RunState::Preempted);
}

#[test]
fn a_spinner_of_another_vm_is_left_alone() {
    let mut rig = Rig::new(*Rig::contract(2, 1).host.config(), &[(2, 1), (1, 1)]);
    rig.start_all(); // 0 and 1 run, 2 of the other VM waits
    let _ = rig.halt(1, None);
    assert_eq!(rig.on(), [Some(0), Some(2)]);
    rig.waits(2, Some(0));
    assert_eq!(rig.kick(0, 1), Status::Ran);
    rig.deliver();
    assert_eq!(rig.on(), [Some(1), Some(2)]);
}

#[test]
fn a_kick_without_room_elsewhere_takes_the_kickers_pcpu() {
    let mut rig = Rig::contract(1, 2);
    let _ = rig.halt(0, None);
    assert_eq!(rig.kick(0, 0), Status::Ran);
    assert_eq!(rig.on(), [Some(0)]);
    assert_eq!(rig.state(1), RunState::Preempted);
}

#[test]
fn a_kick_of_one_that_ended_or_never_was_is_refused() {
    let mut rig = Rig::contract(1, 2);
    let _ = rig.exit(0);
    assert_eq!(rig.kick(0, 0), Status::Refused);
    assert_eq!(rig.kick(0, 2), Status::Refused);
    assert_eq!(rig.stats(1).kicks.refused, 2);
}

#[test]
fn a_kick_of_oneself_ends_ones_next_halt() {
    let mut rig = Rig::contract(1, 1);
    assert_eq!(rig.kick(0, 0), Status::AlreadyRunning);
    let _ = rig.halt(0, None);
    assert_eq!(rig.on(), [Some(0)]);
}
