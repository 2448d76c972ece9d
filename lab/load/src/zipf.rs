//! Zipf's distribution: the rank r comes up in proportion to r to the power of minus alpha.
//!
//! A table of thresholds, computed once: a guest compares integers, and has no need of floating
//! point.

/// The ranks that are told apart; all rarer ones are drawn as the last.
pub const RANKS: usize = 16;

/// Draws ranks.
#[derive(Clone, Debug)]
pub struct Zipf {
    /// A random number below the first is rank 0, below the second rank 1, and so on.
    below: [u32; RANKS],
}

impl Zipf {
    /// The distribution with this exponent.
    #[must_use]
    pub fn new(alpha: u32) -> Self {
        let weight = |rank: usize| {
            let base = 1.0 / (rank + 1) as f64;
            (0..alpha).fold(1.0, |power, _| power * base)
        };
        let total: f64 = (0..RANKS).map(weight).sum();
        let mut sum = 0.0;
        let below = core::array::from_fn(|rank| {
            sum += weight(rank);
            // `as` saturates.
            (sum / total * f64::from(u32::MAX)) as u32
        });
        Self { below }
    }

    /// The rank that a random number stands for.
    #[must_use]
    #[inline]
    pub fn rank(&self, random: u32) -> usize {
        let found = self.below.iter().position(|&below| random < below);
        found.unwrap_or(RANKS - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much of all numbers falls on a rank.
    fn share(zipf: &Zipf, rank: usize) -> f64 {
        let lower = rank.checked_sub(1).map_or(0, |before| zipf.below[before]);
        f64::from(zipf.below[rank] - lower) / f64::from(u32::MAX)
    }

    #[test]
    fn ranks_come_in_their_proportion() {
        // zeta(10) = 1.000994575: nearly everything is rank 0, one in 1,025 is rank 1.
        let steep = Zipf::new(10);
        assert!((share(&steep, 0) - 1.0 / 1.000_994_575).abs() < 1e-6);
        assert!((share(&steep, 0) / share(&steep, 1) - 1_024.0).abs() < 0.1);
        let flat = Zipf::new(0);
        for rank in 0..RANKS {
            assert!((share(&flat, rank) - 1.0 / RANKS as f64).abs() < 1e-6);
        }
    }

    #[test]
    fn every_number_has_a_rank() {
        let zipf = Zipf::new(1);
        assert_eq!((zipf.rank(0), zipf.rank(u32::MAX)), (0, RANKS - 1));
    }
}
