//! What a workload is made from: its configuration, and a way to make locks.

use alloc::vec::Vec;

use pvqspin_rivals::erased::Erased;

use crate::guarded::Guarded;
use crate::guest::Guest;
use crate::section::Section;
use crate::workload::WorkloadId;

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

impl WorkloadConfig {
    /// One lock that all vCPUs want.
    #[must_use]
    pub const fn hot_lock(inside: Section, outside: Section, seed: u64) -> Self {
        Self {
            id: WorkloadId::HotLock,
            inside,
            outside,
            seed,
        }
    }
}

/// A lock of any type, with what it guards.
pub type AnyLock<E> = Guarded<Erased<E>>;

/// What a workload is made from.
pub(crate) struct Setup<'a, E> {
    pub(crate) config: &'a WorkloadConfig,
    pub(crate) cpus: usize,
    pub(crate) new_lock: fn(usize) -> AnyLock<E>,
}

impl<E: Guest> Setup<'_, E> {
    /// A free lock.
    pub(crate) fn lock(&self) -> AnyLock<E> {
        (self.new_lock)(self.cpus)
    }

    /// So many free locks.
    pub(crate) fn locks(&self, count: usize) -> Vec<AnyLock<E>> {
        (0..count).map(|_| self.lock()).collect()
    }
}
