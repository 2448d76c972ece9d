//! pvqspin for kernels that are not in Rust: `include/pvqspin.h`, and the functions behind it.
//!
//! ```text
//!   kernel in C ── pvq_lock_fifo ──► this crate ──► pvqspin::QSpinLock<InC, Fifo>
//!        ▲                                                  │
//!        └── pvq_cpu, pvq_cpu_nodes, pvq_yield_to ... ◄── env::InC
//! ```
//!
//! The header is the reference. Every function of it is one line here, and what the kernel defines is
//! [`mod@env`]. A lock, a token and the nodes of a CPU are laid out as the header says, which is checked
//! when this is compiled.
//!
//! As a static library it has no standard library and no unwinding; a panic, which nothing here
//! causes, would stop the CPU.

#![no_std]

pub mod env;
mod functions;

pub use functions::{bounded, fifo, native};

/// There is no way on, and no one to tell.
#[cfg(pvqspin_staticlib)]
#[panic_handler]
fn stop(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {
        core::hint::spin_loop();
    }
}
