//! Who am I, and where is what belongs to me.

use core::arch::asm;
use core::mem::size_of;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pvqspin::{Cpu, CpuNodes};
use pvqspin_abi::{VcpuPage, VmPage};
use pvqspin_kvm_boot::{CpuArea, Layout};

static PAGES: AtomicU64 = AtomicU64::new(0);
static NODES: AtomicU64 = AtomicU64::new(0);
static VM_PAGE: AtomicU64 = AtomicU64::new(0);
static VCPUS: AtomicU64 = AtomicU64::new(1);

/// Called once, by vCPU 0, before any other starts.
pub(crate) fn set_layout(layout: &Layout) {
    // Relaxed: the others are started by the VMM afterwards, which orders everything.
    PAGES.store(layout.pages, Relaxed);
    NODES.store(layout.nodes, Relaxed);
    VM_PAGE.store(layout.vm_page, Relaxed);
    VCPUS.store(layout.vcpus() as u64, Relaxed);
}

/// The area of the vCPU that runs this.
///
/// `pure`: no code moves from one vCPU to another, so the compiler may reuse an earlier answer.
#[inline(always)]
pub(crate) fn area() -> &'static CpuArea {
    let area: usize;
    // SAFETY: the VMM points GS at the area, whose first word is its own address.
    unsafe {
        asm!("mov {}, gs:[0]", out(reg) area, options(pure, readonly, nostack, preserves_flags));
    }
    // SAFETY: the VMM has written the area before it started this vCPU.
    unsafe { &*core::ptr::with_exposed_provenance(area) }
}

/// The `index`th thing in an array of the shared memory.
///
/// For the types that lie there, which are all atomics and fine when zero.
#[inline]
pub(crate) fn place<T: Sync>(first: u64, index: usize) -> &'static T {
    let address = first as usize + index * size_of::<T>();
    // SAFETY: `Layout` keeps space for so many of them there, in memory that the VMM has set to
    // zero or written; all callers stay within their number, and every one of these types is made
    // of atomics.
    unsafe { &*core::ptr::with_exposed_provenance(address) }
}

/// The number of a CPU, or of another one if there is no such CPU: the number may come from a
/// damaged word, and must not lead out of the array.
#[inline]
pub(crate) fn index(cpu: Cpu) -> usize {
    let index = cpu.index();
    if index < VCPUS.load(Relaxed) as usize {
        index
    } else {
        0
    }
}

/// The page of a CPU.
#[inline]
pub(crate) fn page(cpu: Cpu) -> &'static VcpuPage {
    place(PAGES.load(Relaxed), index(cpu))
}

/// The nodes of a CPU.
#[inline]
pub(crate) fn nodes(cpu: Cpu) -> &'static CpuNodes {
    place(NODES.load(Relaxed), index(cpu))
}

/// How many CPUs there are.
#[inline]
pub(crate) fn count() -> usize {
    VCPUS.load(Relaxed) as usize
}

/// The page of the VM.
#[inline]
pub(crate) fn vm_page() -> &'static VmPage {
    place(VM_PAGE.load(Relaxed), 0)
}
