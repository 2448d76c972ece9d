//! Long independent work that enters the kernel now and then: many locks, each of them rarely.
//!
//! Definition: work items of 1 to 10 ms, as the jobs of a kernel build, in pieces of about 100 µs; between
//! two pieces the kernel is entered (a fault, a look-up, a wake-up) and takes one of many locks:
//!
//! | of 4 entries | the lock | how many there are |
//! | --- | --- | --- |
//! | 1 | a zone of free pages | 1 |
//! | 2 | a bucket of the directory cache | 16 |
//! | 1 | a run queue, any CPU's | one for each CPU, 64 at most |
//!
//! The proportions and lengths are chosen here. What they are to resemble: a build in one guest (Waiman Long,
//! July 2015), where the lock is a small part of all time and yet decides how long a build takes once
//! vCPUs are overcommitted. Its natural unit is the work item.

use alloc::vec::Vec;

use crate::control::Control;
use crate::guest::Guest;
use crate::record::Record;
use crate::section::Lengths;
use crate::setup::{AnyLock, Setup};
use crate::worker::Worker;
use crate::workload::{Account, Workload, WorkloadId};

/// Buckets of the directory cache.
const BUCKETS: usize = 16;
/// More CPUs than this share run queues, to keep the memory in bounds.
const RUN_QUEUES: usize = 64;
/// Pieces of an item: with pieces of 100 µs it lasts 1 to 10 ms.
const PIECES: core::ops::RangeInclusive<usize> = 10..=100;

/// The locks of a kernel.
#[derive(Debug)]
pub struct KernelBuild<E> {
    zone: AnyLock<E>,
    buckets: Vec<AnyLock<E>>,
    run_queues: Vec<AnyLock<E>>,
    inside: Lengths,
    outside: Lengths,
    seed: u64,
}

impl<E: Guest> KernelBuild<E> {
    pub(crate) fn new(setup: &Setup<'_, E>) -> Self {
        Self {
            zone: setup.lock(),
            buckets: setup.locks(BUCKETS),
            run_queues: setup.locks(setup.cpus.min(RUN_QUEUES)),
            inside: Lengths::new(setup.config.inside),
            outside: Lengths::new(setup.config.outside),
            seed: setup.config.seed,
        }
    }

    /// The lock that this entry into the kernel needs, and its class.
    fn needed(&self, worker: &mut Worker<'_, E>) -> (&AnyLock<E>, usize) {
        match worker.random_below(4) {
            0 => (&self.zone, 0),
            1 | 2 => (one_of(worker, &self.buckets), 1),
            _ => (one_of(worker, &self.run_queues), 2),
        }
    }
}

fn one_of<'a, E: Guest>(worker: &mut Worker<'_, E>, locks: &'a [AnyLock<E>]) -> &'a AnyLock<E> {
    &locks[worker.random_below(locks.len())]
}

impl<E: Guest> Workload for KernelBuild<E> {
    fn run_vcpu(&self, control: &Control, record: &Record) {
        let mut pieces = 0;
        Worker::<E>::measuring_all(self.seed, control, record).work(|worker| {
            if pieces == 0 {
                let choices = PIECES.end() - PIECES.start() + 1;
                pieces = PIECES.start() + worker.random_below(choices);
            }
            let random = worker.random();
            worker.outside(self.outside.draw(random >> Lengths::BITS));
            let (lock, class) = self.needed(worker);
            worker.section(lock, class, self.inside.draw(random), |_| ());
            pieces -= 1;
            if pieces == 0 {
                worker.unit_done();
            }
        });
    }

    fn account(&self) -> Account {
        let locks = self.buckets.iter().chain(&self.run_queues);
        let sizes = [1, self.buckets.len(), self.run_queues.len()];
        Account::new(WorkloadId::KernelBuild, locks.chain([&self.zone]), sizes)
    }
}
