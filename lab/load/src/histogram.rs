//! Counts of durations: a fixed log-linear histogram that one virtual CPU fills.
//!
//! ```text
//!   value      0 .. 31 | 32 .. 63 | 64 .. 127 | 128 .. 255 | ...  each octave in 32 buckets
//!   bucket     1 ns    | 1 ns     | 2 ns      | 4 ns       | ...
//! ```
//!
//! A bucket is at most 1/32 as wide as its values, and a reader is told its middle: off by at
//! most 1.6 %. No allocation, no floating point, no atomic read-modify-write: one CPU writes.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Buckets for each octave, as a power of two.
const SUB_BITS: u32 = 5;
/// Values from 2^40 ns (18 minutes) on share the last bucket.
const MAX_BITS: u32 = 40;
/// How many buckets there are.
pub const BUCKETS: usize = ((MAX_BITS - SUB_BITS + 1) << SUB_BITS) as usize;

/// The bucket of a value.
#[must_use]
#[inline]
pub const fn bucket_of(value: u64) -> usize {
    let bits = u64::BITS - value.leading_zeros();
    if bits <= SUB_BITS + 1 {
        return value as usize;
    }
    if bits > MAX_BITS {
        return BUCKETS - 1;
    }
    // The first SUB_BITS + 1 bits of the value, of which the highest is 1.
    let shift = bits - SUB_BITS - 1;
    ((shift as usize) << SUB_BITS) + (value >> shift) as usize
}

/// The value in the middle of a bucket.
#[must_use]
pub const fn middle_of(bucket: usize) -> u64 {
    let octave = (bucket >> SUB_BITS) as u32;
    if octave <= 1 {
        return bucket as u64;
    }
    let shift = octave - 1;
    let lowest = ((bucket as u64) - ((shift as u64) << SUB_BITS)) << shift;
    lowest + (1 << shift >> 1)
}

/// A histogram that one virtual CPU writes and any thread may read.
#[derive(Debug)]
#[repr(C)]
pub struct Histogram {
    counts: [AtomicU64; BUCKETS],
    max: AtomicU64,
}

impl Histogram {
    /// An empty histogram.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            counts: [const { AtomicU64::new(0) }; BUCKETS],
            max: AtomicU64::new(0),
        }
    }

    /// Counts one value. Only the owner calls it.
    #[inline]
    pub fn record(&self, value: u64) {
        // `bucket_of` is always in range; `get` because guest code must not hold a panic.
        if let Some(count) = self.counts.get(bucket_of(value)) {
            count.store(count.load(Relaxed) + 1, Relaxed);
        }
        if value > self.max.load(Relaxed) {
            self.max.store(value, Relaxed);
        }
    }

    /// Forgets everything. Only the owner calls it.
    pub fn reset(&self) {
        self.counts.iter().for_each(|count| count.store(0, Relaxed));
        self.max.store(0, Relaxed);
    }

    /// The largest value, exactly.
    #[must_use]
    pub fn max(&self) -> u64 {
        self.max.load(Relaxed)
    }

    /// Whether every count, and the maximum, is below a limit.
    #[must_use]
    pub fn is_below(&self, limit: u64) -> bool {
        let counts = self.counts.iter().chain([&self.max]);
        counts.into_iter().all(|count| count.load(Relaxed) < limit)
    }

    /// How many values lie above `limit`, up to the width of the bucket that `limit` falls in.
    #[must_use]
    pub fn count_over(&self, limit: u64) -> u64 {
        let above = self.counts.iter().skip(bucket_of(limit) + 1);
        above.map(|count| count.load(Relaxed)).sum()
    }
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

/// Several histograms added up, to be asked for quantiles.
#[derive(Clone, Debug)]
pub struct Merged {
    counts: Box<[u64]>,
    total: u64,
    max: u64,
}

impl Merged {
    /// All values of all these histograms.
    #[must_use]
    pub fn new<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> Self {
        let mut counts = alloc::vec![0; BUCKETS].into_boxed_slice();
        let mut max = 0;
        for histogram in histograms {
            for (sum, count) in counts.iter_mut().zip(&histogram.counts) {
                *sum += count.load(Relaxed);
            }
            max = max.max(histogram.max());
        }
        let total = counts.iter().sum();
        Self { counts, total, max }
    }

    /// Every value that was recorded, to 1.6 %, and how often, ascending. The largest is exact.
    #[must_use]
    pub fn counts(&self) -> Vec<(u64, u64)> {
        let recorded = self.counts.iter().enumerate();
        let mut counts: Vec<(u64, u64)> = recorded
            .filter(|(_, count)| **count > 0)
            .map(|(bucket, count)| (middle_of(bucket).min(self.max), *count))
            .collect();
        // The last bucket holds the largest value, and perhaps others.
        if let Some((value, count)) = counts.last_mut()
            && *value < self.max
        {
            *count -= 1;
            let none_left = *count == 0;
            if none_left {
                counts.pop();
            }
            counts.push((self.max, 1));
        }
        counts
    }

