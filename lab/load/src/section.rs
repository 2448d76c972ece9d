//! How long a section lasts.
//!
//! A distribution is a table of quantiles, computed once: drawing from it costs a guest one load,
//! needs no floating point (which a kernel may not have), and is the same on every machine.

use alloc::boxed::Box;

/// How section lengths spread about their mean.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Distribution {
    /// All the same.
    Fixed,
    /// Evenly between half the mean and one and a half.
    #[default]
    Uniform,
    /// Many short ones, a few long ones (up to 7.6 times the mean).
    Exponential,
}

/// The length of a section.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Section {
    /// The mean length in nanoseconds.
    pub mean_ns: u32,
    /// How the lengths spread.
    pub distribution: Distribution,
}

impl Section {
    /// One whose lengths are all the same.
    #[must_use]
    pub const fn fixed(mean_ns: u32) -> Self {
        Self {
            mean_ns,
            distribution: Distribution::Fixed,
        }
    }

    /// One whose lengths are evenly between half the mean and one and a half.
    #[must_use]
    pub const fn uniform(mean_ns: u32) -> Self {
        Self {
            mean_ns,
            distribution: Distribution::Uniform,
        }
    }
}

const ENTRIES_BITS: u32 = 10;
const ENTRIES: usize = 1 << ENTRIES_BITS;

/// The quantiles of a section's length: every entry is equally likely.
#[derive(Clone, Debug)]
pub struct Lengths(Box<[u32; ENTRIES]>);

impl Lengths {
    /// How many random bits [`draw`](Self::draw) looks at.
    pub const BITS: u32 = ENTRIES_BITS;

    /// The lengths of a section.
    #[must_use]
    pub fn new(section: Section) -> Self {
        let mean = f64::from(section.mean_ns);
        let mut lengths = Box::new([section.mean_ns; ENTRIES]);
        let quantile = match section.distribution {
            Distribution::Fixed => return Self(lengths),
            Distribution::Uniform => |u: f64| 0.5 + u,
            Distribution::Exponential => |u: f64| minus_ln(1.0 - u),
        };
        let at = |entry: usize| quantile((entry as f64 + 0.5) / ENTRIES as f64);
        // The midpoints of a skewed distribution miss a little of its tail: scale the mean back.
        let scale = mean * ENTRIES as f64 / (0..ENTRIES).map(at).sum::<f64>();
        for (entry, length) in lengths.iter_mut().enumerate() {
            // `as` saturates at the ends of u32.
            *length = (at(entry) * scale + 0.5) as u32;
        }
        Self(lengths)
    }

    /// A length in nanoseconds, chosen by the lowest [`BITS`](Self::BITS) bits.
    #[must_use]
    #[inline]
    pub fn draw(&self, random: u32) -> u32 {
        self.0[random as usize & (ENTRIES - 1)]
    }
}

/// `-ln(x)` for `x` in (0, 1]. `core` has no logarithm.
///
/// `x = m * 2^-k` with `m` in (1/2, 1]; then `-ln(x) = k ln 2 + 2 artanh((1 - m) / (1 + m))`, whose
/// series converges fast: the argument is below 1/3, so 16 terms leave less than 1e-16.
fn minus_ln(x: f64) -> f64 {
    let mut mantissa = x;
    let mut halvings = 0.0;
    while mantissa <= 0.5 && mantissa > 0.0 {
        mantissa *= 2.0;
        halvings += 1.0;
    }
    let z = (1.0 - mantissa) / (1.0 + mantissa);
    let (mut power, mut sum) = (z, 0.0);
    for term in 0..16 {
        sum += power / f64::from(2 * term + 1);
        power *= z * z;
    }
    halvings * core::f64::consts::LN_2 + 2.0 * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(mean_ns: u32, distribution: Distribution) -> Lengths {
        Lengths::new(Section {
            mean_ns,
            distribution,
        })
    }

    fn mean(lengths: &Lengths) -> f64 {
        lengths.0.iter().map(|&ns| f64::from(ns)).sum::<f64>() / ENTRIES as f64
    }

    #[test]
    fn the_logarithm_is_one() {
        for (x, expected) in [
            (1.0, 0.0),
            (0.5, core::f64::consts::LN_2),
            (1.0 / core::f64::consts::E, 1.0),
            (0.1, core::f64::consts::LN_10),
            (1e-6, 6.0 * core::f64::consts::LN_10),
        ] {
            assert!((minus_ln(x) - expected).abs() < 1e-12, "{x}");
        }
    }

    #[test]
    fn every_distribution_keeps_its_mean() {
        for distribution in [
            Distribution::Fixed,
            Distribution::Uniform,
            Distribution::Exponential,
        ] {
            for mean_ns in [0, 200, 1_000, 100_000, 50_000_000] {
                let off = mean(&lengths(mean_ns, distribution)) - f64::from(mean_ns);
                assert!(off.abs() <= 0.5, "{distribution:?} {mean_ns} {off}");
            }
        }
    }

    #[test]
    fn the_spread_is_the_one_asked_for() {
        let spread = |distribution| {
            let table = lengths(1_000, distribution);
            (
                table.draw(0),
                table.draw(ENTRIES as u32 / 2),
                table.draw(u32::MAX),
            )
        };
        assert_eq!(spread(Distribution::Fixed), (1_000, 1_000, 1_000));
        let (low, middle, high) = spread(Distribution::Uniform);
        assert!(low >= 500 && high <= 1_500);
        assert!(low < 502 && middle.abs_diff(1_000) < 2 && high > 1_498);
        let (low, middle, high) = spread(Distribution::Exponential);
        assert!(low < 2 && middle.abs_diff(693) < 4 && (7_500..7_800).contains(&high));
    }

    #[test]
    fn no_mean_is_too_large() {
        let table = lengths(u32::MAX, Distribution::Exponential);
        assert_eq!(table.draw(u32::MAX), u32::MAX);
    }
}
