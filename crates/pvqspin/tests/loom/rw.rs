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

    /// Writes, and reads on: no other writer comes in between.
    fn downgrade(&self) {
        let token = self.lock.write();
        // SAFETY: the lock is held; loom checks that it orders the accesses.
        let written = self.count.with_mut(|count| unsafe {
            *count += 1;
            *count
        });
        // SAFETY: the token is from above.
        let token = unsafe { self.lock.downgrade(token) };
        // SAFETY: no thread writes; loom checks it.
        self.count
            .with(|count| assert_eq!(unsafe { *count }, written));
        // SAFETY: the token is from above.
        unsafe { self.lock.unlock_read(token) };
    }

    /// Reads, and then writes: no other writer comes in between.
    fn upgrade(&self) {
        let token = self.lock.upgradable_read();
        // SAFETY: no thread writes; loom checks it.
        let read = self.count.with(|count| unsafe { *count });
        // SAFETY: the token is from above; so is the next.
        let token = unsafe {
            match self.lock.try_upgrade(token) {
                Ok(token) => token,
                Err(token) => self.lock.upgrade(token),
            }
        };
        // SAFETY: the lock is held; loom checks that it orders the accesses.
        self.count.with_mut(|count| unsafe {
            assert_eq!(*count, read);
            *count += 1;
        });
        // SAFETY: the token is from above.
        unsafe { self.lock.unlock_write(token) };
    }

    /// Reads, could write, and reads on.
    fn downgrade_upgradable(&self) {
        let token = self.lock.upgradable_read();
        // SAFETY: the token is from above.
        let token = unsafe { self.lock.downgrade_upgradable(token) };
        // SAFETY: no thread writes; loom checks it.
        self.count.with(|count| assert!(unsafe { *count } <= CPUS));
        // SAFETY: the token is from above.
        unsafe { self.lock.unlock_read(token) };
    }
}

/// What each CPU does, a letter for each turn: `w` writes, `r` reads, `d` writes and reads on, `u` reads
/// and then writes, `l` reads, could write, and reads on.
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
                match turn {
                    'w' => shared.write(),
                    'd' => shared.downgrade(),
                    'u' => shared.upgrade(),
                    'l' => shared.downgrade_upgradable(),
                    _ => shared.read(),
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
        let written = turns.concat().matches(['w', 'd', 'u']).count();
        // SAFETY: all other threads have ended.
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

            #[test]
            fn a_writer_reads_on() {
                explore_rw::<$env, $policy, $word>(&["d", "dr"], $two);
                explore_rw::<$env, $policy, $word>(&["d", "w", "r"], 1);
            }

            #[test]
            fn a_reader_becomes_the_writer() {
                explore_rw::<$env, $policy, $word>(&["u", "ur"], $two);
                explore_rw::<$env, $policy, $word>(&["u", "u", "r"], 1);
                explore_rw::<$env, $policy, $word>(&["u", "w", "l"], 1);
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
