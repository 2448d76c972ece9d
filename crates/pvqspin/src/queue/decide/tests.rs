//! Every row of every table of [`decide`](super::decide).

use super::*;
use crate::policy::{Bounded, Fifo, FifoHalt, FifoHolder, Native, Policy};
use pvqspin_abi::{Cpu, Generation, RunSample};

const ON: RunState = RunState::Running;
const OFF: RunState = RunState::Preempted;
const ASLEEP: RunState = RunState::Halted;
const IDLE: RunState = RunState::Idle;

fn cpu(index: usize, state: RunState) -> Seen {
    Seen {
        cpu: Cpu::new(index).expect("in range"),
        sample: RunSample::new(state, Generation::default()),
    }
}

const NOTHING: Snapshot = Snapshot::NOTHING;

const BOUNDED: Rules = <Bounded>::RULES;
const ALL: [Rules; 5] = [
    Native::RULES,
    Fifo::RULES,
    FifoHalt::RULES,
    FifoHolder::RULES,
    BOUNDED,
];

/// CPU 1 stands before us.
fn behind(state: RunState, front: Front) -> Snapshot {
    Snapshot {
        before: Some(cpu(1, state)),
        front,
        ..NOTHING
    }
}

#[test]
fn in_the_queue_of_a_policy_that_does_not_yield_nothing_is_asked_for() {
    for rules in [Native::RULES, FifoHalt::RULES, FifoHolder::RULES] {
        for state in [ON, OFF, ASLEEP, IDLE] {
            for front in [Front::Unseen, Front::Free(cpu(2, OFF)), Front::Held(None)] {
                let seen = behind(state, front);
                assert_eq!(decide(&rules, Role::Queued, &seen), Action::LookAgain);
            }
        }
    }
}

#[test]
fn in_the_queue_in_strict_order() {
    let (head, holder) = (
        |state| Front::Free(cpu(2, state)),
        |state| Front::Held(Some(cpu(3, state))),
    );
    let before = |state| Action::Yield(cpu(1, state), Event::YieldToPredecessor);
    let look_again = Action::LookAgain;
    // The CPU before us, the front, what to do.
    let rows = [
        (ON, head(OFF), look_again),
        (ON, holder(OFF), look_again),
        (IDLE, head(OFF), look_again),
        (IDLE, holder(OFF), look_again),
        (OFF, holder(ON), before(OFF)),
        (OFF, holder(OFF), before(OFF)),
        (OFF, holder(ASLEEP), before(OFF)),
        (OFF, Front::Held(None), before(OFF)),
        (OFF, head(OFF), Action::YieldToHead(cpu(2, OFF))),
        (OFF, head(ASLEEP), Action::KickIfOverdue(cpu(2, ASLEEP))),
        (OFF, head(ON), Action::Wait),
        (OFF, head(IDLE), Action::Wait),
        (ASLEEP, holder(OFF), before(ASLEEP)),
        (ASLEEP, holder(ON), look_again),
        (ASLEEP, holder(ASLEEP), look_again),
        (ASLEEP, Front::Held(None), look_again),
        (ASLEEP, head(OFF), Action::YieldToHead(cpu(2, OFF))),
        (ASLEEP, head(ASLEEP), Action::KickIfOverdue(cpu(2, ASLEEP))),
        (ASLEEP, head(ON), look_again),
        (ASLEEP, head(IDLE), Action::Wait),
    ];
    for (state, front, action) in rows {
        let seen = behind(state, front);
        assert_eq!(
            decide(&Fifo::RULES, Role::Queued, &seen),
            action,
            "{seen:?}"
        );
    }
    assert_eq!(decide(&Fifo::RULES, Role::Queued, &NOTHING), look_again);
}

