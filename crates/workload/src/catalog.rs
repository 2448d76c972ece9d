//! Every workload, by name.

use alloc::boxed::Box;

use pvqspin_peers::Lock;

use crate::Guest;
use crate::hot_lock::HotLock;
use crate::section::Section;
use crate::workload::Workload;

/// A workload of the catalogue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WorkloadId {
    /// [`HotLock`].
    HotLock,
}

impl WorkloadId {
    /// Its entry in the catalogue.
    #[must_use]
    pub fn entry(self) -> &'static Entry {
        // The catalogue is in the order of the declaration, which a test checks.
        &CATALOG[self as usize]
    }
}

/// What the catalogue says about a workload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Which one it is.
    pub id: WorkloadId,
    /// Its name on command lines and in reports.
    pub name: &'static str,
    /// One sentence about it.
    pub about: &'static str,
    /// What it counts, in the plural: the natural unit of its throughput.
    pub unit: &'static str,
    /// The mean time inside a lock, in ns, if nobody asks for another.
    pub inside_ns: u32,
    /// The mean time outside, in ns, likewise.
    pub outside_ns: u32,
    /// Where its definition comes from.
    pub source: &'static str,
}

/// Every workload, the simplest first.
pub const CATALOG: &[Entry] = &[Entry {
    id: WorkloadId::HotLock,
    name: "hot-lock",
    about: "every vCPU takes the same lock, works inside it, then outside (--inside, --outside)",
    unit: "sections",
    inside_ns: 1_000,
    outside_ns: 2_000,
    source: "the closed model of operational analysis: one station with a queue, V customers",
}];

/// The workload of this name.
///
/// ```
/// use pvqspin_workload::catalog::{self, WorkloadId};
///
/// assert_eq!(catalog::find("hot-lock").map(|entry| entry.id), Some(WorkloadId::HotLock));
/// assert_eq!(catalog::find("hot-lokc"), None);
/// ```
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.name == name)
}

/// Which workload, how long its sections are, and where its randomness starts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WorkloadConfig {
    /// Which one.
    pub id: WorkloadId,
    /// The critical section.
    pub inside: Section,
    /// The work between two of them.
    pub outside: Section,
    /// Where the randomness starts. The same seed gives every lock the same sections.
    pub seed: u64,
}

/// The workload of a configuration, for virtual CPUs `0..cpus`, on locks of type `L`. Allocates;
/// nothing after it does.
#[must_use]
pub fn build<E: Guest, L: Lock<E>>(config: &WorkloadConfig, cpus: usize) -> Box<dyn Workload> {
    match config.id {
        WorkloadId::HotLock => Box::new(HotLock::<E, L>::new(config, cpus)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workload_has_one_entry_and_one_name() {
        for (at, entry) in CATALOG.iter().enumerate() {
            assert_eq!(entry.id as usize, at, "{}", entry.name);
            assert_eq!(entry.id.entry(), entry);
            assert_eq!(find(entry.name), Some(entry));
        }
    }
}
