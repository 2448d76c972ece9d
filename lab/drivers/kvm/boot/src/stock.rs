//! What a vCPU writes down where the hypervisor is KVM itself, and KVM writes of it.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use pvqspin::Status;
use pvqspin::kvm::Vcpu;

/// The area of one vCPU on the stock transports. Zero on the others.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct StockArea {
    /// What `pvqspin` keeps of it. KVM writes the record in it.
    pub vcpu: Vcpu,
    /// The generation that it has noticed last.
    pub noticed: AtomicU32,
    /// After how many nanoseconds its timer is to end its next halt, or 0. Guest only.
    pub wakes_after_ns: AtomicU64,
    /// How often it halted.
    pub halts: AtomicU64,
    /// How often it called KVM to wake a vCPU.
    pub kicks: AtomicU64,
    /// How often it called KVM for a directed yield.
    pub yield_calls: AtomicU64,
    yields: [AtomicU64; 4],
}

impl StockArea {
    /// The area of a vCPU that has not started.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            vcpu: Vcpu::new(),
            noticed: AtomicU32::new(0),
            wakes_after_ns: AtomicU64::new(0),
            halts: AtomicU64::new(0),
            kicks: AtomicU64::new(0),
            yield_calls: AtomicU64::new(0),
            yields: [const { AtomicU64::new(0) }; 4],
        }
    }

    /// Counts one more. Only its own vCPU counts here.
    #[inline]
    pub fn count(counter: &AtomicU64) {
        counter.store(counter.load(Relaxed).wrapping_add(1), Relaxed);
    }

    /// Counts what became of a directed yield, whether KVM was called for it or not.
    pub fn count_yield(&self, status: Status) {
        Self::count(&self.yields[status as usize]);
    }

    /// Directed yields, by the number of their [`Status`].
    #[must_use]
    pub fn yields(&self) -> [u64; 4] {
        self.yields.each_ref().map(|count| count.load(Relaxed))
    }
}

impl Default for StockArea {
    fn default() -> Self {
        Self::new()
    }
}
