//! All that is kept for one CPU: an array of it, for each possible CPU, that the shim allocates.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicPtr, AtomicU32, AtomicU64};

use pvqspin::kvm::{StealTime, Vcpu};
use pvqspin::{Cpu, CpuNodes};

use crate::held::Held;
use crate::names::Names;

/// What is kept for one CPU. All of it may be zero.
#[repr(C, align(128))]
pub(crate) struct PerCpu {
    pub(crate) nodes: CpuNodes,
    pub(crate) vcpu: Vcpu,
    pub(crate) held: Held,
    pub(crate) names: Names,
    /// The record that Linux registered with KVM for this CPU, or null until it is known.
    pub(crate) record: AtomicPtr<StealTime>,
    /// The longest that a slow path took, in ticks of the time-stamp counter.
    pub(crate) longest_ticks: AtomicU64,
}

impl PerCpu {
    const fn new() -> Self {
        Self {
            nodes: CpuNodes::new(),
            vcpu: Vcpu::new(),
            held: Held::new(),
            names: Names::new(),
            record: AtomicPtr::new(core::ptr::null_mut()),
            longest_ticks: AtomicU64::new(0),
        }
    }

    /// Notes how long a wait was.
    pub(crate) fn note_wait(&self, ticks: u64) {
        // Plain load and store: only this CPU writes, and an interrupt in between loses one maximum.
        if ticks > self.longest_ticks.load(Relaxed) {
            self.longest_ticks.store(ticks, Relaxed);
        }
    }
}

/// In the place of a CPU that does not exist. No CPU has such a number.
static NO_CPU: PerCpu = PerCpu::new();
static ALL: AtomicPtr<PerCpu> = AtomicPtr::new(core::ptr::null_mut());
static COUNT: AtomicU32 = AtomicU32::new(0);

/// Sets the array.
///
/// # Safety
///
/// `all` are `count` of them, zeroed or used, aligned, and they stay until no lock is used any more.
pub(crate) unsafe fn set(all: *mut PerCpu, count: u32) {
    // The count last, and released: a reader of it finds the array.
    ALL.store(all, Relaxed);
    COUNT.store(count, Release);
}

/// How many there are.
pub(crate) fn count() -> u32 {
    // Acquire pairs with the release in `set`.
    COUNT.load(Acquire)
}

/// That of one CPU.
#[inline]
pub(crate) fn of(index: usize) -> &'static PerCpu {
    if index >= count() as usize {
        return &NO_CPU;
    }
    // SAFETY: `index` is below the count that was published together with the array (acquire above),
    // so the element is inside it; and `set`'s caller keeps the array for as long as locks are used.
    // All of it is atomics, so a shared reference on several CPUs at once is right.
    unsafe { &*ALL.load(Relaxed).add(index) }
}

/// That of a named CPU.
#[inline]
pub(crate) fn of_cpu(cpu: Cpu) -> &'static PerCpu {
    of(cpu.index())
}
