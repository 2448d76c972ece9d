//! The lock, step by step on one thread: a scripted environment plays all CPUs and the host. What
//! the lock tells the host is recorded and compared.

#![cfg(not(loom))]

mod world;

use pvqspin::{
    Bounded, Event, Fifo, FifoHalt, FifoHolder, Format, Idx3, Native, Policy, QSpinLock, RunState,
    SpareBit, Status, Tail, Token,
    word::{self, Held},
};
use world::{Call, Scripted, WORLD, calls, cpu, events, host_says, on, then, waits_for};

/// A leaked lock, so that steps of the script can hold on to it.
fn lock<P: Policy, W: Format>() -> &'static QSpinLock<Scripted, P, W> {
    Box::leak(Box::new(QSpinLock::new()))
}

fn unlock<P: Policy, W: Format>(lock: &QSpinLock<Scripted, P, W>, token: Token) {
    // SAFETY: every script releases what it took, on the CPU that took it.
    unsafe { lock.unlock(token) }
}

/// `holder` takes the lock and releases it when the script gets there.
fn held_by<P: Policy, W: Format>(
    holder: usize,
    lock: &'static QSpinLock<Scripted, P, W>,
) -> impl FnOnce() {
    let token = on(holder, || lock.lock());
    move || on(holder, || unlock(lock, token))
}

#[test]
fn alone_the_holder_is_named_and_nobody_is_called() {
    fn check<W: Format>() {
        let lock = lock::<Fifo, W>();
        let token = on(5, || lock.lock());
        assert_eq!(W::tail(lock.raw_word()), Tail::SoleHolder(cpu(5)));
        assert!(lock.is_locked());
        assert!(on(6, || lock.try_lock()).is_none());
        on(5, || unlock(lock, token));
        assert_eq!(lock.raw_word(), 0);
        assert_eq!(calls(), []);
    }
    check::<Idx3>();
    check::<SpareBit>();
}

#[test]
fn a_native_lock_names_nobody_and_calls_nobody() {
    let lock = lock::<Native, Idx3>();
    let release = held_by(0, lock);
    assert_eq!(lock.raw_word(), 1);
    host_says(0, RunState::Preempted, 3);
    then(release);
    let token = on(1, || lock.lock());
    assert_eq!(lock.raw_word(), 1);
    assert_eq!(events(1, Event::Pending), 1);
    assert_eq!(events(1, Event::Queued), 0);
    on(1, || unlock(lock, token));
    assert_eq!(lock.raw_word(), 0);
    assert_eq!(calls(), []);
}

#[test]
fn the_third_of_a_native_lock_queues_behind_the_pending_one() {
    let lock = lock::<Native, Idx3>();
    let release = held_by(0, lock);
    // While CPU 1 pends, CPU 2 comes and queues; while it waits, CPU 0 releases. CPU 2 has to
    // wait until CPU 1 had its turn, which this one thread cannot play, so it only looks.
    then(move || {
        let before = lock.raw_word();
        assert_eq!(before & word::PENDING, word::PENDING);
        release();
    });
    let token = on(1, || lock.lock());
    on(1, || unlock(lock, token));
    assert_eq!(lock.raw_word(), 0);
}

#[test]
fn the_first_waiter_is_the_head_and_lends_its_pcpu_to_the_preempted_holder() {
    let lock = lock::<Fifo, Idx3>();
    let release = held_by(0, lock);
    // The holder is preempted while CPU 1 waits.
    then(|| host_says(0, RunState::Preempted, 7));
    // The yield: the host runs CPU 0, which releases, and finds the head off its pCPU.
    then(move || {
        assert_eq!(waits_for(1), Some(0), "the edge is published");
        host_says(0, RunState::Running, 8);
        host_says(1, RunState::Preempted, 4);
        then(|| host_says(1, RunState::Running, 5));
        release();
    });
    let token = on(1, || lock.lock());
    assert_eq!(calls(), [Call::YieldTo(0, 7), Call::YieldTo(1, 4)]);
    assert_eq!(waits_for(1), None, "no edge once it holds the lock");
    assert_eq!(events(1, Event::YieldToHolder), 1);
    assert_eq!(events(0, Event::YieldToHead), 1);
    on(1, || unlock(lock, token));
    assert_eq!(lock.raw_word(), 0);
}

