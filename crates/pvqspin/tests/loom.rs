//! Model checks: every interleaving of two CPUs, and the bounded ones of three, under C11's memory
//! model as far as loom has it.
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test --release -p pvqspin --test loom
//! ```
//!
//! The host is the worst that the contract allows. It reports every other CPU as preempted, always,
//! so that each waiter takes its paravirtual steps whenever it may; its yields run any thread that
//! loom likes; its halts end by a kick, or never. A lost wake-up is a deadlock, which loom reports. Other
//! hosts let the pressure go while a CPU sleeps, or refuse what they are asked for.

#![cfg(loom)]

#[path = "loom/host.rs"]
mod host;
#[path = "loom/middle.rs"]
mod middle;
#[path = "loom/rw.rs"]
mod rw;
#[path = "loom/sleepers.rs"]
mod sleepers;

use host::{
    AllPreempted, AllRun, Fickle, Model, NewcomersLook, Refuses, all_nodes_are_given_back,
    become_cpu, begin, reached,
};
use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use pvqspin::{
    Bounded, Env, Fifo, FifoHalt, FifoHolder, Format, Idx3, Native, Policy, QSpinLock, SpareBit,
};

struct Shared<E, P, W> {
    lock: QSpinLock<E, P, W>,
    // Not atomic: loom reports any access that the lock does not order.
    count: UnsafeCell<usize>,
}

fn contend<E: Env, P: Policy, W: Format>(shared: &Shared<E, P, W>, cpu: usize, times: usize) {
    become_cpu(cpu);
    for _ in 0..times {
        let token = shared.lock.lock();
        // SAFETY: the lock is held; loom checks that it orders the accesses.
        shared.count.with_mut(|count| unsafe { *count += 1 });
        // SAFETY: the token is from above.
        unsafe { shared.lock.unlock(token) };
    }
}

fn explore<E: Env, P: Policy, W: Format>(cpus: usize, times: usize, preemptions: Option<usize>) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = preemptions;
    model.max_branches = 100_000;
    model.check(move || {
        begin();
        let shared = Arc::new(Shared::<E, P, W> {
            lock: QSpinLock::new(),
            count: UnsafeCell::new(0),
        });
        let others: Vec<_> = (1..cpus)
            .map(|cpu| {
                let shared = Arc::clone(&shared);
                thread::spawn(move || contend(&*shared, cpu, times))
            })
            .collect();
        contend(&*shared, 0, times);
        for other in others {
            other.join().expect("no panics");
        }
        assert!(!shared.lock.is_locked(), "{:#010x}", shared.lock.raw_word());
        // SAFETY: all other threads have ended.
        shared
            .count
            .with(|count| assert_eq!(unsafe { *count }, cpus * times));
        all_nodes_are_given_back();
    });
}

macro_rules! explore_all {
    ($($name:ident: $env:ty, $policy:ty, $word:ty, $two:literal, $three:literal;)*) => { $(
        mod $name {
            use super::*;

            #[test]
            fn two_cpus_twice_each() {
                explore::<$env, $policy, $word>(2, 2, Some($two + extra_preemptions()));
            }

            #[test]
            fn three_cpus() {
                explore::<$env, $policy, $word>(3, 1, Some($three + extra_preemptions()));
            }
        }
    )* };
}

/// `LOOM_EXTRA=1` allows one more preemption everywhere: hours instead of seconds.
fn extra_preemptions() -> usize {
    let extra = std::env::var("LOOM_EXTRA").unwrap_or_default();
    extra.parse().unwrap_or(0)
}

// The numbers bound the preemptions for two CPUs that take the lock twice each, and for three that
// take it once each: as many as a few seconds allow.
explore_all! {
    native: Model<AllRun>, Native, Idx3, 3, 1;
    native_bit: Model<AllRun>, Native, SpareBit, 3, 1;
    fifo: Model<AllPreempted>, Fifo, Idx3, 2, 1;
    fifo_bit: Model<AllPreempted>, Fifo, SpareBit, 2, 1;
    fifo_undisturbed: Model<AllRun>, Fifo, Idx3, 2, 1;
    fifo_halt: Model<AllRun>, FifoHalt, Idx3, 3, 2;
    fifo_halt_bit: Model<AllRun>, FifoHalt, SpareBit, 3, 2;
    fifo_holder: Model<AllRun>, FifoHolder, Idx3, 3, 2;
    fifo_holder_bit: Model<AllRun>, FifoHolder, SpareBit, 3, 2;
    bounded: Model<AllPreempted>, Bounded<1_000>, Idx3, 1, 1;
    bounded_bit: Model<AllPreempted>, Bounded<1_000>, SpareBit, 1, 1;
    bounded_refused: Model<Refuses<{ usize::MAX }>>, Bounded<1_000>, Idx3, 1, 1;
    bounded_fickle: Model<Fickle>, Bounded<1_000>, Idx3, 1, 1;
    fifo_fickle: Model<Fickle>, Fifo, Idx3, 2, 1;
    fifo_looks: Model<NewcomersLook>, Fifo, Idx3, 2, 1;
    bounded_looks: Model<NewcomersLook>, Bounded<1_000>, Idx3, 2, 1;
}

#[test]
fn a_look_takes_the_lock() {
    explore::<Model<NewcomersLook>, Fifo, Idx3>(2, 1, None);
    assert!(reached().taken_by_look > 0, "{:?}", reached());
}
