//! All vCPUs lock and unlock the same file: short sections under one lock, a cheap one inside.
//!
//! Definition: will-it-scale's `lock2`: every task loops over `fcntl(F_WRLCK)` and `fcntl(F_UNLCK)` on
//! one byte of the same file, and counts both calls. In Linux each of them takes the file's `flc_lock`
//! and, inside it, the lock of the running CPU's list of all file locks. The lengths are chosen here: about
//! 100 ns inside, 700 ns for the rest of the system call.

use alloc::vec::Vec;

use crate::control::Control;
use crate::guest::Guest;
use crate::record::Record;
use crate::section::Lengths;
use crate::setup::{AnyLock, Setup};
use crate::worker::Worker;
use crate::workload::{Account, Workload, WorkloadId};

/// A CPU's list is held for this part of the file's lock. No other CPU wants it.
const LIST_PART: u32 = 5;

/// More CPUs than this share lists, to keep the memory in bounds.
const LISTS: usize = 64;

/// One file, and the lists of all CPUs.
#[derive(Debug)]
pub struct Lock2<E> {
    file: AnyLock<E>,
    lists: Vec<AnyLock<E>>,
    inside: Lengths,
    outside: Lengths,
    seed: u64,
}

impl<E: Guest> Lock2<E> {
    pub(crate) fn new(setup: &Setup<'_, E>) -> Self {
        Self {
            file: setup.lock(),
            lists: setup.locks(setup.cpus.min(LISTS)),
            inside: Lengths::new(setup.config.inside),
            outside: Lengths::new(setup.config.outside),
            seed: setup.config.seed,
        }
    }
}

impl<E: Guest> Workload for Lock2<E> {
    fn run_vcpu(&self, control: &Control, record: &Record) {
        Worker::<E>::measuring_all(self.seed, control, record).work(|worker| {
            let random = worker.random();
            let inside_ns = self.inside.draw(random);
            let list_ns = inside_ns / LIST_PART;
            let list = &self.lists[worker.cpu().index() % self.lists.len()];
            worker.outside(self.outside.draw(random >> Lengths::BITS));
            worker.section(&self.file, 0, inside_ns - list_ns, |worker| {
                worker.section(list, 1, list_ns, |_| ());
            });
            worker.unit_done();
        });
    }

    fn account(&self) -> Account {
        let locks = self.lists.iter().chain([&self.file]);
        Account::new(WorkloadId::Lock2, locks, [1, self.lists.len()])
    }
}
