//! The context switch between a pCPU's own stack and a vCPU's.
//!
//! ```text
//!   pCPU thread                         vCPU
//!   -----------                         ----
//!   enter(vcb) -- save, swap rsp ---->  ... guest code ...
//!                                       hypercall stub, or signal handler
//!   ... host event ...  <-------------- leave(vcb): save, swap rsp
//!   enter(vcb) ---- maybe on another pCPU thread ---->  returns from leave
//! ```
//!
//! Both halves save what a callee must preserve under the System V ABI: `rbx`, `rbp`, `r12` to
//! `r15`, and the control words of SSE and x87. Everything else is dead at a call, or, where a
//! signal interrupted the guest in the middle of something, in the signal frame that the kernel
//! pushed on the vCPU's stack before.
//!
//! ```text
//! a saved stack, from rsp up:  mxcsr | x87 cw   r15  r14  r13  r12  rbx  rbp  return address
//! ```
//!
//! A signal may hit between any two of these instructions. The handler stays away, because
//! [`Vcb::in_hypervisor`] is set around every `leave` and for a vCPU that was never entered.

use core::arch::naked_asm;
use core::mem::offset_of;

use crate::vcb::Vcb;

/// Enters a vCPU: returns when it [`leave`]s.
///
/// # Safety
///
/// `vcb` is off every pCPU, and its saved stack is one of [`prepare`] or [`leave`]. The caller
/// runs on a thread's own stack.
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn enter(vcb: *const Vcb) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi + {host_rsp}], rsp",
        "mov rsp, [rdi + {guest_rsp}]",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        host_rsp = const offset_of!(Vcb, host_rsp),
        guest_rsp = const offset_of!(Vcb, guest_rsp),
    )
}

/// Leaves the calling vCPU for the pCPU that entered it: returns when it is entered again.
///
/// # Safety
///
/// The caller runs on the stack of `vcb`, which was [`enter`]ed, and has set
/// [`Vcb::in_hypervisor`].
#[unsafe(naked)]
pub(crate) unsafe extern "C" fn leave(vcb: *const Vcb) {
    naked_asm!(
        "push rbp",
        "push rbx",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 8",
        "stmxcsr [rsp]",
        "fnstcw [rsp + 4]",
        "mov [rdi + {guest_rsp}], rsp",
        "mov rsp, [rdi + {host_rsp}]",
        "ldmxcsr [rsp]",
        "fldcw [rsp + 4]",
        "add rsp, 8",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbx",
        "pop rbp",
        "ret",
        host_rsp = const offset_of!(Vcb, host_rsp),
        guest_rsp = const offset_of!(Vcb, guest_rsp),
    )
}

/// The control words that a thread starts with: all exceptions masked, round to nearest.
const MXCSR: u64 = 0x1f80;
const X87_CONTROL: u64 = 0x037f;

/// Writes a saved stack below `top`, so that the first [`enter`] calls `main`; returns its rsp.
///
/// # Safety
///
/// `top` is 16-byte aligned, with room for ten words below it that nothing else uses.
pub(crate) unsafe fn prepare(top: *mut u64, main: extern "C" fn() -> !) -> u64 {
    // From the top down. `main` starts as if it had been called: with a return address (0, where
    // backtraces end) at an rsp that is 8 past a multiple of 16.
    let words = [
        0,
        main as usize as u64,
        0, // rbp
        0, // rbx
        0, // r12
        0, // r13
        0, // r14
        0, // r15
        MXCSR | X87_CONTROL << 32,
    ];
    let mut rsp = top;
    for word in words {
        // SAFETY: within the ten words that the caller promises.
        unsafe {
            rsp = rsp.sub(1);
            rsp.write(word);
        }
    }
    rsp.expose_provenance() as u64
}
