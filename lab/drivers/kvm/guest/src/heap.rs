//! Memory that is never given back: what a workload allocates lives as long as the VM.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr;
use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// What is left of the heap.
struct Heap {
    next: AtomicUsize,
    end: AtomicUsize,
}

#[global_allocator]
static HEAP: Heap = Heap {
    next: AtomicUsize::new(0),
    end: AtomicUsize::new(0),
};

/// Called once, by vCPU 0, before anything is allocated.
pub(crate) fn set(begin: u64, end: u64) {
    // Relaxed: the others are started by the VMM afterwards, which orders everything.
    HEAP.next.store(begin as usize, Relaxed);
    HEAP.end.store(end as usize, Relaxed);
}

// SAFETY: every block is cut off the front of the heap by one atomic step, so no two overlap, and
// none is ever given out again.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let end = self.end.load(Relaxed);
        let block = |next: usize| next.checked_next_multiple_of(layout.align());
        // Relaxed: a block comes with no contents, so there is nothing to see of it.
        let taken = self.next.fetch_update(Relaxed, Relaxed, |next| {
            block(next)?
                .checked_add(layout.size())
                .filter(|&after| after <= end)
        });
        match taken.ok().and_then(block) {
            Some(block) => ptr::with_exposed_provenance_mut(block),
            None => ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, _block: *mut u8, _layout: Layout) {}
}
