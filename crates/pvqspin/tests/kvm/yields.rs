//! Directed yields, and spinning for as long as a budget lasts.

use std::cell::Cell;

use pvqspin::{Budget, Env, Format, Hint, Idx3, Mutex, RunState, Status, Tail};

use crate::machine::{
    ALL, CPUS, Did, Guests, WORLD, alone, cpu, did, hint, host_runs, just_before, on, start, steal,
    yield_call,
};

#[test]
fn a_yield_names_the_end_of_the_chain() {
    start(ALL);
    did();
    // 1 spins behind 2, which waits for the preempted 5.
    on(1, || Guests::set_waiting_for(Some(cpu(2))));
    on(2, || Guests::set_waiting_for(Some(cpu(5))));
    host_runs(5, false);
    just_before(yield_call(5), || {
        assert_eq!(
            Guests::run_sample(cpu(0)).state(),
            RunState::Preempted,
            "who lends its pCPU says so"
        );
        host_runs(5, true);
    });
    assert_eq!(Guests::yield_to(hint(1)), Status::Ran);
    assert_eq!(did(), [yield_call(5)]);
    assert_eq!(Guests::run_sample(cpu(0)).state(), RunState::Running);
}

#[test]
fn a_handler_that_interrupts_a_yield_runs() {
    start(ALL);
    did();
    host_runs(5, false);
    just_before(yield_call(5), || {
        let seen = || Guests::run_sample(cpu(0)).state();
        assert_eq!(seen(), RunState::Preempted, "it lends its pCPU");
        // It gets one back; an interrupt pends, so the call has not returned.
        host_runs(5, true);
        host_runs(0, true);
        assert_eq!(seen(), RunState::Running);
        let in_vain = on(1, || Guests::yield_to(hint(0)));
        assert_eq!(in_vain, Status::AlreadyRunning, "no refusal to believe in");
        host_runs(0, false);
        assert_eq!(seen(), RunState::Preempted, "taken off in the handler");
        host_runs(0, true);
        // The handler lends its pCPU in its turn.
        host_runs(7, false);
        just_before(yield_call(7), move || {
            assert_eq!(seen(), RunState::Preempted);
            host_runs(7, true);
            host_runs(0, true);
        });
        assert_eq!(Guests::yield_to(hint(7)), Status::Ran);
        assert_eq!(seen(), RunState::Running);
    });
    assert_eq!(Guests::yield_to(hint(5)), Status::Ran);
    assert_eq!(did(), [yield_call(7), yield_call(5)]);
    assert_eq!(Guests::run_sample(cpu(0)).state(), RunState::Running);
}

#[test]
fn the_host_is_not_called_for_what_it_could_not_do() {
    start(ALL);
    did();
    assert_eq!(Guests::yield_to(hint(1)), Status::AlreadyRunning);
    host_runs(1, false);
    let old = hint(1);
    host_runs(1, true);
    host_runs(1, false);
    assert_eq!(Guests::yield_to(old), Status::Stale);
    assert_eq!(Guests::yield_to(hint(0)), Status::Refused, "itself");
    let missing = Hint {
        cpu: cpu(CPUS),
        ..hint(1)
    };
    assert_eq!(Guests::yield_to(missing), Status::Refused, "no such CPU");
    assert_eq!(did(), []);
    // It was called, and did nothing.
    assert_eq!(Guests::yield_to(hint(1)), Status::Refused);
    assert_eq!(did(), [yield_call(1)]);
    // It ran, and is off again: that is what was asked for.
    just_before(yield_call(1), || {
        host_runs(1, true);
        host_runs(1, false);
    });
    assert_eq!(Guests::yield_to(hint(1)), Status::Ran);
}

#[test]
fn a_walk_along_the_chain_is_bounded() {
    start(ALL);
    let last = CPUS - 1;
    for index in 1..last {
        on(index, || Guests::set_waiting_for(Some(cpu(index + 1))));
    }
    (1..CPUS).for_each(|index| host_runs(index, false));
    did();
    WORLD.with(|world| world.asked.set(0));
    Guests::yield_to(hint(1));
    // The 64th on the way: it names the next stretch itself.
    assert_eq!(did(), [yield_call(64)]);
    let asked = WORLD.with(|world| world.asked.get());
    assert!(asked < 4 * 64, "{asked}");
}