#[test]
fn an_nmi_lends_nothing_but_kicks() {
    for (asleep, calls_made) in [
        (false, vec![]),
        (true, vec![Call::Halt(Some(0)), Call::Kick(1)]),
    ] {
        let lock = lock::<FifoHalt, Idx3>();
        let yielding = self::lock::<Fifo, Idx3>();
        if asleep {
            let release = held_by(0, lock);
            then(|| {}); // the spin budget passes
            then(move || without_lending(release)); // during the halt
            let token = on(1, || lock.lock());
            on(1, || unlock(lock, token));
        } else {
            let release = held_by(0, yielding);
            then(move || {
                host_says(1, RunState::Preempted, 4);
                without_lending(release);
                assert_eq!(waits_for(1), None, "its edge is withdrawn all the same");
                host_says(1, RunState::Running, 5);
            });
            let token = on(1, || yielding.lock());
            on(1, || unlock(yielding, token));
        }
        assert_eq!(calls(), calls_made);
    }
}

/// As in an NMI handler.
fn without_lending(release: impl FnOnce()) {
    WORLD.with(|world| world.may_lend.set(false));
    release();
    WORLD.with(|world| world.may_lend.set(true));
}

#[test]
fn a_waiter_without_a_node_lends_its_pcpu_to_the_preempted_holder() {
    let outer: [_; 3] = std::array::from_fn(|_| lock::<Fifo, Idx3>());
    let inner = lock::<Fifo, Idx3>();
    let releases = outer.map(|lock| held_by(0, lock));
    let release_inner = held_by(2, inner);
    let [first, second, third] = outer;
    let mut releases = releases.into_iter();
    // All three nodes of CPU 1 are in use, one wait inside the other, when it needs a fourth.
    let mut next = move || releases.next().expect("one for each");
    let (release_first, release_second, release_third) = (next(), next(), next());
    then(move || {
        then(move || {
            then(move || {
                then(|| host_says(2, RunState::Preempted, 6));
                then(move || {
                    host_says(2, RunState::Running, 7);
                    release_inner();
                });
                let token = on(1, || inner.lock());
                assert_eq!(calls(), [Call::YieldTo(2, 6)]);
                on(1, || unlock(inner, token));
                release_third();
            });
            let token = on(1, || third.lock());
            on(1, || unlock(third, token));
            release_second();
        });
        let token = on(1, || second.lock());
        on(1, || unlock(second, token));
        release_first();
    });
    let token = on(1, || first.lock());
    on(1, || unlock(first, token));
    assert_eq!(events(1, Event::NodeExhausted), 1);
}

#[test]
fn a_waiter_leaves_the_host_alone_after_it_heard_that_all_is_well() {
    let lock = lock::<Fifo, Idx3>();
    let release = held_by(0, lock);
    host_says(0, RunState::Preempted, 7);
    WORLD.with(|world| world.status.set(Status::AlreadyRunning));
    then(|| {}); // inside the yield
    then(release); // inside the back-off: no second yield before it
    let token = on(1, || lock.lock());
    assert_eq!(calls(), [Call::YieldTo(0, 7)]);
    assert_eq!(events(1, Event::YieldAlreadyRunning), 1);
    on(1, || unlock(lock, token));
}

#[test]
fn the_head_halts_with_the_holders_name_and_is_kicked() {
    let lock = lock::<FifoHalt, Idx3>();
    let release = held_by(0, lock);
    then(|| {}); // the spin budget passes
    then(release); // during the halt
    let token = on(1, || lock.lock());
    assert_eq!(calls(), [Call::Halt(Some(0)), Call::Kick(1)]);
    assert_eq!(events(1, Event::HaltAtHead), 1);
    assert_eq!(events(0, Event::Kick), 1);
    on(1, || unlock(lock, token));
    assert_eq!(calls(), [], "no CPU waits, none is kicked");
    assert_eq!(lock.raw_word(), 0);
}

