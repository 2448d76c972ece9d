//! The loop that stands for work: so many nanoseconds of computing, without looking at a clock.
//!
//! A clock would count time off the CPU as work. Each multiplication needs the one before, so the
//! speed depends on nothing but the processor's frequency.

use std::hint::black_box;
use std::sync::OnceLock;
use std::time::Instant;

/// Nanoseconds for each turn, measured at the first call.
///
/// The best of many, because interrupts only ever make it slower.
pub(crate) fn turn_ns() -> f64 {
    static MEASURED: OnceLock<f64> = OnceLock::new();
    *MEASURED.get_or_init(|| {
        const TURNS: u64 = 20_000;
        turn(100 * TURNS); // lets the processor reach its frequency
        let best = (0..100)
            .map(|_| {
                let start = Instant::now();
                turn(TURNS);
                start.elapsed()
            })
            .min()
            .unwrap_or_default();
        (best.as_nanos() as f64 / TURNS as f64).max(0.01)
    })
}

/// Computes for about so many nanoseconds of the caller's own time.
#[inline]
pub(crate) fn for_ns(ns: u32) {
    turn((f64::from(ns) / turn_ns()) as u64);
}

#[inline(never)]
fn turn(turns: u64) {
    let mut chain = black_box(3_u64);
    for _ in 0..turns {
        chain = black_box(chain.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twice_the_work_takes_twice_the_time() {
        let best = |ns| {
            (0..200)
                .map(|_| {
                    let start = Instant::now();
                    for_ns(ns);
                    start.elapsed()
                })
                .min()
                .expect("not empty")
                .as_nanos() as f64
        };
        turn_ns();
        let ratio = best(40_000) / best(20_000);
        assert!((1.7..2.3).contains(&ratio), "{ratio}");
    }
}
