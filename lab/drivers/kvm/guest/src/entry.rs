//! The first instructions, and the header of the image.

use pvqspin_kvm_boot::Header;

use crate::start::start;

/// What the VMM reads before it lets anything run.
#[used]
#[unsafe(link_section = ".header")]
static HEADER: Header = Header::CURRENT;

/// Where every vCPU starts: 64-bit mode, SSE on, interrupts off, its stack in RSP, its area in GS,
/// its number in RDI.
///
/// # Safety
///
/// For the VMM alone.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    // The call leaves the stack as a function expects it: 16-byte aligned before the return
    // address. `start` never returns.
    core::arch::naked_asm!("xor ebp, ebp", "call {start}", "ud2", start = sym start);
}