#[test]
fn a_head_that_sleeps_through_holds_does_not_forget_why() {
    let lock = lock::<Fifo, Idx3>();
    let release = held_by(0, lock);
    // Two budgets under a holder that runs: holds are long, and the head sleeps.
    then(|| {});
    then(|| {});
    then(release); // during the halt
    let token = on(1, || lock.lock());
    assert_eq!(calls(), [Call::Halt(Some(0)), Call::Kick(1)]);
    on(1, || unlock(lock, token));
    // From now on one budget is enough, however often it wakes up to a free lock. The clock stands
    // still: without one nothing more is learned, and nothing forgotten.
    for round in 0..8 {
        let release = held_by(0, lock);
        then(|| {});
        then(release); // during the halt
        let token = on(1, || lock.lock());
        assert_eq!(
            calls(),
            [Call::Halt(Some(0)), Call::Kick(1)],
            "round {round}"
        );
        on(1, || unlock(lock, token));
    }
    // Short holds that it sees from start to end do make it forget.
    for _ in 0..4 {
        let release = held_by(0, lock);
        then(release); // within the budget
        let token = on(1, || lock.lock());
        on(1, || unlock(lock, token));
    }
    let release = held_by(0, lock);
    then(|| {});
    then(release); // instead of a halt
    let token = on(1, || lock.lock());
    assert_eq!(calls(), []);
    on(1, || unlock(lock, token));
}

#[test]
fn a_release_just_before_the_halt_prevents_it() {
    let lock = lock::<FifoHalt, Idx3>();
    let release = held_by(0, lock);
    // The budget ends in the same step in which the lock is released.
    then(release);
    let token = on(1, || lock.lock());
    assert_eq!(calls(), []);
    on(1, || unlock(lock, token));
}

#[test]
fn the_mails_alternative_kicks_even_a_head_that_is_awake() {
    let lock = lock::<FifoHolder, Idx3>();
    let release = held_by(0, lock);
    then(release);
    let token = on(1, || lock.lock());
    assert_eq!(calls(), [Call::Kick(1)]);
    on(1, || unlock(lock, token));
}

#[test]
fn a_halting_lock_that_nobody_waits_for_long_makes_no_call_without_pressure() {
    // `pressure` is what allows a halt; the native lock does not even look.
    let lock = lock::<Native, SpareBit>();
    let release = held_by(0, lock);
    then(|| {});
    then(|| {});
    then(release);
    let token = on(1, || lock.lock());
    assert_eq!(calls(), []);
    on(1, || unlock(lock, token));
}

#[test]
fn a_head_whose_edge_was_undone_puts_it_back() {
    let lock = lock::<Fifo, Idx3>();
    let release = held_by(0, lock);
    // As the CPU that released the lock before it, and was preempted before the redirect.
    then(|| WORLD.with(|world| world.waiting_for[1].set(None)));
    then(move || {
        assert_eq!(waits_for(1), Some(0));
        release();
    });
    let token = on(1, || lock.lock());
    assert_eq!(waits_for(1), None);
    on(1, || unlock(lock, token));
}

#[test]
fn a_waiter_in_the_middle_whose_edge_was_undone_puts_it_back() {
    let lock = lock::<Fifo, Idx3>();
    let release = held_by(0, lock);
    then(move || {
        // 2 queues behind 1, which is spinning.
        then(|| WORLD.with(|world| world.waiting_for[2].set(None)));
        then(move || {
            assert_eq!(waits_for(2), Some(1));
            release();
            panic!("far enough");
        });
        let _ = on(2, || lock.lock());
    });
    let outcome = std::panic::catch_unwind(|| on(1, || lock.lock()));
    let why = outcome.expect_err("the script ends in the middle");
    assert_eq!(why.downcast_ref(), Some(&"far enough"));
}

