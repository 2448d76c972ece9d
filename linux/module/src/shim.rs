//! What the C shim offers. The object has no other undefined symbol.

// SAFETY: `shim/exchange.c` defines each of them, with these types: `u32`, `u64` and `bool` of C are
// those of Rust, and `pvqspin.h` declares them for both sides.
unsafe extern "C" {
    /// The number of the CPU that executes this; preemption is off.
    pub(crate) fn pvq_cpu() -> u32;
    /// Monotonic time in ns, comparable between CPUs, readable in every context.
    pub(crate) fn pvq_now_ns() -> u64;
    /// Whether this is an NMI: then nothing lends or halts.
    pub(crate) fn pvq_in_nmi() -> bool;
    /// Never returns. Not referenced, or the build fails.
    #[cfg(not(test))]
    pub(crate) fn pvq_never() -> !;
}

/// In the place of the shim: one CPU, no clock.
#[cfg(test)]
mod tests {
    #[unsafe(no_mangle)]
    extern "C" fn pvq_cpu() -> u32 {
        0
    }
    #[unsafe(no_mangle)]
    extern "C" fn pvq_now_ns() -> u64 {
        0
    }
    #[unsafe(no_mangle)]
    extern "C" fn pvq_in_nmi() -> bool {
        false
    }
}
