//! Every workload, by name.

use alloc::boxed::Box;

use pvqspin_rivals::Lock;
use pvqspin_rivals::erased::Erased;

use crate::guarded::Guarded;
use crate::guest::Guest;
use crate::halted::Halted;
use crate::hash_table::HashTable;
use crate::hot_lock::HotLock;
use crate::kernel_build::KernelBuild;
use crate::leveldb::LevelDb;
use crate::lock2::Lock2;
use crate::locktorture::LockTorture;
use crate::nested_contexts::NestedContexts;
use crate::section::Section;
use crate::setup::{Setup, WorkloadConfig};
use crate::two_lines::TwoLines;
use crate::two_locks::TwoLocks;
use crate::workload::{Workload, WorkloadId};

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
    /// The mean time inside a lock, in ns, by default.
    pub inside_ns: u32,
    /// The mean time outside, in ns, likewise.
    pub outside_ns: u32,
    /// Whether its sections touch lines that travel with the lock: then how long they last is up to
    /// the lock too, and the bound is that of the shortest.
    pub moves_lines: bool,
    /// Where its definition comes from.
    pub source: &'static str,
}

impl Entry {
    /// The workload with the section lengths that stand here, uniform.
    #[must_use]
    pub const fn config(&self, seed: u64) -> WorkloadConfig {
        WorkloadConfig {
            id: self.id,
            inside: Section::uniform(self.inside_ns),
            outside: Section::uniform(self.outside_ns),
            seed,
        }
    }
}

/// Every workload, the simplest first.
pub const CATALOG: &[Entry] = &[
    Entry {
        id: WorkloadId::HotLock,
        name: "hot-lock",
        about: "every vCPU takes the same lock, works inside it, then outside",
        unit: "sections",
        inside_ns: 1_000,
        outside_ns: 2_000,
        moves_lines: false,
        source: "a closed queueing model: one station with a queue, V customers",
    },
    Entry {
        id: WorkloadId::TwoLines,
        name: "two-lines",
        about: "one lock, two cache lines to count up in, and nearly nothing outside",
        unit: "increments",
        inside_ns: 0,
        outside_ns: 40,
        moves_lines: true,
        source: "FlexGuard (SOSP 2025), section 5.2",
    },
    Entry {
        id: WorkloadId::HashTable,
        name: "hash-table",
        about: "a lock for each of 100 buckets, one of them hot, another one every 250 ms",
        unit: "operations",
        inside_ns: 100,
        outside_ns: 0,
        moves_lines: true,
        source: "FlexGuard (SOSP 2025), the buckets benchmark",
    },
    Entry {
        id: WorkloadId::Lock2,
        name: "lock2",
        about: "all lock the same file: one hot lock, a CPU's own lock inside it",
        unit: "calls",
        inside_ns: 100,
        outside_ns: 700,
        moves_lines: false,
        source: "will-it-scale, lock2; the lengths are chosen here",
    },
    Entry {
        id: WorkloadId::LockTorture,
        name: "locktorture",
        about: "empty sections back to back, with rare ones of 2 µs and of 100 µs",
        unit: "operations",
        inside_ns: 0,
        outside_ns: 0,
        moves_lines: false,
        source: "Linux, kernel/locking/locktorture.c, long holds scaled to runs of a second",
    },
    Entry {
        id: WorkloadId::LevelDb,
        name: "leveldb",
        about: "one mutex, taken twice for every get: to pin a version, and to unpin it",
        unit: "gets",
        inside_ns: 80,
        outside_ns: 1_500,
        moves_lines: false,
        source: "LevelDB, readrandom; the lengths are chosen here",
    },
    Entry {
        id: WorkloadId::KernelBuild,
        name: "kernel-build",
        about: "independent work of 1 to 10 ms in pieces, one of many rare locks after each piece",
        unit: "work items",
        inside_ns: 1_000,
        outside_ns: 100_000,
        moves_lines: false,
        source: "the shape of a kernel build in a guest; proportions and lengths are chosen here",
    },
    Entry {
        id: WorkloadId::NestedContexts,
        name: "nested-contexts",
        about: "interrupts come over slow paths, and their handlers take another lock",
        unit: "interrupts",
        inside_ns: 1_000,
        outside_ns: 2_000,
        moves_lines: false,
        source: "the contexts of a queue node in Linux's qspinlock",
    },
    Entry {
        id: WorkloadId::TwoLocks,
        name: "two-locks",
        about: "transfers between 16 accounts: two locks at once, always in the same order",
        unit: "transfers",
        inside_ns: 1_000,
        outside_ns: 1_000,
        moves_lines: true,
        source: "the textbook case of ordered locks",
    },
    Entry {
        id: WorkloadId::Halted,
        name: "halted",
        about: "the VM sleeps: what a --neighbour gets when it is alone",
        unit: "nothing",
        inside_ns: 0,
        outside_ns: 0,
        moves_lines: false,
        source: "the control of every measurement of neighbours",
    },
];

