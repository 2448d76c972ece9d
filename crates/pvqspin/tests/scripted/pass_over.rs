//! Who may take the lock past a preempted head, and what waits behind one.

use pvqspin::word::{self, Held};
use pvqspin::{Bounded, Event, Fifo, Format, Idx3, Policy, QSpinLock, RunState, Status, Tail};

use crate::locks::{held_by, lock, unlock};
use crate::world::{Call, Scripted, WORLD, calls, cpu, events, host_says, on, then};

/// CPU 0 holds, CPU 1 waits as the head and is preempted, CPU 0 releases and keeps its pCPU. Returns the
/// lock and CPU 1's way to go on: this thread plays CPU 1 from inside its wait.
fn behind_a_preempted_head<P: Policy, W: Format>(
    then_do: impl FnOnce(&'static QSpinLock<Scripted, P, W>) + 'static,
) -> &'static QSpinLock<Scripted, P, W> {
    let lock = lock::<P, W>();
    let release = held_by(0, lock);
    then(move || {
        host_says(1, RunState::Preempted, 2);
        keep_pcpus();
        release();
        WORLD.with(|world| world.may_lend.set(true));
        then_do(lock);
        host_says(1, RunState::Running, 3);
    });
    let token = on(1, || lock.lock());
    on(1, || unlock(lock, token));
    lock
}

/// No releaser lends its pCPU from here on.
fn keep_pcpus() {
    WORLD.with(|world| world.may_lend.set(false));
}

#[test]
fn a_newcomer_passes_over_a_preempted_head_and_leaves_its_name() {
    let lock = behind_a_preempted_head::<Bounded, Idx3>(|lock| {
        keep_pcpus();
        let token = on(4, || lock.lock());
        let seen = lock.raw_word();
        assert_eq!(Idx3::tail(seen), Tail::Waiter(cpu(1), 0), "the head stays");
        assert_eq!(
            Held::read::<Idx3>(seen, true),
            Held::Past(cpu(4)),
            "the holder left its name"
        );
        assert_eq!(events(4, Event::PassedOver), 1);
        assert_eq!(events(4, Event::Queued), 0);
        on(4, || unlock(lock, token));
        assert_eq!(Idx3::tail(lock.raw_word()), Tail::Waiter(cpu(1), 0));
        assert_eq!(
            word::head_of(lock.raw_word()),
            Some(cpu(1)),
            "its name is back"
        );
        assert_eq!(lock.raw_word() & 1, 0, "free, and still the head's");
    });
    assert_eq!(calls(), [], "no CPU was asked for");
    assert_eq!(lock.raw_word(), 0);
}

#[test]
fn nobody_passes_over_a_head_that_is_too_old() {
    behind_a_preempted_head::<Bounded<1_000>, Idx3>(|lock| {
        WORLD.with(|world| world.now_us.set(world.now_us.get() + 1_000));
        // CPU 4 must queue, and asks the host to run the head instead. The head is this thread, so
        // CPU 4's story cannot end well: it runs out of script after its yield.
        then(|| {});
        let abandoned = std::panic::catch_unwind(|| on(4, || lock.lock()));
        assert!(abandoned.is_err());
        WORLD.with(|world| world.cpu.set(1));
        // The second is where the script ended: the head had not run, so it asks again.
        assert_eq!(calls(), [Call::YieldTo(1, 2); 2]);
        assert_eq!(events(4, Event::PassedOver), 0);
        assert!(events(4, Event::Closed) > 0);
        assert_eq!(Idx3::tail(lock.raw_word()), Tail::Waiter(cpu(4), 0));
    });
}

#[test]
fn a_head_that_the_host_refuses_is_passed_over_once_for_each_refusal_and_counted() {
    behind_a_preempted_head::<Bounded<1_000>, Idx3>(|lock| {
        WORLD.with(|world| {
            world.now_us.set(world.now_us.get() + 1_000);
            world.status.set(Status::Refused);
        });
        for times in 1..=2 {
            // It asks before it goes first, and again when it releases.
            (0..2).for_each(|_| then(|| {}));
            let token = on(4, || lock.lock());
            on(4, || unlock(lock, token));
            assert_eq!(calls(), [Call::YieldTo(1, 2); 2]);
            assert_eq!(events(4, Event::PassedOver), times);
            assert_eq!(events(4, Event::PassedOverRefused), times);
        }
        assert_eq!(
            events(4, Event::LongestBypassUs),
            0,
            "none within the bound"
        );
        // One within its bound is not among them.
        WORLD.with(|world| world.now_us.set(world.now_us.get() - 500));
        keep_pcpus();
        let token = on(5, || lock.lock());
        on(5, || unlock(lock, token));
        assert_eq!(events(5, Event::PassedOver), 1);
        assert_eq!(events(5, Event::PassedOverRefused), 0);
        assert_eq!(events(5, Event::LongestBypassUs), 500);
    });
}

