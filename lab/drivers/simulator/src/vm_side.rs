//! What the simulator knows about one VM and its lock.

use core::cell::Cell;

/// Where the lines of a VM's lock are.
///
/// Of a VM with several locks it knows only the one that was touched last.
pub(crate) struct VmSide {
    /// Whether it has a lock at all.
    pub(crate) locks: bool,
    /// The pCPU that touched the lock's word last.
    pub(crate) word_at: Cell<usize>,
    /// The pCPU on which a vCPU joined its queue last.
    pub(crate) joined_at: Cell<usize>,
    /// How many of its vCPUs poll the word at the moment, on a pCPU.
    pub(crate) pollers: Cell<u32>,
    /// How often its lock was taken after a wait.
    pub(crate) taken: Cell<u64>,
}

impl VmSide {
    pub(crate) fn new(locks: bool) -> Self {
        Self {
            locks,
            word_at: Cell::new(0),
            joined_at: Cell::new(0),
            pollers: Cell::new(0),
            taken: Cell::new(0),
        }
    }
}
