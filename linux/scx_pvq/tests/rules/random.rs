//! Random numbers of the tests, and what they begin with.

use rand_core::Rng as _;
use rand_pcg::Pcg64Mcg;

const ROUNDS: u64 = 300;
/// Of this run: of the clock, or the one that `RULES_SEED` names.
pub(crate) fn seeds() -> Vec<u64> {
    match std::env::var("RULES_SEED") {
        Ok(text) => vec![text.parse().expect("RULES_SEED is a number")],
        Err(_) => {
            let now = std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .map_or(1, |now| now.as_nanos() as u64);
            (0..ROUNDS).map(|round| now.wrapping_add(round)).collect()
        }
    }
}

pub(crate) struct Random(Pcg64Mcg);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Pcg64Mcg::new(u128::from(seed) << 1 | 1))
    }

    pub(crate) fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }

    /// Of every size, so that the limits are met.
    pub(crate) fn any(&mut self) -> u64 {
        let bits = self.below(64);
        self.0.next_u64() >> bits
    }
}
