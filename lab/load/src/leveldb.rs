//! A key-value store that takes its one mutex twice for every get.
//!
//! Definition: LevelDB's `readrandom`: `Get` takes the database's mutex to pin the current version, searches
//! without it, and takes it again to unpin. The lengths are chosen here: below 100 ns inside, 1.5 µs for the
//! search and what comes after it.

use crate::control::Control;
use crate::guest::Guest;
use crate::record::Record;
use crate::section::Lengths;
use crate::setup::{AnyLock, Setup};
use crate::worker::Worker;
use crate::workload::{Account, Workload, WorkloadId};

/// So much of the time outside is the caller's own, between two gets; the rest is the search.
const CALLER_PART: u32 = 8;

// excerpt: workload
/// One mutex.
#[derive(Debug)]
pub struct LevelDb<E> {
    mutex: AnyLock<E>,
    inside: Lengths,
    outside: Lengths,
    seed: u64,
}

impl<E: Guest> LevelDb<E> {
    pub(crate) fn new(setup: &Setup<'_, E>) -> Self {
        Self {
            mutex: setup.lock(),
            inside: Lengths::new(setup.config.inside),
            outside: Lengths::new(setup.config.outside),
            seed: setup.config.seed,
        }
    }
}

impl<E: Guest> Workload for LevelDb<E> {
    fn run_vcpu(&self, control: &Control, record: &Record) {
        // Every section: the two outside differ, and one in sixteen would always be the same one.
        Worker::<E>::measuring_all(self.seed, control, record).work(|worker| {
            let random = worker.random();
            let outside_ns = self.outside.draw(random >> Lengths::BITS);
            let caller_ns = outside_ns / CALLER_PART;
            worker.outside(caller_ns);
            worker.section(&self.mutex, 0, self.inside.draw(random), |_| ());
            worker.outside(outside_ns - caller_ns);
            let again = self.inside.draw(worker.random());
            worker.section(&self.mutex, 0, again, |_| ());
            worker.unit_done();
        });
    }

    fn account(&self) -> Account {
        Account::new(WorkloadId::LevelDb, [&self.mutex], [1])
    }
}
// end: workload

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::{make, run};

    #[test]
    fn a_get_takes_the_mutex_twice_with_the_search_between() {
        let store = make(WorkloadId::LevelDb, (80, 1_600), LevelDb::new);
        let record = run(&store, 1, 1_000_000);
        // 200 ns, 80 ns, 1,400 ns, 80 ns, and a ns for each.
        assert_eq!(record.units(), 1_000_000 / 1_764);
        assert!(record.acquisitions().abs_diff(2 * record.units()) <= 1);
    }
}