#[test]
fn in_the_queue_where_a_head_may_be_passed_over() {
    let (head, holder) = (
        |state| Front::Free(cpu(2, state)),
        |state| Front::Held(Some(cpu(3, state))),
    );
    let pass = |state| Action::PassOver(cpu(2, state));
    let hurry = |index, state| Action::Yield(cpu(index, state), Event::YieldToHolder);
    let wait = Action::Wait;
    // The CPU before us, the front, all between are off, closed, what to do.
    let rows = [
        (ON, head(OFF), true, false, Action::LookAgain),
        (OFF, head(OFF), true, false, pass(OFF)),
        (OFF, head(ASLEEP), true, false, pass(ASLEEP)),
        (OFF, head(ON), true, false, wait),
        (OFF, head(OFF), false, false, wait),
        (OFF, head(OFF), true, true, Action::YieldToHead(cpu(2, OFF))),
        (
            OFF,
            head(OFF),
            false,
            true,
            Action::YieldToHead(cpu(2, OFF)),
        ),
        (
            OFF,
            head(ASLEEP),
            true,
            true,
            Action::KickIfOverdue(cpu(2, ASLEEP)),
        ),
        (OFF, head(ON), true, true, wait),
        (ASLEEP, head(OFF), true, false, pass(OFF)),
        (ASLEEP, head(ON), true, false, Action::LookAgain),
        (OFF, holder(OFF), true, false, hurry(3, OFF)),
        (OFF, holder(ON), true, false, wait),
        (OFF, holder(ASLEEP), true, true, wait),
        (OFF, Front::Held(None), true, false, hurry(1, OFF)),
        (ASLEEP, holder(OFF), false, false, hurry(3, OFF)),
        (ASLEEP, Front::Held(None), false, false, Action::LookAgain),
    ];
    for (state, front, all_ahead_off, closed, action) in rows {
        let seen = Snapshot {
            all_ahead_off,
            closed,
            ..behind(state, front)
        };
        assert_eq!(decide(&BOUNDED, Role::Queued, &seen), action, "{seen:?}");
    }
}

#[test]
fn a_newcomer_goes_first_or_queues() {
    for (rules, state, all_ahead_off, closed, passes) in [
        (BOUNDED, OFF, true, false, true),
        (BOUNDED, ASLEEP, true, false, true),
        (BOUNDED, ON, true, false, false),
        (BOUNDED, OFF, false, false, false),
        (BOUNDED, OFF, true, true, false),
        (Fifo::RULES, OFF, true, false, false),
    ] {
        let head = cpu(2, state);
        let seen = Snapshot {
            front: Front::Free(head),
            all_ahead_off,
            closed,
            ..NOTHING
        };
        let action = if passes {
            Action::PassOver(head)
        } else {
            Action::LookAgain
        };
        assert_eq!(decide(&rules, Role::Newcomer, &seen), action, "{seen:?}");
    }
    let held = Snapshot {
        front: Front::Held(None),
        all_ahead_off: true,
        ..NOTHING
    };
    assert_eq!(decide(&BOUNDED, Role::Newcomer, &held), Action::LookAgain);
}

#[test]
fn when_to_sleep_in_the_queue() {
    let head = cpu(2, ASLEEP);
    let kick = Action::KickIfOverdue(head);
    let (halt, spin) = (Action::Halt, Action::LookAgain);
    // Rules, long hold, host refuses; what to do if it may halt, and if it may not but a head
    // sleeps.
    for (rules, long_hold, host_refuses, may, may_not) in [
        (Native::RULES, true, true, spin, spin),
        (FifoHalt::RULES, false, false, halt, spin),
        (FifoHolder::RULES, true, false, halt, spin),
        (Fifo::RULES, false, false, spin, spin),
        (Fifo::RULES, false, true, spin, spin),
        (Fifo::RULES, true, false, halt, kick),
        (BOUNDED, true, false, spin, spin),
        (BOUNDED, false, true, halt, kick),
    ] {
        let seen = Snapshot {
            long_hold,
            host_refuses,
            may_halt: true,
            sleeping_head: Some(head),
            ..NOTHING
        };
        assert_eq!(decide(&rules, Role::Resting, &seen), may, "{seen:?}");
        let seen = Snapshot {
            may_halt: false,
            ..seen
        };
        assert_eq!(decide(&rules, Role::Resting, &seen), may_not, "{seen:?}");
        let seen = Snapshot {
            sleeping_head: None,
            ..seen
        };
        assert_eq!(decide(&rules, Role::Resting, &seen), spin, "{seen:?}");
    }
}

