//! What a workload needs of its environment.

use pvqspin::Env;
use pvqspin_abi::Cpu;

/// What a workload needs of its environment beyond what a lock needs.
pub trait Guest: Env {
    /// Computes for about so many nanoseconds *of its own time*: a preemption in the middle
    /// stretches it, as it stretches a critical section.
    fn compute(ns: u32);

    /// When this virtual CPU was last put on a pCPU, on the clock of [`Env::now_ns`].
    fn entered_at_ns() -> u64;

    /// When this virtual CPU last passed [`Point::Joined`](pvqspin::Point::Joined), on the clock
    /// of [`Env::now_ns`]; 0 if it never did.
    ///
    /// The environment stamps it in [`Env::checkpoint`].
    fn joined_at_ns() -> u64;

    /// Its own time spent in [`Env::spin_until`] so far while other virtual CPUs had to wait for
    /// a pCPU, in nanoseconds. Never includes time in which it was off its pCPU.
    fn wasted_ns() -> u64;

    /// Does `body` with a timer set: if this virtual CPU waits for a lock at `due_ns` or later,
    /// `handler` runs on top of the wait, once, as an interrupt would. See [`timer`](crate::timer).
    ///
    /// Environments without interrupts just do `body`.
    #[inline]
    fn with_timer<R>(due_ns: u64, handler: &dyn Fn(), body: impl FnOnce() -> R) -> R {
        let _ = (due_ns, handler);
        body()
    }

    /// This virtual CPU has just taken a lock, or released it: `lock` tells this one from others.
    ///
    /// For those who record what happens; else empty.
    #[inline]
    fn mark(lock: usize, held: bool) {
        let _ = (lock, held);
    }

    /// This virtual CPU is about to use a cache line that `writer` wrote last.
    ///
    /// Environments on real memory do nothing: the memory itself does. A simulator lets the time
    /// pass that the line takes.
    #[inline]
    fn fetch_line(writer: Cpu) {
        let _ = writer;
    }
}
