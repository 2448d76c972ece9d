//! The lock of pvqspin as one object for a Linux kernel module.
//!
//! The C shim beside it exchanges the kernel's slow paths and calls the functions of [`entry`]. The
//! environment is `pvqspin::kvm`; [`kernel`] tells it where Linux keeps things.
//!
//! Each file imports from those above it alone:
//!
//! | file | |
//! | --- | --- |
//! | `shim.rs` | what the shim offers, and nothing else is undefined in the object |
//! | `held.rs` | tokens of locks that were taken past a head |
//! | `names.rs` | whether a waiter finds a name in the word |
//! | `percpu.rs` | all that is kept for one CPU |
//! | `kernel.rs` | the CPU, its nodes, its record, the clock |
//! | `entry.rs` | what the shim calls |
//!
//! `cargo test` runs the tests of these files on the machine at hand, without a kernel.

#![cfg_attr(not(test), no_std)]

mod entry;
mod held;
mod kernel;
mod names;
mod percpu;
mod shim;

/// There is no panic in this object: the build fails if `pvq_never` is used.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // SAFETY: the shim's function may be called in every context. (It is not: `check-object.sh` fails
    // if the object refers to it.)
    unsafe { shim::pvq_never() }
}
