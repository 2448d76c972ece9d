//! How fast the loop that stands for work turns here, and so many nanoseconds of it.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::OnceLock;

use pvqspin_load::compute::{turns, turns_for};

use crate::clock::{self, Calibrated};

/// Turns of the loop for each nanosecond, as a 32.32 fixed-point number.
static TURNS_PER_NS: AtomicU64 = AtomicU64::new(0);

/// What [`calibrate`] found.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Speed {
    /// Nanoseconds for each turn.
    pub turn_ns: f64,
}

/// Measures the loop at the first call; later calls cost nothing.
pub fn calibrate(_: Calibrated) -> Speed {
    static DONE: OnceLock<Speed> = OnceLock::new();
    *DONE.get_or_init(|| {
        // The difference of two lengths leaves out what a call costs besides its turns. The best
        // of many, because interrupts only ever make it slower.
        const SHORT: u64 = 500;
        const LONG: u64 = 10_500;
        let best = |count| {
            (0..100)
                .map(|_| {
                    let start = clock::ticks();
                    turns(count);
                    clock::ticks() - start
                })
                .min()
                .unwrap_or(0)
        };
        turns(LONG * 100); // lets the processor reach its frequency
        let ticks = best(LONG).saturating_sub(best(SHORT)).max(1);
        let turn_ns = clock::ticks_to_ns(ticks << 10) as f64 / (LONG - SHORT) as f64 / 1024.0;
        TURNS_PER_NS.store(((1u64 << 32) as f64 / turn_ns) as u64, Relaxed);
        Speed { turn_ns }
    })
}

/// Computes for about so many nanoseconds of the caller's own time.
#[inline]
pub fn for_ns(ns: u32) {
    turns(turns_for(ns, turns_per_ns()));
}

/// Turns of the loop for each nanosecond, as a 32.32 fixed-point number, for guests that have no
/// access to this process. 0 before [`calibrate`].
#[must_use]
pub fn turns_per_ns() -> u64 {
    TURNS_PER_NS.load(Relaxed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_work_takes_twice_the_time() {
        calibrate(clock::calibrate());
        let best = |ns| {
            (0..200)
                .map(|_| {
                    let start = clock::ticks();
                    for_ns(ns);
                    clock::ticks() - start
                })
                .min()
                .expect("not empty") as f64
        };
        let ratio = best(20_000) / best(10_000);
        assert!((1.8..2.2).contains(&ratio), "{ratio}");
    }
}