    /// How many values there are.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.total
    }

    /// The largest value, exactly.
    #[must_use]
    pub const fn max(&self) -> u64 {
        self.max
    }

    /// The smallest recorded value that at least `per_myriad` ten-thousandths of all values do
    /// not exceed, to 1.6 %; 0 if there are no values.
    #[must_use]
    pub fn quantile(&self, per_myriad: u64) -> u64 {
        let wanted = u128::from(self.total) * u128::from(per_myriad);
        let rank = wanted.div_ceil(10_000).max(1) as u64;
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return middle_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values that matter, in order: all small ones, and both sides of every bucket's and octave's edge.
    fn values() -> impl Iterator<Item = u64> {
        let edges = (5..MAX_BITS).flat_map(|bit| {
            let octave = 1_u64 << bit;
            let step = octave >> SUB_BITS;
            (0..32).flat_map(move |i| [octave + i * step, octave + (i + 1) * step - 1])
        });
        (0..32).chain(edges)
    }

    #[test]
    fn a_bucket_is_off_by_less_than_two_percent() {
        for value in values() {
            let told = middle_of(bucket_of(value));
            let error = told.abs_diff(value) as f64 / value.max(1) as f64;
            assert!(error <= 1.0 / 64.0, "{value} is told as {told}");
        }
    }

    #[test]
    fn buckets_are_in_order_and_none_is_left_out() {
        let mut last = None;
        for value in values() {
            let bucket = bucket_of(value);
            let next = last.map_or(0, |last| last + 1);
            assert!(bucket == next || Some(bucket) == last, "{value}: {bucket}");
            last = Some(bucket);
        }
        assert_eq!(last, Some(BUCKETS - 1));
        assert_eq!(bucket_of(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn every_bucket_holds_its_own_middle() {
        for bucket in 0..BUCKETS {
            assert_eq!(bucket_of(middle_of(bucket)), bucket);
        }
    }

    #[test]
    fn quantiles_are_nearest_ranks_over_all_histograms() {
        let histograms = [Histogram::new(), Histogram::new()];
        for value in 1..=10_000_u64 {
            histograms[(value % 2) as usize].record(value);
        }
        let merged = Merged::new(histograms.iter());
        assert_eq!((merged.total(), merged.max()), (10_000, 10_000));
        for (per_myriad, exact) in [(5_000, 5_000), (9_900, 9_900), (9_999, 9_999), (1, 1)] {
            let told = merged.quantile(per_myriad);
            let error = told.abs_diff(exact) as f64 / exact as f64;
            assert!(error <= 1.0 / 32.0, "{per_myriad}: {told}");
        }
        assert_eq!(merged.quantile(10_000), 10_000, "the maximum is exact");
    }

    #[test]
    fn counts_leave_nothing_out_and_end_in_the_exact_maximum() {
        let histogram = Histogram::new();
        for value in [0, 0, 7, 1_000, 1_001, 1_000_003, 1_000_005] {
            histogram.record(value);
        }
        let counts = Merged::new([histogram].iter()).counts();
        assert_eq!(counts[..2], [(0, 2), (7, 1)]);
        assert_eq!(counts[2].1, 2, "one bucket for 1000 and 1001");
        assert_eq!(
            counts.last(),
            Some(&(1_000_005, 2)),
            "one bucket for the last two"
        );
        assert_eq!(counts.iter().map(|(_, count)| count).sum::<u64>(), 7);
        assert!(counts.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn an_empty_histogram_has_no_quantiles() {
        assert!(Merged::new([].iter()).counts().is_empty());
        assert_eq!(Merged::new([].iter()).quantile(9_900), 0);
    }

    #[test]
    fn one_value_is_every_quantile() {
        let histogram = Histogram::new();
        histogram.record(777);
        let merged = Merged::new([histogram].iter());
        for per_myriad in [0, 1, 5_000, 10_000] {
            assert!(merged.quantile(per_myriad).abs_diff(777) <= 8);
        }
    }

    #[test]
    fn counting_over_a_limit_ignores_its_own_bucket() {
        let histogram = Histogram::new();
        for value in [0, 2_999_999, 3_000_000, 3_200_000, u64::MAX] {
            histogram.record(value);
        }
        assert_eq!(histogram.count_over(3_000_000), 2);
        histogram.reset();
        assert_eq!((histogram.count_over(0), histogram.max()), (0, 0));
    }
}
