//! The record that KVM keeps of a vCPU's time.

use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use pvqspin_abi::Generation;

/// `preempted` in the record, bit 0. Bit 1 is a request of a guest to its host, and none of ours.
pub(super) const PREEMPTED: u8 = 1 << 0;

/// The record that KVM keeps of a vCPU, as in its public `kvm_para.h`: `struct kvm_steal_time`.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct StealTime {
    pub(super) steal: AtomicU64,
    pub(super) version: AtomicU32,
    pub(super) flags: AtomicU32,
    pub(super) preempted: AtomicU8,
    reserved: [AtomicU8; 47],
}

impl StealTime {
    pub(super) const fn new() -> Self {
        Self {
            steal: AtomicU64::new(0),
            version: AtomicU32::new(0),
            flags: AtomicU32::new(0),
            preempted: AtomicU8::new(0),
            reserved: [const { AtomicU8::new(0) }; 47],
        }
    }

    /// For how long the vCPU could run and did not, in ns, up to when it last came back.
    #[must_use]
    pub fn steal_ns(&self) -> u64 {
        self.steal.load(Relaxed)
    }

    /// Whether the host says that it took the vCPU off its pCPU.
    #[must_use]
    pub fn is_preempted(&self) -> bool {
        // Acquire: who sees a CPU preempted also sees the edge that it published before.
        self.preempted.load(Acquire) & PREEMPTED != 0
    }

    /// How often the host put the vCPU on a pCPU, or took it back from its own user space.
    ///
    /// The host makes `version` odd, adds to `steal`, and makes `version` even again, each time
    /// before the guest's next instruction, so that a run cannot pass unseen. (A return from user
    /// space counts as well: then an earlier hint is stale, and the waiter looks again.)
    #[must_use]
    pub fn generation(&self) -> Generation {
        // Acquire: the flag is looked at afterwards.
        Generation::new(self.version.load(Acquire) >> 1)
    }
}