#[test]
fn first_in_line_behind_a_holder() {
    let lend = |state| Action::Yield(cpu(1, state), Event::YieldToHolder);
    let (halt, spin) = (Action::Halt, Action::LookAgain);
    // Rules, the holder, stuck, a long hold, slept before, what to do if it may halt.
    for (rules, state, stuck, long_hold, slept, action) in [
        (Native::RULES, OFF, true, true, false, spin),
        (FifoHalt::RULES, ON, false, false, true, halt),
        (FifoHalt::RULES, OFF, true, false, false, halt),
        (Fifo::RULES, OFF, true, true, false, lend(OFF)),
        (Fifo::RULES, ASLEEP, true, true, false, lend(ASLEEP)),
        (Fifo::RULES, ON, false, false, false, spin),
        (Fifo::RULES, ON, false, true, false, halt),
        (Fifo::RULES, ASLEEP, false, true, false, halt),
        (Fifo::RULES, IDLE, false, true, false, spin),
        (Fifo::RULES, ON, false, true, true, spin),
        (BOUNDED, ON, false, true, false, spin),
        (BOUNDED, OFF, true, false, false, lend(OFF)),
    ] {
        let seen = Snapshot {
            stuck,
            long_hold,
            slept,
            may_halt: true,
            ..behind(state, Front::Unseen)
        };
        assert_eq!(decide(&rules, Role::First, &seen), action, "{seen:?}");
        let seen = Snapshot {
            may_halt: false,
            ..seen
        };
        let action = if action == halt { spin } else { action };
        assert_eq!(decide(&rules, Role::First, &seen), action, "{seen:?}");
    }
    // A native holder has no name.
    let unnamed = Snapshot {
        may_halt: true,
        ..NOTHING
    };
    for (rules, action) in ALL.into_iter().zip([spin, spin, halt, halt, spin]) {
        assert_eq!(decide(&rules, Role::First, &unnamed), action);
    }
}

#[test]
fn first_in_line_behind_readers() {
    let lend = Action::Yield(cpu(1, OFF), Event::YieldToReader);
    let (halt, spin) = (Action::Halt, Action::LookAgain);
    // Rules; a preempted reader, and none: each before and after the budget.
    for (rules, actions) in [
        (Native::RULES, [spin, spin, spin, spin]),
        (Fifo::RULES, [lend, lend, spin, halt]),
        (FifoHalt::RULES, [spin, halt, spin, halt]),
        (FifoHolder::RULES, [spin, halt, spin, halt]),
        (BOUNDED, [lend, lend, spin, halt]),
    ] {
        let reader = Some(cpu(1, OFF));
        let cases = [(reader, false), (reader, true), (None, false), (None, true)];
        for ((before, long_hold), action) in cases.into_iter().zip(actions) {
            let seen = Snapshot {
                before,
                long_hold,
                may_halt: true,
                ..NOTHING
            };
            let decided = decide(&rules, Role::BehindReaders, &seen);
            assert_eq!(decided, action, "{rules:?} {seen:?}");
        }
    }
}

#[test]
fn after_a_release() {
    for rules in ALL {
        for state in [ON, OFF, ASLEEP, IDLE] {
            let next = cpu(1, state);
            let released = |wants_kick| Snapshot {
                wants_kick,
                ..behind(state, Front::Unseen)
            };
            let kick = decide(&rules, Role::Releasing, &released(true));
            assert_eq!(kick, Action::Kick(next));
            let none = decide(&rules, Role::Releasing, &released(false));
            assert_eq!(none, Action::LookAgain);
            for bits in 0..8 {
                let [may_lend, closed, host_refuses] = [1, 2, 4].map(|bit| bits & bit != 0);
                let others_may_pass = rules.passes_over() && !closed;
                let action = if state != OFF {
                    Action::LookAgain
                } else if !may_lend || others_may_pass && host_refuses {
                    Action::WithdrawEdge(next)
                } else if matches!(rules.stalls, Stalls::Yield) {
                    Action::YieldToHead(next)
                } else {
                    Action::LookAgain
                };
                let seen = Snapshot {
                    may_lend,
                    closed,
                    host_refuses,
                    ..released(false)
                };
                assert_eq!(decide(&rules, Role::Lending, &seen), action, "{seen:?}");
            }
        }
    }
}
