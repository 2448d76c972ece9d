//! The guest arena: where vCPU stacks live, and how code finds out on which one it runs.
//!
//! ```text
//!  base                                       base + n * SLOT
//!   |  slot 0      |  slot 1      |    ...    |
//!   +--------------+--------------+-----------+
//!
//!  one slot, 64 KiB, aligned to 64 KiB
//!   +-------+--------------------------------------+-------+-----+
//!   | guard |                      <-- stack grows | colour| VCB |
//!   +-------+--------------------------------------+-------+-----+
//!   0       4 KiB                                        fixed   64 KiB
//! ```
//!
//! The control block stands at a fixed distance from the top of a slot whose size is a power of
//! two, so that `rsp | (SLOT - 1)` leads to it from any stack frame. A vCPU therefore knows who
//! it is from its stack pointer alone, which moves with it from thread to thread. Thread-local
//! storage would not: it would name the thread that it was on when the address was computed.
//!
//! All slots look alike to the first-level cache, which indexes by the lower address bits. The
//! *colour* starts each stack some lines lower than its neighbour's, so that the hottest lines of
//! all vCPUs do not compete for the same few sets.

use core::ffi::c_void;
use core::mem::{align_of, size_of};
use core::ptr::{self, NonNull};
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use rustix::io;
use rustix::mm::{MapFlags, MprotectFlags, ProtFlags, mmap_anonymous, mprotect, munmap};

use crate::vcb::Vcb;

/// The bytes of one slot.
pub(crate) const SLOT: usize = 64 * 1024;
/// The bytes at the lower end of each slot that nothing can touch.
pub(crate) const GUARD: usize = 4096;
/// Where in its slot a control block starts.
const VCB_AT: usize = (SLOT - size_of::<Vcb>()) & !(align_of::<Vcb>() - 1);
/// The different places at which stacks start, and the distance between two of them.
const COLOURS: usize = 15;
const COLOUR_STEP: usize = 256;

/// The arena of the run in progress, for [`current`]. Zero length: none.
///
/// One for the whole process, because a signal handler has nothing else to ask.
static BASE: AtomicUsize = AtomicUsize::new(0);
static LENGTH: AtomicUsize = AtomicUsize::new(0);

/// The mapped slots. At most one arena exists at a time; see [`crate::session`].
#[derive(Debug)]
pub(crate) struct Arena {
    /// What was mapped, and its length: some more than the slots, to align them.
    mapping: NonNull<c_void>,
    mapped: usize,
    base: NonNull<u8>,
    slots: usize,
}

// SAFETY: the arena is memory; what lies in it is reached through `Vcb`, which is `Sync`, and
// through the stacks, whose exclusive use `pcpu` keeps.
unsafe impl Sync for Arena {}

impl Arena {
    /// Maps an arena of `slots` slots, guard pages in place, control blocks not yet written.
    pub(crate) fn new(slots: usize) -> io::Result<Self> {
        let length = slots * SLOT;
        let mapped = length + SLOT;
        // SAFETY: an anonymous mapping at an address of the kernel's choice replaces nothing.
        // Without reservation: a vCPU uses a few of its pages, and there may be thousands.
        let mapping = unsafe {
            mmap_anonymous(
                ptr::null_mut(),
                mapped,
                ProtFlags::READ | ProtFlags::WRITE,
                MapFlags::PRIVATE | MapFlags::NORESERVE,
            )
        }?;
        let mapping = NonNull::new(mapping).ok_or(io::Errno::NOMEM)?;
        let shift = mapping.cast::<u8>().as_ptr().align_offset(SLOT);
        // SAFETY: `shift` is below SLOT, by which the mapping is longer than the slots.
        let base = unsafe { mapping.cast::<u8>().add(shift) };
        let arena = Self {
            mapping,
            mapped,
            base,
            slots,
        };
        for slot in 0..slots {
            // SAFETY: the first page of a slot of our own mapping, to which nothing points yet.
            unsafe { mprotect(arena.slot(slot).cast(), GUARD, MprotectFlags::empty()) }?;
        }
        Ok(arena)
    }

    /// Makes this the arena that [`current`] looks in.
    pub(crate) fn publish(&self) {
        // Relaxed: threads that run in guest mode are started afterwards.
        BASE.store(self.base.as_ptr() as usize, Relaxed);
        LENGTH.store(self.slots * SLOT, Relaxed);
    }

