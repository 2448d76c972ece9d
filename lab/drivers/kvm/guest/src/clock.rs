//! The time: the processor's time-stamp counter, on the scale that the VMM gave.

use core::arch::x86_64::_rdtsc;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pvqspin_kvm_boot::boot::Clock;
use pvqspin_load::compute;

static BASE: AtomicU64 = AtomicU64::new(0);
static NS_PER_TICK: AtomicU64 = AtomicU64::new(0);
static TICKS_PER_NS: AtomicU64 = AtomicU64::new(0);
static TURNS_PER_NS: AtomicU64 = AtomicU64::new(0);

/// Called once, by vCPU 0, before any other starts.
pub(crate) fn set(clock: &Clock) {
    // Relaxed: the others are started by the VMM afterwards, which orders everything.
    BASE.store(clock.base_ticks, Relaxed);
    NS_PER_TICK.store(clock.ns_per_tick, Relaxed);
    TICKS_PER_NS.store(clock.ticks_per_ns, Relaxed);
    TURNS_PER_NS.store(clock.turns_per_ns, Relaxed);
}

/// The counter.
#[inline]
pub(crate) fn ticks() -> u64 {
    // SAFETY: reads a counter; the VMM leaves CR4.TSD clear, so every CPL may.
    unsafe { _rdtsc() }
}

/// Nanoseconds since time 0 of the VMM's clock.
#[inline]
pub(crate) fn now_ns() -> u64 {
    at_ns(ticks())
}

/// The time at which the counter stood at `ticks`.
#[inline]
pub(crate) fn at_ns(ticks: u64) -> u64 {
    ticks_to_ns(ticks.wrapping_sub(BASE.load(Relaxed)))
}

/// A length in ticks, in nanoseconds.
#[inline]
pub(crate) fn ticks_to_ns(ticks: u64) -> u64 {
    scale(ticks, NS_PER_TICK.load(Relaxed))
}

/// A length in nanoseconds, in ticks.
#[inline]
pub(crate) fn ns_to_ticks(ns: u64) -> u64 {
    scale(ns, TICKS_PER_NS.load(Relaxed))
}

#[inline]
fn scale(value: u64, factor: u64) -> u64 {
    ((u128::from(value) * u128::from(factor)) >> 32) as u64
}

/// Computes for about so many nanoseconds.
#[inline]
pub(crate) fn compute_for(ns: u32) {
    compute::turns(compute::turns_for(ns, TURNS_PER_NS.load(Relaxed)));
}
