//! The reader-writer lock under loom.

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread;
use pvqspin::{Bounded, Env, Fifo, FifoHalt, Format, Idx3, Native, Policy, QRwLock, SpareBit};

use crate::extra_preemptions;
use crate::host::{AllPreempted, AllRun, CPUS, Model, all_nodes_are_given_back, become_cpu, begin};

struct SharedRw<E, P, W> {
    lock: QRwLock<E, P, W>,
    count: UnsafeCell<usize>,
}

impl<E: Env, P: Policy, W: Format> SharedRw<E, P, W> {
    fn write(&self) {
        let token = self.lock.write();
        // SAFETY: the lock is held; loom checks that it orders the accesses.
        self.count.with_mut(|count| unsafe { *count += 1 });
        // SAFETY: the token is from above.
        unsafe { self.lock.unlock_write(token) };
    }

    fn read(&self) {
        let token = self.lock.read();
        // SAFETY: no thread writes; loom checks it.
        self.count.with(|count| assert!(unsafe { *count } <= CPUS));
        // SAFETY: the token is from above.
        unsafe { self.lock.unlock_read(token) };
    }
}

/// What each CPU does, a letter for each turn: `w` writes, `r` reads.
fn explore_rw<E: Env, P: Policy, W: Format>(turns: &[&'static str], preemptions: usize) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(preemptions + extra_preemptions());
    model.max_branches = 100_000;
    let turns = turns.to_vec();
    model.check(move || {
        begin();
        let shared = Arc::new(SharedRw::<E, P, W> {
            lock: QRwLock::new(),
            count: UnsafeCell::new(0),
        });
        let act = |shared: &SharedRw<E, P, W>, cpu: usize, turns: &str| {
            become_cpu(cpu);
            for turn in turns.chars() {
                if turn == 'w' {
                    shared.write();
                } else {
                    shared.read();
                }
            }
        };
        let others: Vec<_> = (1..turns.len())
            .map(|cpu| {
                let (shared, mine) = (Arc::clone(&shared), turns[cpu]);
                thread::spawn(move || act(&shared, cpu, mine))
            })
            .collect();
        act(&shared, 0, turns[0]);
        for other in others {
            other.join().expect("no panics");
        }
        assert!(!shared.lock.is_locked(), "{:?}", shared.lock);
        let written = turns.concat().matches('w').count();
        // SAFETY: everybody else has ended.
        shared
            .count
            .with(|count| assert_eq!(unsafe { *count }, written));
        all_nodes_are_given_back();
    });
}

macro_rules! explore_all_rw {
    ($($name:ident: $env:ty, $policy:ty, $word:ty, $two:literal, $three:literal;)*) => { $(
        mod $name {
            use super::*;

            #[test]
            fn reader_and_writer() {
                explore_rw::<$env, $policy, $word>(&["wr", "rw"], $two);
            }

            #[test]
            fn two_writers_and_a_reader() {
                explore_rw::<$env, $policy, $word>(&["w", "w", "r"], $three);
            }

            #[test]
            fn two_readers_and_a_writer() {
                explore_rw::<$env, $policy, $word>(&["r", "w", "r"], $three);
            }
        }
    )* };
}

explore_all_rw! {
    rw_native: Model<AllRun>, Native, Idx3, 2, 2;
    rw_native_bit: Model<AllRun>, Native, SpareBit, 2, 2;
    rw_fifo: Model<AllPreempted>, Fifo, Idx3, 2, 1;
    rw_fifo_bit: Model<AllPreempted>, Fifo, SpareBit, 2, 1;
    rw_fifo_halt: Model<AllRun>, FifoHalt, Idx3, 2, 2;
    rw_bounded: Model<AllPreempted>, Bounded<1_000>, Idx3, 1, 1;
}
