//! Halts and kicks: none is lost, and what others see of a vCPU that sleeps.

use pvqspin::{Env, RunState, Sleep, Status};

use crate::machine::{
    ALL, Did, Guests, WORLD, cpu, did, hint, host_runs, just_before, kick_call, on, start,
    yield_call,
};

#[test]
fn a_kick_that_comes_first_leaves_no_halt() {
    start(ALL);
    did();
    WORLD.with(|world| world.interrupts_enabled.set(true));
    Sleep::kick::<Guests>(cpu(1));
    assert_eq!(did(), [], "it does not sleep");
    on(1, || Sleep::halt::<Guests>(None));
    assert_eq!(did(), [Did::Mask, Did::Unmask]);
    assert!(WORLD.with(|world| world.interrupts_enabled.get()));
}

#[test]
fn a_kick_between_masking_and_halting_is_not_lost() {
    for enabled in [false, true] {
        start(ALL);
        did();
        WORLD.with(|world| world.interrupts_enabled.set(enabled));
        // Before the word is looked at: the halt does not happen.
        just_before(Did::Mask, || on(0, || Sleep::kick::<Guests>(cpu(1))));
        on(1, || Sleep::halt::<Guests>(None));
        assert!(
            !did()
                .iter()
                .any(|did| matches!(did, Did::HaltMasked | Did::HaltUnmasked))
        );
        assert_eq!(WORLD.with(|world| world.interrupts_enabled.get()), enabled);

        // After it: the host is called, and remembers.
        let halt = if enabled {
            Did::HaltUnmasked
        } else {
            Did::HaltMasked
        };
        just_before(halt.clone(), || on(0, || Sleep::kick::<Guests>(cpu(1))));
        on(1, || Sleep::halt::<Guests>(None));
        assert_eq!(did(), [Did::Mask, kick_call(1), halt]);
        assert_eq!(WORLD.with(|world| world.interrupts_enabled.get()), enabled);
        assert_eq!(Guests::run_sample(cpu(1)).state(), RunState::Running);
    }
}

#[test]
fn a_kick_calls_the_host_for_who_is_preempted_awake() {
    start(ALL);
    did();
    host_runs(1, false);
    Sleep::kick::<Guests>(cpu(1));
    assert_eq!(did(), [kick_call(1)]);
}

#[test]
fn a_halt_hands_over_its_hint_first() {
    start(ALL);
    did();
    host_runs(2, false);
    Sleep::halt::<Guests>(Some(hint(2)));
    assert_eq!(did(), [yield_call(2), Did::Mask, Did::HaltMasked]);
    // The kick came while the target ran: no reason to halt any more.
    just_before(yield_call(2), || {
        on(2, || Sleep::kick::<Guests>(cpu(0)));
    });
    Sleep::halt::<Guests>(Some(hint(2)));
    // (A vCPU that lent its pCPU is off it: the host hears of the kick.)
    assert_eq!(did(), [kick_call(0), yield_call(2), Did::Mask]);
}

#[test]
fn a_handler_that_ended_a_halt_is_asked_for_if_it_is_preempted() {
    start(ALL);
    did();
    WORLD.with(|world| world.interrupts_enabled.set(true));
    just_before(Did::HaltUnmasked, || {
        let state = || Guests::run_sample(cpu(1)).state();
        assert_eq!(state(), RunState::Halted);
        // An interrupt: the host runs it, and the handler takes a lock. Then it is preempted.
        host_runs(1, true);
        assert_eq!(state(), RunState::Running);
        host_runs(1, false);
        assert_eq!(state(), RunState::Preempted);
        on(0, || {
            just_before(yield_call(1), || host_runs(1, true));
            assert_eq!(Guests::yield_to(hint(1)), Status::Ran);
        });
    });
    on(1, || Sleep::halt::<Guests>(None));
    assert_eq!(did(), [Did::Mask, yield_call(1), Did::HaltUnmasked]);
}

#[test]
fn a_handler_may_say_itself_that_the_halt_is_over() {
    start(ALL);
    WORLD.with(|world| world.interrupts_enabled.set(true));
    just_before(Did::HaltUnmasked, || {
        // The host polled: no new generation.
        assert_eq!(Guests::run_sample(cpu(1)).state(), RunState::Halted);
        on(1, Guests::interrupted);
        assert_eq!(Guests::run_sample(cpu(1)).state(), RunState::Running);
        did();
        on(0, || Sleep::kick::<Guests>(cpu(1)));
        assert_eq!(did(), [], "it is awake");
    });
    on(1, || Sleep::halt::<Guests>(None));
    assert_eq!(Guests::run_sample(cpu(1)).state(), RunState::Running);
}
