//! A lock without waiters, and with one that lends its pCPU.

use pvqspin::{
    Bounded, Event, Fifo, FifoHalt, Format, Idx3, Native, Policy, RunState, SpareBit, Status, Tail,
    word,
};

use crate::locks::{held_by, lock, unlock};
use crate::world::{Call, WORLD, calls, cpu, events, host_says, on, then, waits_for};

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
fn a_wait_within_its_first_budget_asks_for_no_clock() {
    fn looks<P: Policy>(budgets_more: usize) -> u32 {
        let lock = lock::<P, Idx3>();
        (0..budgets_more).for_each(|_| then(|| ()));
        then(held_by(0, lock));
        let before = WORLD.with(|world| world.clock_looks.get());
        let token = on(1, || lock.lock());
        let looks = WORLD.with(|world| world.clock_looks.get()) - before;
        on(1, || unlock(lock, token));
        looks
    }
    assert_eq!(looks::<Fifo>(0), 0);
    assert!(looks::<Fifo>(1) > 0, "noted for a report");
    assert_eq!(looks::<Bounded>(0), 1, "its age decides who may pass");
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
