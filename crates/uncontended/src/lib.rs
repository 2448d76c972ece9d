//! What an uncontended lock plus unlock costs, beside the locks of other crates.
//!
//! One thread, one lock, nobody else. The locks take turns in short rounds, in an order that
//! rotates, so that whatever the machine does meanwhile hits all alike; the figure of a lock is
//! the median over its rounds, and its ratio to another is the median of the ratios round by round.

mod env;

use std::hint::black_box;
use std::time::Instant;

use env::OneCpu;
use pvqspin::{Fifo, Idx3, Native, QSpinLock, SpareBit};

/// How long and how often to measure.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Rounds of each lock. An odd number has a median of its own.
    pub rounds: usize,
    /// Lock plus unlock pairs in a round.
    pub pairs: u32,
    /// Dependent multiplications between one pair and the next, about a ns each. With 0 the lock
    /// is taken again before the store that released it has left the store buffer, which punishes
    /// locks whose release is narrower than their acquisition.
    pub gap: u32,
}

impl Default for Plan {
    /// About a second in all.
    fn default() -> Self {
        Self {
            rounds: 101,
            pairs: 100_000,
            gap: 0,
        }
    }
}

/// What one lock costs.
#[derive(Clone, Debug)]
pub struct Cost {
    /// The lock, as the table names it.
    pub name: &'static str,
    /// ns for lock plus unlock: the median over the rounds.
    pub median_ns: f64,
    /// ns for lock plus unlock: the fastest round.
    pub min_ns: f64,
    /// The median of the ratios to the native lock of the same round.
    pub to_native: f64,
    /// The median of the differences to the native lock of the same round, in ns.
    pub over_native_ns: f64,
}

type Round = fn(u32, u32) -> f64;

/// The locks, the native one first: the others are compared with it.
const LOCKS: [(&str, Round); 7] = [
    ("pvqspin native", round_pvqspin_native),
    ("pvqspin fifo", round_pvqspin_fifo),
    ("pvqspin fifo, spare bit", round_pvqspin_fifo_bit),
    ("spin::mutex::SpinMutex", round_spin),
    ("spin::mutex::TicketMutex", round_ticket),
    ("parking_lot::Mutex", round_parking_lot),
    ("std::sync::Mutex", round_std),
];

/// Measures every lock.
#[must_use]
pub fn measure(plan: Plan) -> Vec<Cost> {
    OneCpu::start();
    let rounds = plan.rounds.max(1);
    let pairs = plan.pairs.max(1);
    let mut samples = vec![Vec::with_capacity(rounds); LOCKS.len()];
    for (_, round) in LOCKS {
        round(pairs / 10 + 1, plan.gap); // warm caches and branch predictors
    }
    for turn in 0..rounds {
        for place in 0..LOCKS.len() {
            let which = (place + turn) % LOCKS.len();
            samples[which].push(LOCKS[which].1(pairs, plan.gap));
        }
    }
    let native = samples[0].clone();
    LOCKS
        .iter()
        .zip(&samples)
        .map(|(&(name, _), rounds)| Cost {
            name,
            median_ns: median(rounds.clone()),
            min_ns: rounds.iter().copied().fold(f64::INFINITY, f64::min),
            to_native: median(rounds.iter().zip(&native).map(|(a, b)| a / b).collect()),
            over_native_ns: median(rounds.iter().zip(&native).map(|(a, b)| a - b).collect()),
        })
        .collect()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Times `pairs` of `lock_and_unlock` with a gap after each, in ns a turn.
#[inline(always)]
fn time(pairs: u32, gap: u32, mut lock_and_unlock: impl FnMut()) -> f64 {
    let mut chain = black_box(1_u64);
    let start = Instant::now();
    for _ in 0..pairs {
        lock_and_unlock();
        for _ in 0..gap {
            chain = black_box(chain.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        }
    }
    black_box(chain);
    start.elapsed().as_nanos() as f64 / f64::from(pairs)
}

/// A round over a mutex whose `lock` returns a guard, or a `Result` of one: all are used in the
/// same way, through a reference that the compiler cannot see through.
macro_rules! round {
    ($name:ident, $mutex:expr, |$lock:ident| $guard:expr) => {
        #[inline(never)]
        fn $name(pairs: u32, gap: u32) -> f64 {
            let mutex = $mutex;
            let $lock = black_box(&mutex);
            time(pairs, gap, || {
                let mut guard = $guard;
                *guard = guard.wrapping_add(1);
            })
        }
    };
}

round!(
    round_pvqspin_native,
    pvqspin::Mutex::<u64, OneCpu, Native, Idx3>::new(0),
    |mutex| mutex.lock()
);
round!(
    round_pvqspin_fifo,
    pvqspin::Mutex::<u64, OneCpu, Fifo, Idx3>::new(0),
    |mutex| mutex.lock()
);
round!(
    round_pvqspin_fifo_bit,
    pvqspin::Mutex::<u64, OneCpu, Fifo, SpareBit>::new(0),
    |mutex| mutex.lock()
);
round!(round_spin, spin::mutex::SpinMutex::<u64>::new(0), |mutex| {
    mutex.lock()
});
round!(
    round_ticket,
    spin::mutex::TicketMutex::<u64>::new(0),
    |mutex| mutex.lock()
);
round!(round_parking_lot, parking_lot::Mutex::new(0_u64), |mutex| {
    mutex.lock()
});
round!(
    round_std,
    std::sync::Mutex::new(0_u64),
    |mutex| match mutex.lock() {
        Ok(guard) => guard,
        Err(poisoned) => poisoned.into_inner(),
    }
);

const _: () = assert!(size_of::<QSpinLock<OneCpu>>() == 4);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_lock_is_measured_and_native_is_its_own_measure() {
        let costs = measure(Plan {
            rounds: 3,
            pairs: 1_000,
            gap: 0,
        });
        assert_eq!(costs.len(), LOCKS.len());
        assert!(costs.iter().all(|cost| cost.median_ns > 0.0));
        assert_eq!(costs[0].to_native, 1.0);
        assert_eq!(costs[0].over_native_ns, 0.0);
    }

    #[test]
    fn the_median_is_the_middle_one() {
        assert_eq!(median(vec![9.0, 1.0, 5.0]), 5.0);
    }
}
