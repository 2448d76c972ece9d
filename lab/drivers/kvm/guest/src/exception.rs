//! Exceptions: none is expected, so one is the end of the VM, with a sentence that says which it was. And
//! the one interrupt, which does nothing.
//!
//! ```text
//!   processor ──► gate n, written by the VMM ──► stub n ──► common ──► report ──► Panic
//!                                                pushes n,             says n, the error code,
//!                                                and 0 where there     where it was, and which
//!                                                is no error code      address could not be had
//! ```
//!
//! It runs on the stack of the code that it interrupts, at the same CPL. An exception for which that
//! stack is no good is a triple fault after all.

use core::arch::{asm, global_asm};

use crate::panic::end;

/// What lies on the stack when [`report`] is called.
#[repr(C)]
struct Frame {
    vector: u64,
    error_code: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
}

const PAGE_FAULT: u64 = 14;

/// The exceptions for which the processor pushes an error code, a bit each.
const WITH_ERROR_CODE: u32 = 1 << 8 // double fault
    | 1 << 10 // task state
    | 1 << 11 // segment not present
    | 1 << 12 // stack segment
    | 1 << 13 // general protection
    | 1 << 14 // page fault
    | 1 << 17 // alignment
    | 1 << 21 // control protection
    | 1 << 29 // VMM communication
    | 1 << 30; // security

// As many stubs, each as long, and where they begin: `pvqspin_kvm_boot::header`, and the linker
// script. The last one is the timer's: it tells the interrupt controller that it was taken.
global_asm!(
    ".pushsection .exceptions, \"ax\", @progbits",
    ".set pvq_vector, 0",
    ".rept {count}",
    ".balign {bytes}",
    ".if (({with_error_code} >> pvq_vector) & 1) == 0",
    "push 0",
    ".endif",
    "push pvq_vector",
    "jmp {common}",
    ".set pvq_vector, pvq_vector + 1",
    ".endr",
    ".balign {bytes}",
    "push rax",
    "xor eax, eax",
    "movabs dword ptr [{end_of_interrupt}], eax",
    "pop rax",
    "iretq",
    ".popsection",
    count = const pvqspin_kvm_boot::header::EXCEPTIONS,
    bytes = const pvqspin_kvm_boot::header::EXCEPTION_STUB_BYTES,
    with_error_code = const WITH_ERROR_CODE,
    common = sym common,
    end_of_interrupt = const crate::timer::END_OF_INTERRUPT,
);

/// What all stubs have in common: a stack as a function expects it, and no way back.
///
/// # Safety
///
/// For the stubs alone: a [`Frame`] lies on the stack.
#[unsafe(naked)]
unsafe extern "C" fn common() -> ! {
    core::arch::naked_asm!(
        "mov rdi, rsp",
        "and rsp, -16",
        "cld",
        "call {report}",
        "ud2",
        report = sym report,
    );
}

/// Says what happened, and ends the VM.
extern "C" fn report(frame: &Frame) -> ! {
    let Frame {
        vector,
        error_code,
        rip,
        cs,
        rflags,
        rsp,
    } = *frame;
    let name = name(vector);
    // Only CPL 0 may read which address it was.
    if vector == PAGE_FAULT && cs & 3 == 0 {
        let address: u64;
        // SAFETY: CPL 0, and reading changes nothing.
        unsafe { asm!("mov {}, cr2", out(reg) address, options(nomem, nostack, preserves_flags)) };
        end(format_args!(
            "{name} (error code {error_code:#x}) at {address:#x}, rip {rip:#x}, rsp {rsp:#x}, rflags {rflags:#x}"
        ))
    }
    end(format_args!(
        "exception {vector}, {name} (error code {error_code:#x}), rip {rip:#x}, rsp {rsp:#x}, rflags {rflags:#x}"
    ))
}

/// What the processor's manuals call it.
fn name(vector: u64) -> &'static str {
    match vector {
        0 => "division",
        1 => "debug",
        2 => "NMI",
        3 => "breakpoint",
        4 => "overflow",
        5 => "bound range",
        6 => "invalid opcode",
        7 => "device not available",
        8 => "double fault",
        10 => "invalid task state",
        11 => "segment not present",
        12 => "stack segment",
        13 => "general protection",
        PAGE_FAULT => "page fault",
        16 => "x87 floating point",
        17 => "alignment",
        18 => "machine check",
        19 => "SIMD floating point",
        _ => "of a kind without a name here",
    }
}
