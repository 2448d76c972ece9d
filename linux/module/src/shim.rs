//! What the C shim offers. The object has no other undefined symbol.

// SAFETY: the C shim of this folder defines each of them with this signature.
unsafe extern "C" {
    /// The number of the CPU that executes this; preemption is off.
    pub(crate) fn pvq_cpu() -> u32;
    /// Monotonic time in ns, comparable between CPUs, readable in every context.
    pub(crate) fn pvq_now_ns() -> u64;
    /// Whether this is an NMI: then nothing halts.
    pub(crate) fn pvq_in_nmi() -> bool;
    /// Never returns. Not referenced, or the build fails.
    pub(crate) fn pvq_never() -> !;
}
