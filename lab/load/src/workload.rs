//! What every workload is: something that virtual CPUs do, and an account of its locks.

use alloc::vec::Vec;

use crate::control::Control;
use crate::guarded::{Exclusive, Guarded};
use crate::record::Record;

/// A workload of the catalogue.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum WorkloadId {
    /// [`HotLock`](crate::hot_lock::HotLock).
    HotLock,
    /// [`TwoLines`](crate::two_lines::TwoLines).
    TwoLines,
    /// [`HashTable`](crate::hash_table::HashTable).
    HashTable,
    /// [`Lock2`](crate::lock2::Lock2).
    Lock2,
    /// [`LockTorture`](crate::locktorture::LockTorture).
    LockTorture,
    /// [`LevelDb`](crate::leveldb::LevelDb).
    LevelDb,
    /// [`KernelBuild`](crate::kernel_build::KernelBuild).
    KernelBuild,
    /// [`NestedContexts`](crate::nested_contexts::NestedContexts).
    NestedContexts,
    /// [`TwoLocks`](crate::two_locks::TwoLocks).
    TwoLocks,
    /// [`Halted`](crate::halted::Halted).
    Halted,
}

/// Something that the virtual CPUs of a VM do together.
pub trait Workload: Sync {
    /// What one virtual CPU does, until [`Phase::Stop`](crate::Phase::Stop). It returns with every
    /// lock released.
    fn run_vcpu(&self, control: &Control, record: &Record);

    /// What is known about its locks. Exact when every virtual CPU has returned.
    fn account(&self) -> Account;

    /// The raw word of the lock that all vCPUs want, if there is one, and [`pvqspin::word`] tells
    /// how to read it.
    fn word(&self) -> Option<u32> {
        None
    }
}

/// What is known about the locks of a workload.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Account {
    /// Which workload it was.
    pub id: WorkloadId,
    /// How often any of its locks was entered, as the locks themselves counted.
    pub entered: u64,
    /// How many locks of each kind share the acquisitions of that kind evenly.
    pub class_sizes: Vec<usize>,
}

impl Account {
    /// The account of these locks.
    #[must_use]
    pub fn new<'a, K: Exclusive + 'a>(
        id: WorkloadId,
        locks: impl IntoIterator<Item = &'a Guarded<K>>,
        class_sizes: impl Into<Vec<usize>>,
    ) -> Self {
        Self {
            id,
            entered: locks.into_iter().map(Guarded::entered).sum(),
            class_sizes: class_sizes.into(),
        }
    }
}
