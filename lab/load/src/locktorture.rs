//! Empty sections, one after the other, and now and then a very long one.
//!
//! Definition: Linux's `locktorture` with `spin_lock`: every writer takes the lock in a loop, and holds
//! it for nothing; once in `writers * 200 * 2` times for 2 µs, and once in `writers * 2000 * 100` times for
//! 100 ms. That long one would come about once in a run of a minute. Here it is a thousand times shorter
//! and a thousand times as frequent: 100 µs, once in `writers * 200` times, so that it takes the same part of
//! all time in a run of a second. What locktorture does with its own scheduler (it gives up the CPU
//! inside a section, and pauses) is left out: the hypervisor does that here.

use crate::control::Control;
use crate::guest::Guest;
use crate::record::Record;
use crate::section::Lengths;
use crate::setup::{AnyLock, Setup};
use crate::worker::Worker;
use crate::workload::{Account, Workload, WorkloadId};

/// The rare long hold.
pub const LONG_NS: u32 = 100_000;
/// It comes once in so many times for each writer.
pub const LONG_ONE_IN: usize = 200;
/// The less rare short hold.
pub const SHORT_NS: u32 = 2_000;
/// It comes once in so many times for each writer.
pub const SHORT_ONE_IN: usize = 400;

/// One lock, held for very different times.
#[derive(Debug)]
pub struct LockTorture<E> {
    lock: AnyLock<E>,
    writers: usize,
    inside: Lengths,
    outside: Lengths,
    seed: u64,
}

impl<E: Guest> LockTorture<E> {
    pub(crate) fn new(setup: &Setup<'_, E>) -> Self {
        Self {
            lock: setup.lock(),
            writers: setup.cpus,
            inside: Lengths::new(setup.config.inside),
            outside: Lengths::new(setup.config.outside),
            seed: setup.config.seed,
        }
    }

    fn hold_ns(&self, worker: &mut Worker<'_, E>) -> u32 {
        if worker.random_below(self.writers * LONG_ONE_IN) == 0 {
            LONG_NS
        } else if worker.random_below(self.writers * SHORT_ONE_IN) == 0 {
            SHORT_NS
        } else {
            self.inside.draw(worker.random())
        }
    }
}

impl<E: Guest> Workload for LockTorture<E> {
    fn run_vcpu(&self, control: &Control, record: &Record) {
        Worker::<E>::measuring_all(self.seed, control, record).work(|worker| {
            let hold_ns = self.hold_ns(worker);
            let outside = self.outside.draw(worker.random());
            worker.outside(outside);
            worker.section(&self.lock, 0, hold_ns, |_| ());
            worker.unit_done();
        });
    }

    fn account(&self) -> Account {
        Account::new(WorkloadId::LockTorture, [&self.lock], [1])
    }
}