    /// Ends [`publish`](Self::publish), if it was this one.
    pub(crate) fn withdraw(&self) {
        if BASE.load(Relaxed) == self.base.as_ptr() as usize {
            LENGTH.store(0, Relaxed);
            BASE.store(0, Relaxed);
        }
    }

    /// The lowest address of a slot.
    pub(crate) fn slot(&self, slot: usize) -> *mut u8 {
        assert!(slot < self.slots, "no such slot");
        // SAFETY: in bounds, as just checked.
        unsafe { self.base.as_ptr().add(slot * SLOT) }
    }

    /// Where the control block of a slot belongs.
    pub(crate) fn vcb(&self, slot: usize) -> *mut Vcb {
        self.slot(slot).wrapping_add(VCB_AT).cast()
    }

    /// Where the stack of a slot starts: 16-byte aligned, coloured.
    pub(crate) fn stack_top(&self, slot: usize) -> *mut u64 {
        let colour = (slot % COLOURS) * COLOUR_STEP;
        let top = self.slot(slot).wrapping_add((VCB_AT - colour) & !15);
        top.cast()
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        self.withdraw();
        // SAFETY: the mapping that `new` made. No thread is in guest mode any more: the session
        // that owns the arena has joined them all.
        let unmapped = unsafe { munmap(self.mapping.as_ptr(), self.mapped) };
        debug_assert!(unmapped.is_ok(), "the arena was mapped: {unmapped:?}");
    }
}

/// The stack pointer.
///
/// `pure`, so the compiler may reuse an earlier answer. It may: another frame of the same stack
/// leads to the same control block, and no code is moved from one stack to another.
#[inline(always)]
fn stack_pointer() -> usize {
    let rsp: usize;
    // SAFETY: copies a register.
    unsafe {
        core::arch::asm!(
            "mov {}, rsp",
            out(reg) rsp,
            options(pure, nomem, nostack, preserves_flags)
        );
    }
    rsp
}

/// Whether the caller runs on a vCPU's stack, which is to say in guest mode or on its edge.
#[inline(always)]
pub(crate) fn is_guest() -> bool {
    stack_pointer().wrapping_sub(BASE.load(Relaxed)) < LENGTH.load(Relaxed)
}

/// The control block of the vCPU on whose stack the caller runs; `None` on a thread's own stack.
#[inline(always)]
pub(crate) fn current() -> Option<&'static Vcb> {
    // SAFETY: just checked.
    is_guest().then(|| unsafe { current_unchecked() })
}

/// The control block of the vCPU on whose stack the caller runs.
///
/// # Safety
///
/// The caller runs on a vCPU's stack ([`is_guest`]).
#[inline(always)]
pub(crate) unsafe fn current_unchecked() -> &'static Vcb {
    let top_of_slot = stack_pointer() | (SLOT - 1);
    let vcb = top_of_slot - (SLOT - 1) + VCB_AT;
    // SAFETY: the session writes the control block of each slot before it lets any vCPU onto its
    // stack, and unmaps the arena after all have left. 'static stands for "as long as this
    // stack is in use", which outlives every user of the reference, who all run on it.
    unsafe { &*ptr::with_exposed_provenance::<Vcb>(vcb) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_aligned_and_its_parts_are_in_order() {
        let arena = Arena::new(20).expect("a megabyte");
        for slot in 0..20 {
            let start = arena.slot(slot) as usize;
            assert_eq!(start % SLOT, 0);
            assert_eq!(arena.vcb(slot) as usize, start + VCB_AT);
            let top = arena.stack_top(slot) as usize;
            assert!(start + GUARD + 48 * 1024 < top && top <= start + VCB_AT);
            assert_eq!(top % 16, 0);
        }
    }

    #[test]
    fn a_guard_page_stands_below_each_stack() {
        let arena = Arena::new(3).expect("a few pages");
        let maps = std::fs::read_to_string("/proc/self/maps").expect("Linux");
        for slot in 0..3 {
            let guard = arena.slot(slot) as usize;
            let line = maps
                .lines()
                .find(|line| line.starts_with(&format!("{guard:x}-")));
            let line = line.expect("the guard page is a mapping of its own");
            assert!(
                line.contains(&format!("-{:x} ---p", guard + GUARD)),
                "{line}"
            );
        }
    }

    #[test]
    fn a_thread_is_on_no_vcpu_stack() {
        assert!(!is_guest());
        assert!(current().is_none());
    }
}
