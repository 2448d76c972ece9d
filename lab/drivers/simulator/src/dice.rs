//! Random choices that a seed repeats.

use rand_core::Rng;
use rand_pcg::Pcg32;

/// Numbers from a seed.
#[derive(Debug)]
pub struct Dice(Pcg32);

impl Dice {
    /// Different streams of one seed have nothing to do with each other.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(Pcg32::new(seed, stream))
    }

    /// 32 random bits.
    pub fn bits(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.bits() % (high - low + 1)
    }

    /// True once in so many times.
    pub fn one_in(&mut self, many: u32) -> bool {
        self.bits().is_multiple_of(many)
    }

    /// One of these.
    ///
    /// # Panics
    ///
    /// If there are none.
    pub fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = self.bits() as usize % choices.len();
        &choices[at]
    }
}