#[test]
fn a_budget_runs_out() {
    start(ALL);
    let looks = Cell::new(0_u64);
    let condition = || {
        looks.set(looks.get() + 1);
        WORLD.with(|world| world.now_ns.set(looks.get() * 100));
        false
    };
    let budget = Budget::ns(10_000);
    assert!(!Guests::spin_until(condition, budget));
    assert!((100..150).contains(&looks.get()), "{}", looks.get());
}

/// Spins for 60 µs of a clock that goes on by 100 ns for each look, and counts the looks at the
/// condition. The host takes the CPU away for `stolen_ns` right after one of the looks at the clock.
fn looks_in_60_us(stolen_ns: u64) -> u64 {
    start(ALL);
    WORLD.with(|world| {
        world.tick_ns.set(100);
        if stolen_ns > 0 {
            *world.at_clock.borrow_mut() = Some(Box::new(move || steal(0, stolen_ns)));
        }
    });
    let mut looks = 0;
    let condition = || {
        looks += 1;
        false
    };
    assert!(!Guests::spin_until(condition, Budget::ns(60_000)));
    WORLD.with(|world| world.tick_ns.set(0));
    looks
}

#[test]
fn a_budget_is_own_time() {
    let undisturbed = looks_in_60_us(0);
    assert!((9_600..9_700).contains(&undisturbed), "{undisturbed}");
    // Whenever it comes: before the budget has begun, or between the clock and the record.
    let disturbed = looks_in_60_us(3_000_000);
    assert!(disturbed.abs_diff(undisturbed) < 100, "{disturbed} looks");
}

/// What the release of a lock asks the host for if CPU 1, which is next, is off its pCPU.
fn asked_by_a_release(may_lend: bool) -> Vec<Did> {
    start(ALL);
    did();
    let lock: &'static Mutex<u32, Guests> = Box::leak(Box::new(Mutex::new(0)));
    let held = on(0, || lock.lock());
    WORLD.with(|world| {
        world.tick_ns.set(100);
        world.may_lend.set(may_lend);
    });
    once_queued(lock, move || {
        host_runs(1, false);
        on(0, || drop(held));
        host_runs(1, true);
    });
    on(1, || *lock.lock() += 1);
    WORLD.with(|world| world.tick_ns.set(0));
    did()
}

/// At the first look at the clock at which CPU 1 is in the queue.
fn once_queued(lock: &'static Mutex<u32, Guests>, action: impl FnOnce() + 'static) {
    let look = move || match Idx3::tail(lock.raw().raw_word()) {
        Tail::Waiter(..) => action(),
        _ => once_queued(lock, action),
    };
    WORLD.with(|world| *world.at_clock.borrow_mut() = Some(Box::new(look)));
}

#[test]
fn a_release_lends_its_pcpu_unless_the_kernel_says_that_it_may_not() {
    let _alone = alone();
    assert_eq!(asked_by_a_release(true), [yield_call(1)]);
    assert_eq!(asked_by_a_release(false), []);
}

#[test]
fn a_kernel_is_told_that_a_cpu_waits_for_what_it_holds() {
    let _alone = alone();
    start(ALL);
    let lock: &'static Mutex<u32, Guests> = Box::leak(Box::new(Mutex::new(0)));
    let held = on(1, || lock.lock());
    // It would wait for ever: in this test another CPU takes pity.
    WORLD.with(|world| world.tick_ns.set(100));
    once_queued(lock, || drop(held));
    on(1, || drop(lock.lock()));
    WORLD.with(|world| {
        world.tick_ns.set(0);
        let address = std::ptr::from_ref(lock.raw()).addr();
        assert_eq!(world.deadlocks.take(), [address]);
    });
}
