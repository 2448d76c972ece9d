//! The loop that stands for work, without a look at any clock.
//!
//! A clock would count time off the pCPU as work. A chain of multiplications does not, and its
//! speed depends on nothing but the processor's frequency: each needs the one before, so neither
//! a wide core nor a lucky alignment makes it faster. Drivers in real time calibrate it; the
//! simulator does not need it.

use core::arch::asm;

/// Takes `turns` turns of two dependent multiplications each.
#[inline(never)]
#[expect(
    unsafe_code,
    reason = "a compiler would do away with a loop for nothing"
)]
pub fn turns(turns: u64) {
    if turns == 0 {
        return;
    }
    // SAFETY: touches the two registers that it names, and no memory.
    unsafe {
        asm!(
            ".p2align 6",
            "2:",
            "imul {chain}, {chain}",
            "imul {chain}, {chain}",
            "dec {turns}",
            "jnz 2b",
            turns = inout(reg) turns => _,
            chain = inout(reg) 3u64 => _,
            options(nomem, nostack)
        );
    }
}

/// How many turns take `ns` nanoseconds, at `turns_per_ns`, a 32.32 fixed-point number.
#[must_use]
#[inline]
pub const fn turns_for(ns: u32, turns_per_ns: u64) -> u64 {
    (ns as u64 * (turns_per_ns >> 16)) >> 16
}
