//! Copying, filling and comparing: what the compiler calls by name, and a C library would have.
//!
//! With the processor's string instructions. A loop written in Rust would be recognised as a copy,
//! and become a call of itself.

use core::arch::asm;
use core::ffi::c_int;

/// # Safety
///
/// As for the C function: both areas are valid for `count` bytes, and do not overlap.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise; the direction flag is clear, as in every function.
    unsafe {
        asm!(
            "rep movsb",
            inout("rcx") count => _, inout("rdi") to => _, inout("rsi") from => _,
            options(nostack, preserves_flags)
        );
    }
    to
}

/// # Safety
///
/// As for the C function: both areas are valid for `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= count {
        // SAFETY: the target does not begin inside the source, so a copy from front to back reads
        // every byte before it is overwritten.
        return unsafe { memcpy(to, from, count) };
    }
    // SAFETY: from back to front for the same reason. The last bytes are inside both areas, since
    // `count` is not 0 here. The direction flag is put back.
    unsafe {
        asm!(
            "std", "rep movsb", "cld",
            inout("rcx") count => _,
            inout("rdi") to.add(count - 1) => _,
            inout("rsi") from.add(count - 1) => _,
            options(nostack)
        );
    }
    to
}

/// # Safety
///
/// As for the C function: the area is valid for `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, byte: c_int, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise; the direction flag is clear, as in every function.
    unsafe {
        asm!(
            "rep stosb",
            inout("rcx") count => _, inout("rdi") to => _, in("al") byte as u8,
            options(nostack, preserves_flags)
        );
    }
    to
}

/// # Safety
///
/// As for the C function: both areas are valid for `count` bytes.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> c_int {
    for at in 0..count {
        // SAFETY: in bounds, by the caller's promise. Volatile, or this loop would become a call
        // of this function.
        let (a, b) = unsafe { (a.add(at).read_volatile(), b.add(at).read_volatile()) };
        if a != b {
            return c_int::from(a) - c_int::from(b);
        }
    }
    0
}

/// # Safety
///
/// As for [`memcmp`].
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> c_int {
    // SAFETY: the caller's promise.
    unsafe { memcmp(a, b, count) }
}
