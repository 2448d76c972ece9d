//! A small kernel, twice: with the spinlock of the crate `spin`, and with this one.
//!
//! The kernel ([`after::kernel`], one file for both) has a run queue for each CPU, from which others
//! steal, tasks that sleep until an interrupt wakes them, and handlers that take the same locks as
//! tasks do. What it calls a `SpinLock` stands in a file of its own, and is all that changes:
//!
//! ```sh
//! diff examples/tiny-kernel/src/before/sync.rs examples/tiny-kernel/src/after/sync.rs
//! ```
//!
//! Kernel and locks need `core` alone. [`machine`] plays the hardware: CPUs are threads.

#![no_std]
#![expect(
    clippy::duplicate_mod,
    reason = "the same kernel with two locks is the point"
)]

pub mod machine;

/// As it was: `spin::Mutex`, and a guard of the kernel's own that masks interrupts.
pub mod before {
    #[path = "../kernel.rs"]
    pub mod kernel;
    pub mod sync;
}

/// As it is now.
pub mod after {
    #[path = "../kernel.rs"]
    pub mod kernel;
    pub mod sync;
}