#[test]
fn nobody_passes_over_one_that_runs() {
    let lock = lock::<Bounded, Idx3>();
    let release = held_by(0, lock);
    keep_pcpus();
    // The queue: 1 and 3 are preempted in the end, 2 runs, and 5 stands behind them all. None of their
    // stories ends: the script is over while 5 still waits.
    let wait = move |cpu: usize| {
        let token = on(cpu, || lock.lock());
        on(cpu, || unlock(lock, token));
    };
    then(move || {
        then(move || {
            then(move || {
                then(move || {
                    host_says(1, RunState::Preempted, 2);
                    host_says(3, RunState::Preempted, 2);
                    release();
                });
                wait(5);
            });
            wait(3);
        });
        wait(2);
    });
    let abandoned = std::panic::catch_unwind(|| wait(1));
    assert!(abandoned.is_err());
    assert_eq!(events(5, Event::PassedOver), 0);
    assert_eq!(lock.raw_word() & word::LOCKED, 0, "it is still 2's to take");
}

#[test]
fn a_releaser_runs_a_head_that_may_be_passed_over_unless_the_host_refuses() {
    let lock = lock::<Bounded, Idx3>();
    WORLD.with(|world| world.status.set(Status::Refused));
    for (generation, calls_expected) in [(2, vec![Call::YieldTo(1, 2)]), (4, vec![])] {
        let release = held_by(0, lock);
        then(move || {
            host_says(1, RunState::Preempted, generation);
            if generation == 2 {
                // The first release lends, in vain. The second knows that it would.
                then(|| {});
            }
            release();
            assert_eq!(calls(), calls_expected);
            host_says(1, RunState::Running, generation + 1);
        });
        let token = on(1, || lock.lock());
        on(1, || unlock(lock, token));
    }
}

#[test]
fn strict_order_passes_over_nobody() {
    let lock = lock::<Fifo, Idx3>();
    let release = held_by(0, lock);
    then(move || {
        host_says(1, RunState::Preempted, 2);
        // The releaser yields to the head at once.
        then(|| host_says(1, RunState::Running, 3));
        release();
        assert!(
            on(4, || lock.try_lock()).is_none(),
            "the lock is the head's"
        );
    });
    let token = on(1, || lock.lock());
    assert_eq!(calls(), [Call::YieldTo(1, 2)]);
    on(1, || unlock(lock, token));
    assert_eq!(events(4, Event::PassedOver), 0);
}

/// What CPU 2 asks the host for, behind CPU 1, the head, while the holder is preempted and a yield ends
/// like this. Its story is abandoned once it has said it.
fn asks_behind_the_head<P: Policy>(status: Status) -> Vec<Call> {
    let lock = lock::<P, Idx3>();
    let _release = held_by(0, lock);
    WORLD.with(|world| world.status.set(status));
    then(move || {
        host_says(0, RunState::Preempted, 2);
        host_says(1, RunState::Preempted, 2);
        (0..3).for_each(|_| then(|| {}));
        let _ = on(2, || lock.lock());
    });
    let abandoned = std::panic::catch_unwind(|| on(1, || lock.lock()));
    assert!(abandoned.is_err());
    calls()
}

#[test]
fn who_may_be_passed_over_sleeps_behind_the_head_once_the_host_has_refused() {
    let asked = asks_behind_the_head::<Bounded>(Status::Refused);
    assert_eq!(asked[..2], [Call::YieldTo(0, 2), Call::Halt(Some(1))]);
}

#[test]
fn nobody_sleeps_where_the_host_does_as_it_is_told() {
    let asked = asks_behind_the_head::<Bounded>(Status::Ran);
    assert!(
        asked.iter().all(|call| matches!(call, Call::YieldTo(..))),
        "{asked:?}"
    );
    // In strict order a sleeper would hold the queue up, refused or not.
    let asked = asks_behind_the_head::<Fifo>(Status::Refused);
    assert!(
        asked.iter().all(|call| matches!(call, Call::YieldTo(..))),
        "{asked:?}"
    );
}

#[test]
fn a_context_that_may_not_lend_makes_no_call() {
    keep_pcpus();
    assert_eq!(asks_behind_the_head::<Fifo>(Status::Ran), []);
}

#[test]
fn nor_where_it_may_pass_over_others() {
    keep_pcpus();
    assert_eq!(asks_behind_the_head::<Bounded>(Status::Ran), []);
}
