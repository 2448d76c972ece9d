//! Time: the processor's time-stamp counter, scaled to nanoseconds of `CLOCK_MONOTONIC`.
//!
//! Guest code cannot call the C library's clock (it may be moved to another thread between any
//! two instructions), and a system call would cost more than many of the things we time. The
//! counter costs some 10 ns, needs no memory, and on every x86-64 of the last fifteen years ticks
//! alike on all CPUs; [`is_invariant`] says whether this one promises so.
//!
//! *Ticks* are counter values; *ns* are nanoseconds since the clock was calibrated.

use core::arch::x86_64::{__cpuid, _rdtsc};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use rustix::time::{ClockId, clock_gettime};

/// Ticks at time 0.
static BASE: AtomicU64 = AtomicU64::new(0);
/// Nanoseconds for each tick, as a 32.32 fixed-point number.
static NS_PER_TICK: AtomicU64 = AtomicU64::new(0);
/// Ticks for each nanosecond, as a 32.32 fixed-point number.
static TICKS_PER_NS: AtomicU64 = AtomicU64::new(0);

/// How long one calibration looks at both clocks.
const CALIBRATION_NS: u64 = 10_000_000;

/// Proof that the clock has been calibrated.
#[derive(Clone, Copy, Debug)]
pub struct Calibrated(());

/// Calibrates the clock at the first call; later calls cost nothing.
pub fn calibrate() -> Calibrated {
    static DONE: OnceLock<Calibrated> = OnceLock::new();
    *DONE.get_or_init(|| {
        let (start_ticks, start_ns) = read_both();
        let (end_ticks, end_ns) = loop {
            let both = read_both();
            if both.1 - start_ns >= CALIBRATION_NS {
                break both;
            }
            core::hint::spin_loop();
        };
        let ticks = u128::from((end_ticks - start_ticks).max(1));
        let ns = u128::from(end_ns - start_ns);
        // Relaxed: `OnceLock` publishes them to every reader of `Calibrated`, and guest code runs on
        // threads that were started after that.
        NS_PER_TICK.store(((ns << 32) / ticks) as u64, Relaxed);
        TICKS_PER_NS.store(((ticks << 32) / ns) as u64, Relaxed);
        BASE.store(start_ticks, Relaxed);
        Calibrated(())
    })
}

/// Both clocks at the same instant, as nearly as a few tries allow.
fn read_both() -> (u64, u64) {
    (0..16)
        .map(|_| {
            let before = ticks();
            let now = clock_gettime(ClockId::Monotonic);
            let after = ticks();
            let ns = now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64;
            (after - before, before + (after - before) / 2, ns)
        })
        .min_by_key(|&(window, _, _)| window)
        .map_or((0, 0), |(_, ticks, ns)| (ticks, ns))
}

/// The counter.
#[inline]
pub fn ticks() -> u64 {
    // SAFETY: every x86-64 processor has RDTSC, and Linux lets user space execute it unless a
    // process asks for the contrary of itself, which then ends in a signal, not in bad memory.
    unsafe { _rdtsc() }
}

/// Nanoseconds since the calibration.
#[inline]
pub fn now_ns() -> u64 {
    at_ns(ticks())
}

/// The time at which the counter stood at `ticks`.
#[inline]
pub fn at_ns(ticks: u64) -> u64 {
    ticks_to_ns(ticks.wrapping_sub(BASE.load(Relaxed)))
}

/// A length in ticks, in nanoseconds.
#[inline]
pub fn ticks_to_ns(ticks: u64) -> u64 {
    scale(ticks, NS_PER_TICK.load(Relaxed))
}

/// A length in nanoseconds, in ticks.
#[inline]
pub fn ns_to_ticks(ns: u64) -> u64 {
    scale(ns, TICKS_PER_NS.load(Relaxed))
}

/// The clock's parameters, for guests that have no access to this process: ticks at time 0,
/// nanoseconds for each tick and ticks for each nanosecond, both as 32.32 fixed-point numbers.
#[must_use]
pub fn parameters(_: Calibrated) -> [u64; 3] {
    [&BASE, &NS_PER_TICK, &TICKS_PER_NS].map(|value| value.load(Relaxed))
}

#[inline]
fn scale(value: u64, factor: u64) -> u64 {
    ((u128::from(value) * u128::from(factor)) >> 32) as u64
}

/// The counter's frequency in MHz.
pub fn mhz(_: Calibrated) -> f64 {
    TICKS_PER_NS.load(Relaxed) as f64 / (1u64 << 32) as f64 * 1e3
}

/// Whether the processor promises that the counter never changes its speed, nor stops.
pub fn is_invariant() -> bool {
    const LEAF: u32 = 0x8000_0007;
    __cpuid(0x8000_0000).eax >= LEAF && __cpuid(LEAF).edx & (1 << 8) != 0
}

/// Spins for so many nanoseconds of real time.
#[inline]
pub fn busy_wait(ns: u64) {
    if ns == 0 {
        return;
    }
    let start = ticks();
    let length = ns_to_ticks(ns);
    while ticks().wrapping_sub(start) < length {
        core::hint::spin_loop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_keeps_pace_with_the_monotonic_clock() {
        calibrate();
        let (start_ticks, start_ns) = read_both();
        std::thread::sleep(std::time::Duration::from_millis(50));
        let (end_ticks, end_ns) = read_both();
        let ours = ticks_to_ns(end_ticks - start_ticks) as f64;
        let theirs = (end_ns - start_ns) as f64;
        assert!(
            (ours / theirs - 1.0).abs() < 2e-3,
            "{ours} against {theirs}"
        );
    }

    #[test]
    fn scaling_there_and_back_loses_nothing_that_matters() {
        calibrate();
        for ns in [1_000, 3_000_000, 60_000_000_000] {
            let back = ticks_to_ns(ns_to_ticks(ns));
            assert!(
                ns.abs_diff(back) <= 2 + ns / 1_000_000,
                "{ns} became {back}"
            );
        }
    }
}
