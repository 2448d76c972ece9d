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

/// Measures every contender, in the order of [`contenders`]. Before each round `goes_on` is asked, and
/// told how many rounds are finished: if it says no, the rest is left out.
///
/// Returns what came out, and of how many rounds; no costs if there was none.
#[must_use]
pub fn measure(plan: Plan, mut goes_on: impl FnMut(usize) -> bool) -> (Vec<Cost>, usize) {
    OneCpu::start();
    let all = contenders();
    let rounds = plan.rounds.max(1);
    let pairs = plan.pairs.max(1);
    let mut samples = vec![Vec::with_capacity(rounds); all.len()];
    for contender in &all {
        (contender.round)(pairs / 10 + 1, plan.gap); // warm caches and branch predictors
    }
    let mut done = 0;
    while done < rounds && goes_on(done) {
        for place in 0..all.len() {
            let which = (place + done) % all.len();
            samples[which].push((all[which].round)(pairs, plan.gap));
        }
        done += 1;
    }
    if done == 0 {
        return (Vec::new(), 0);
    }
    let reference = all
        .iter()
        .position(|contender| contender.name == REFERENCE)
        .map_or_else(Vec::new, |at| samples[at].clone());
    let costs = (all.iter().zip(samples))
        .map(|(contender, rounds)| cost(contender, rounds, &reference))
        .collect();
    (costs, done)
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
    fn every_lock_is_measured_and_native_is_its_own_measure() {
        let plan = Plan {
            rounds: 3,
            pairs: 1_000,
            gap: 0,
        };
        let (costs, rounds) = measure(plan, |_| true);
        assert_eq!(rounds, 3);
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
    fn it_stops_when_it_is_told_to_and_keeps_the_rounds_before() {
        let plan = Plan {
            rounds: 1_000_000,
            pairs: 10,
            gap: 0,
        };
        let (costs, rounds) = measure(plan, |done| done < 2);
        assert_eq!((costs.len(), rounds), (contenders().len(), 2));
        let (costs, rounds) = measure(plan, |_| false);
        assert_eq!((costs.len(), rounds), (0, 0));
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
    }
}
