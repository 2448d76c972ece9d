//! The hot lock: every virtual CPU works outside, takes the one lock, works inside, releases it.
//!
//! The one workload that is compiled for each lock, so that its fast path is inlined.

use pvqspin_rivals::Lock;

use crate::control::Control;
use crate::guarded::{Exclusive, Guarded, Known};
use crate::guest::Guest;
use crate::record::Record;
use crate::section::Lengths;
use crate::setup::WorkloadConfig;
use crate::worker::Worker;
use crate::workload::{Account, Workload, WorkloadId};

/// One lock that all vCPUs want.
#[derive(Debug)]
pub struct HotLock<E, L> {
    lock: Guarded<Known<E, L>>,
    inside: Lengths,
    outside: Lengths,
    seed: u64,
}

impl<E: Guest, L: Lock<E>> HotLock<E, L> {
    /// The workload for virtual CPUs `0..cpus`. Allocates; nothing after it does.
    #[must_use]
    pub fn new(config: &WorkloadConfig, cpus: usize) -> Self {
        Self {
            lock: Guarded::new(Known::new(cpus)),
            inside: Lengths::new(config.inside),
            outside: Lengths::new(config.outside),
            seed: config.seed,
        }
    }
}

impl<E: Guest, L: Lock<E>> Workload for HotLock<E, L> {
    fn run_vcpu(&self, control: &Control, record: &Record) {
        Worker::<E>::new(self.seed, control, record).work(|worker| {
            let random = worker.random();
            worker.outside(self.outside.draw(random >> Lengths::BITS));
            worker.section(&self.lock, 0, self.inside.draw(random), |_| ());
            worker.unit_done();
        });
    }

    fn account(&self) -> Account {
        Account::new(WorkloadId::HotLock, [&self.lock], [1])
    }

    fn word(&self) -> Option<u32> {
        self.lock.lock.word()
    }
}