#[test]
fn an_interrupted_wait_is_put_back() {
    let outer = lock::<Fifo, Idx3>();
    let inner = lock::<Fifo, Idx3>();
    let release_outer = held_by(0, outer);
    let release_inner = held_by(2, inner);
    then(move || {
        // An interrupt on CPU 1, in the middle of its wait for CPU 0.
        assert_eq!(waits_for(1), Some(0));
        then(move || {
            assert_eq!(waits_for(1), Some(2));
            release_inner();
        });
        let token = on(1, || inner.lock());
        on(1, || unlock(inner, token));
        assert_eq!(waits_for(1), Some(0), "the outer wait is back");
        release_outer();
    });
    let token = on(1, || outer.lock());
    on(1, || unlock(outer, token));
    assert_eq!(waits_for(1), None);
}

#[test]
fn only_the_outermost_wait_halts() {
    let outer = lock::<FifoHalt, Idx3>();
    let inner = lock::<FifoHalt, Idx3>();
    let release_outer = held_by(0, outer);
    let release_inner = held_by(2, inner);
    then(move || {
        // An interrupt on CPU 1 in the middle of its wait. A kick that is meant for the outer wait
        // must not end here.
        then(|| {}); // the spin budget of the inner wait passes
        then(release_inner);
        let token = on(1, || inner.lock());
        assert_eq!(calls(), [], "it spun on");
        on(1, || unlock(inner, token));
        then(release_outer); // during the outer halt
    });
    let token = on(1, || outer.lock());
    assert_eq!(calls(), [Call::Halt(Some(0)), Call::Kick(1)]);
    on(1, || unlock(outer, token));
}

/// Waits for locks of CPU 0 in `levels` contexts of CPU 1, one interrupting the other. Returns
/// how often the fallback was taken.
fn nested<P: Policy, W: Format>(levels: usize) -> u64 {
    fn wait<P: Policy, W: Format>(levels: usize) {
        if levels == 0 {
            return;
        }
        let lock = lock::<P, W>();
        let release = held_by(0, lock);
        then(move || {
            wait::<P, W>(levels - 1);
            release();
        });
        let token = on(1, || lock.lock());
        if P::RULES.paravirtual() {
            assert_eq!(W::tail(lock.raw_word()), Tail::SoleHolder(cpu(1)));
        }
        on(1, || unlock(lock, token));
        assert_eq!(lock.raw_word(), 0);
    }
    let before = events(1, Event::NodeExhausted);
    wait::<P, W>(levels);
    WORLD.with(|world| assert_eq!(world.nodes[1].in_use(), 0));
    events(1, Event::NodeExhausted) - before
}

#[test]
fn three_contexts_queue_and_the_fourth_falls_back_and_is_counted() {
    assert_eq!(nested::<Fifo, Idx3>(3), 0);
    assert_eq!(nested::<Fifo, Idx3>(4), 1);
    assert_eq!(nested::<FifoHalt, Idx3>(5), 2);
    assert_eq!(nested::<Bounded, Idx3>(4), 1);
}

#[test]
fn with_a_spare_bit_the_fourth_context_queues_too() {
    assert_eq!(nested::<Fifo, SpareBit>(4), 0);
    assert_eq!(nested::<Fifo, SpareBit>(5), 1);
}

/// CPU 0 holds, CPU 1 waits as the head and is preempted, CPU 0 releases. Returns the lock and
/// CPU 1's way to go on: this thread plays CPU 1 from inside its wait.
fn behind_a_preempted_head<P: Policy, W: Format>(
    then_do: impl FnOnce(&'static QSpinLock<Scripted, P, W>) + 'static,
) -> &'static QSpinLock<Scripted, P, W> {
    let lock = lock::<P, W>();
    let release = held_by(0, lock);
    then(move || {
        host_says(1, RunState::Preempted, 2);
        release();
        then_do(lock);
        host_says(1, RunState::Running, 3);
    });
    let token = on(1, || lock.lock());
    on(1, || unlock(lock, token));
    lock
}

#[test]
fn a_newcomer_passes_over_a_preempted_head_and_leaves_its_name() {
    let lock = behind_a_preempted_head::<Bounded, Idx3>(|lock| {
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
fn nobody_passes_over_one_that_runs() {
    let lock = lock::<Bounded, Idx3>();
    let release = held_by(0, lock);
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
