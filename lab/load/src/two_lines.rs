//! The two-line counter: a critical section that does nothing but move two cache lines.
//!
//! Definition: every thread takes the one lock, reads and writes two cache lines, releases it, and
//! waits 100 cycles (Laforet and others, FlexGuard, SOSP 2025, section 5.2; after Lozi and others,
//! USENIX ATC 2012). Here 100 cycles are 40 ns. A section asked for with `--inside` comes on top.

use crate::control::Control;
use crate::guest::Guest;
use crate::line::Line;
use crate::record::Record;
use crate::section::Lengths;
use crate::setup::{AnyLock, Setup};
use crate::worker::Worker;
use crate::workload::{Account, Workload, WorkloadId};

/// One lock, two lines behind it.
#[derive(Debug)]
pub struct TwoLines<E> {
    lock: AnyLock<E>,
    lines: [Line; 2],
    inside: Lengths,
    outside: Lengths,
    seed: u64,
}

impl<E: Guest> TwoLines<E> {
    pub(crate) fn new(setup: &Setup<'_, E>) -> Self {
        Self {
            lock: setup.lock(),
            lines: [Line::new(0), Line::new(0)],
            inside: Lengths::new(setup.config.inside),
            outside: Lengths::new(setup.config.outside),
            seed: setup.config.seed,
        }
    }
}

impl<E: Guest> Workload for TwoLines<E> {
    fn run_vcpu(&self, control: &Control, record: &Record) {
        Worker::<E>::measuring_all(self.seed, control, record).work(|worker| {
            let random = worker.random();
            worker.outside(self.outside.draw(random >> Lengths::BITS));
            worker.section(&self.lock, 0, self.inside.draw(random), |worker| {
                for line in &self.lines {
                    line.change::<E>(worker.cpu(), |count| count + 1);
                }
            });
            worker.unit_done();
        });
    }

    fn account(&self) -> Account {
        Account::new(WorkloadId::TwoLines, [&self.lock], [1])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::{make, run};

    #[test]
    fn both_lines_count_every_section() {
        let counter = make(WorkloadId::TwoLines, (0, 40), TwoLines::new);
        let record = run(&counter, 1, 100_000);
        for line in &counter.lines {
            assert_eq!(line.value(), record.all_acquisitions());
        }
    }
}
