//! What a pair of lock and unlock takes, in ns.
//!
//! The contenders take turns in short rounds, in an order that rotates, so that whatever the
//! machine does meanwhile hits all alike; the figure of one is the median over its rounds, and its
//! ratio to another is the median of the ratios round by round.

use crate::uncontended::contenders::{Contender, Group, REFERENCE, contenders};
use crate::uncontended::env::OneCpu;

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds of each contender. An odd number has a median of its own.
    pub rounds: usize,
    /// Lock plus unlock pairs in a round.
    pub pairs: u32,
    /// Dependent multiplications between one pair and the next, about a ns each. With 0 the lock
    /// is taken again before the store that released it has left the store buffer, which punishes
    /// locks whose release is narrower than their acquisition.
    pub gap: u32,
}

impl Default for Plan {
    /// Some seconds in all.
    fn default() -> Self {
        Self {
            rounds: 101,
            pairs: 100_000,
            gap: 0,
        }
    }
}

/// What one contender costs.
#[derive(Clone, Debug)]
pub struct Cost {
    /// Its name, as the table has it.
    pub name: &'static str,
    /// Where it comes from.
    pub group: Group,
    /// ns for lock plus unlock: the median over the rounds.
    pub median_ns: f64,
    /// ns for lock plus unlock: the fastest round.
    pub min_ns: f64,
    /// The median of the ratios to [`REFERENCE`] in the same round.
    pub to_native: f64,
    /// The median of the differences to [`REFERENCE`] in the same round, in ns.
    pub over_native_ns: f64,
}

/// Measures everybody, in the order of [`contenders`].
#[must_use]
pub fn measure(plan: Plan) -> Vec<Cost> {
    OneCpu::start();
    let all = contenders();
    let rounds = plan.rounds.max(1);
    let pairs = plan.pairs.max(1);
    let mut samples = vec![Vec::with_capacity(rounds); all.len()];
    for contender in &all {
        (contender.round)(pairs / 10 + 1, plan.gap); // warm caches and branch predictors
    }
    for turn in 0..rounds {
        for place in 0..all.len() {
            let which = (place + turn) % all.len();
            samples[which].push((all[which].round)(pairs, plan.gap));
        }
    }
    let reference = all
        .iter()
        .position(|contender| contender.name == REFERENCE)
        .map_or_else(Vec::new, |at| samples[at].clone());
    all.iter()
        .zip(samples)
        .map(|(contender, rounds)| cost(contender, rounds, &reference))
        .collect()
}

fn cost(contender: &Contender, rounds: Vec<f64>, reference: &[f64]) -> Cost {
    let paired = || rounds.iter().zip(reference);
    Cost {
        name: contender.name,
        group: contender.group,
        to_native: median(paired().map(|(a, b)| a / b).collect()),
        over_native_ns: median(paired().map(|(a, b)| a - b).collect()),
        min_ns: rounds.iter().copied().fold(f64::INFINITY, f64::min),
        median_ns: median(rounds),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_is_measured_and_native_is_its_own_measure() {
        let costs = measure(Plan {
            rounds: 3,
            pairs: 1_000,
            gap: 0,
        });
        assert_eq!(costs.len(), contenders().len());
        assert!(costs.iter().all(|cost| cost.median_ns > 0.0));
        let native = costs
            .iter()
            .find(|cost| cost.name == REFERENCE)
            .expect("it takes part");
        assert_eq!(native.to_native, 1.0);
        assert_eq!(native.over_native_ns, 0.0);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
    }
}
