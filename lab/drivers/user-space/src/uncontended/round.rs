//! One timed round of a contender.

use std::hint::black_box;
use std::time::Instant;

use crate::uncontended::subject::Subject;

/// One round: `pairs` of lock and unlock with a gap after each, in ns a turn.
///
/// The lock is reached through a reference that the compiler cannot see through, and is inlined
/// into the loop.
#[inline(never)]
pub(crate) fn round<S: Subject>(pairs: u32, gap: u32) -> f64 {
    let subject = S::new();
    let subject = black_box(&subject);
    let mut place = S::place();
    let mut chain = black_box(1_u64);
    let start = Instant::now();
    for _ in 0..pairs {
        subject.pair(&mut place);
        for _ in 0..gap {
            chain = black_box(chain.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
    }
    black_box(chain);
    start.elapsed().as_nanos() as f64 / f64::from(pairs)
}
