//! The pressure goes while waiters sleep: they are woken before the lock is released.
//!
//! A holder keeps the lock until so many of those behind it sleep. Then none wants a pCPU any more.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use pvqspin::{Bounded, Env, Fifo, Format, Idx3, Policy, QSpinLock, SpareBit, Tail};

use crate::host::{
    Calms, Host, Model, Reached, Refuses, all_nodes_are_given_back, become_cpu, begin, known,
    numbered, reached,
};
use crate::{Shared, contend, extra_preemptions};

/// CPU 0 holds; `waiters` queue behind it, the last of them joins when the pressure is gone.
fn explore<H: Host, P: Policy, W: Format>(
    waiters: usize,
    late: bool,
    preemptions: usize,
) -> Reached {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions + extra_preemptions());
    model.max_branches = 100_000;
    model.check(move || {
        begin();
        let shared = Arc::new(Shared::<Model<H>, P, W> {
            lock: QSpinLock::new(),
            count: UnsafeCell::new(0),
        });
        become_cpu(0);
        let token = shared.lock.lock();
        let joins = |cpu: usize| {
            let joins = Arc::clone(&shared);
            let waiter = thread::spawn(move || contend(&*joins, cpu, 1));
            let joined = Tail::Waiter(numbered(cpu), 0);
            while W::tail(shared.lock.raw_word()) != joined {
                thread::yield_now();
            }
            waiter
        };
        let early = waiters - usize::from(late);
        let mut threads: Vec<_> = (1..=early).map(joins).collect();
        while Model::<H>::pressure() {
            thread::yield_now();
        }
        if late {
            threads.push(joins(waiters));
            // No other CPU wakes the head now: the one that came late has to.
            while known().sleepers() > 0 {
                thread::yield_now();
            }
        }
        // SAFETY: the token is from above.
        unsafe { shared.lock.unlock(token) };
        for thread in threads {
            thread.join().expect("no panics");
        }
        assert!(!shared.lock.is_locked(), "{:#010x}", shared.lock.raw_word());
        // SAFETY: all other threads have ended.
        shared
            .count
            .with(|count| assert_eq!(unsafe { *count }, waiters));
        all_nodes_are_given_back();
    });
    reached()
}

#[test]
fn a_promoted_sleeper_is_woken_at_once() {
    let reached = explore::<Calms<2>, Fifo, Idx3>(2, false, 1);
    assert!(reached.kicks_of_holders > 0, "{reached:?}");
}

#[test]
fn a_promoted_sleeper_is_woken_at_once_bit() {
    let reached = explore::<Calms<2>, Fifo, SpareBit>(2, false, 1);
    assert!(reached.kicks_of_holders > 0, "{reached:?}");
}

#[test]
fn a_head_that_sleeps_is_woken_by_a_waiter() {
    let reached = explore::<Calms<1>, Fifo, Idx3>(2, true, 0);
    assert!(reached.kicks_of_waiters > 0, "{reached:?}");
}

#[test]
fn who_sleeps_behind_the_head_is_woken_at_once() {
    let reached = explore::<Refuses<1>, Bounded<1_000>, Idx3>(2, false, 0);
    assert!(reached.kicks_of_holders > 0, "{reached:?}");
}
