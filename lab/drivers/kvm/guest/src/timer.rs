//! The timer of a vCPU's own interrupt controller, for a halt that is to end by itself.
//!
//! Interrupts are masked everywhere else: precompiled code may use what lies below the stack pointer.

use core::arch::asm;

use pvqspin_kvm_boot::header::TIMER_VECTOR;

// As Intel's manual has them, volume 3, "Advanced programmable interrupt controller".
const CONTROLLER: u64 = 0xfee0_0000;
pub(crate) const END_OF_INTERRUPT: u64 = CONTROLLER + 0xb0;
const TIMER: u64 = CONTROLLER + 0x320;
const INITIAL_COUNT: u64 = CONTROLLER + 0x380;
const DIVIDER: u64 = CONTROLLER + 0x3e0;
const DIVIDE_BY_1: u32 = 0b1011;

/// Halts until a kick, or until so many nanoseconds have passed: KVM counts in these.
///
/// # Safety
///
/// CPL 0, interrupts masked, and KVM has an interrupt controller for this vCPU.
pub(crate) unsafe fn halt_for(ns: u32) {
    // SAFETY: the caller's promise.
    unsafe {
        write(DIVIDER, DIVIDE_BY_1);
        write(TIMER, TIMER_VECTOR as u32);
        write(INITIAL_COUNT, ns);
    }
    // SAFETY: CPL 0. The interrupt comes after `sti` and the instruction behind it at the earliest, so it ends
    // the `hlt`; its handler uses the stack below the pointer, as this may.
    unsafe { asm!("sti", "hlt", "cli") };
    // A kick came first: the timer is not to end the next halt.
    // SAFETY: the caller's promise.
    unsafe { write(INITIAL_COUNT, 0) };
}

/// # Safety
///
/// A register of the controller, which KVM has for this vCPU.
unsafe fn write(register: u64, value: u32) {
    let register = core::ptr::with_exposed_provenance_mut::<u32>(register as usize);
    // SAFETY: the caller's promise; no memory of Rust lies there.
    unsafe { register.write_volatile(value) };
}
