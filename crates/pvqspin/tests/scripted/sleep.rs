//! Halts and kicks.

use pvqspin::{Event, Fifo, FifoHalt, FifoHolder, Idx3, Native, SpareBit};

use crate::locks::{held_by, lock, unlock};
use crate::world::{Call, calls, events, on, then};

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
