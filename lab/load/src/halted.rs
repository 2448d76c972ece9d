//! A VM that sleeps for good: what a neighbour gets when it is alone.
//!
//! Its virtual CPUs are done as soon as they run, and the host never has to run them again. Beside it, a
//! lock-free neighbour (`--neighbour`) gets all that it can use; beside any other workload it should
//! get its share. That pair tells what the locks next door take from it.

use crate::control::Control;
use crate::record::Record;
use crate::workload::{Account, Workload, WorkloadId};

/// No vCPU does anything.
#[derive(Clone, Copy, Debug)]
pub struct Halted;

impl Workload for Halted {
    fn run_vcpu(&self, _control: &Control, _record: &Record) {}

    fn account(&self) -> Account {
        Account {
            id: WorkloadId::Halted,
            entered: 0,
            class_sizes: [].into(),
        }
    }
}