/// The workload of this name.
///
/// ```
/// use pvqspin_load::WorkloadId;
/// use pvqspin_load::catalog;
///
/// assert_eq!(catalog::find("hot-lock").map(|entry| entry.id), Some(WorkloadId::HotLock));
/// assert_eq!(catalog::find("hot-lokc"), None);
/// ```
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.name == name)
}

/// The workload of a configuration, for virtual CPUs `0..cpus`, on locks of type `L`. Allocates;
/// nothing after it does.
///
/// The hot lock is compiled for `L`. All others run on [`Erased`] locks, or a program with every
/// lock, workload and driver would take far too long to compile.
#[must_use]
pub fn build<E: Guest, L: Lock<E>>(config: &WorkloadConfig, cpus: usize) -> Box<dyn Workload> {
    if config.id == WorkloadId::HotLock {
        return Box::new(HotLock::<E, L>::new(config, cpus));
    }
    build_erased(&Setup {
        config,
        cpus,
        new_lock: |cpus| Guarded::new(Erased::new::<L>(cpus)),
    })
}

fn build_erased<E: Guest>(setup: &Setup<'_, E>) -> Box<dyn Workload> {
    match setup.config.id {
        WorkloadId::TwoLines => Box::new(TwoLines::new(setup)),
        WorkloadId::HashTable => Box::new(HashTable::new(setup)),
        WorkloadId::Lock2 => Box::new(Lock2::new(setup)),
        WorkloadId::LockTorture => Box::new(LockTorture::new(setup)),
        WorkloadId::LevelDb => Box::new(LevelDb::new(setup)),
        WorkloadId::KernelBuild => Box::new(KernelBuild::new(setup)),
        WorkloadId::NestedContexts => Box::new(NestedContexts::new(setup)),
        WorkloadId::TwoLocks => Box::new(TwoLocks::new(setup)),
        // The hot lock is built by `build`.
        WorkloadId::HotLock | WorkloadId::Halted => Box::new(Halted),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::CLASSES;
    use crate::test_env::Alone;
    use pvqspin_rivals::ticket::Ticket;

    #[test]
    fn every_workload_is_what_it_says_and_has_room_for_its_classes() {
        for entry in CATALOG {
            let config = entry.config(1);
            let account = build::<Alone, Ticket<Alone>>(&config, 3).account();
            assert_eq!(account.id, entry.id);
            assert_eq!(account.entered, 0);
            assert!(account.class_sizes.len() <= CLASSES);
            assert!(account.class_sizes.iter().all(|&locks| locks > 0));
        }
    }

    #[test]
    fn every_workload_has_one_entry_and_one_name() {
        for (at, entry) in CATALOG.iter().enumerate() {
            assert_eq!(entry.id as usize, at, "{}", entry.name);
            assert_eq!(entry.id.entry(), entry);
            assert_eq!(find(entry.name), Some(entry));
        }
    }
}
