//! A kernel's heap: the allocator `talc`, which is generic over the raw mutex of `lock_api` 0.4,
//! behind this lock.
//!
//! Neither crate knows the other. The kernel names the raw mutex once:
//!
//! ```
//! # struct Kernel;
//! # static NODES: pvqspin::CpuNodes = pvqspin::CpuNodes::new();
//! # impl pvqspin::Env for Kernel {
//! #     fn cpu() -> pvqspin::Cpu { pvqspin::Cpu::ZERO }
//! #     fn nodes(_: pvqspin::Cpu) -> &'static pvqspin::CpuNodes { &NODES }
//! #     fn spin_until(mut c: impl FnMut() -> bool, _: pvqspin::Budget) -> bool { while !c() {} true }
//! # }
//! use core::alloc::{GlobalAlloc, Layout};
//! use example_talc_heap::Heap;
//! use talc::source::Claim;
//!
//! static mut ARENA: [u8; 1 << 16] = [0; 1 << 16];
//!
//! // In a kernel this has `#[global_allocator]` above it.
//! // SAFETY: nothing else touches the arena.
//! static HEAP: Heap<Kernel> = Heap::new(unsafe { Claim::array(&raw mut ARENA) });
//!
//! let layout = Layout::new::<[u64; 32]>();
//! // SAFETY: the layout has a size; the block is freed once, with that layout.
//! unsafe {
//!     let block = HEAP.alloc(layout);
//!     assert!(!block.is_null());
//!     HEAP.dealloc(block, layout);
//! }
//! ```
//!
//! The allocator holds its lock for some hundred nanoseconds on every allocation of every CPU: where
//! a vCPU is preempted inside, all others stand still in any lock that does not tell the host.
//! `tests/overcommit.rs` shows how long, and `tests/global.rs` is a program whose global allocator
//! this is.

#![no_std]

use pvqspin::{Fifo, RawMutex04};

// excerpt: heap
/// The heap of a kernel with the environment `E`, under the waiting policy `P`.
pub type Heap<E, P = Fifo> = talc::TalcLock<RawMutex04<E, P>, talc::source::Claim>;
// end: heap
