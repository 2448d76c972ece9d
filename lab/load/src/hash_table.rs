//! The hash table: a lock for each bucket, a few keys that are wanted most, and not for long.
//!
//! Definition: 100 buckets with a lock each, 100,000 keys, chosen by Zipf's law with alpha 10; the
//! keys that are wanted most change 40 times in 10 s; half puts, half gets, nothing outside (the
//! `buckets` benchmark of FlexGuard, Laforet and others, SOSP 2025). With alpha 10 one key gets 99.9 % of
//! all operations: one hot lock that becomes another one every 250 ms, with a queue that has to
//! drain and one that has to form.
//!
//! How long the walk through a bucket lasts is up to `--inside`. The bound is that of the hot
//! bucket at any instant, not of the mean over all.

use alloc::vec::Vec;

use crate::control::Control;
use crate::guest::Guest;
use crate::line::Line;
use crate::record::Record;
use crate::section::Lengths;
use crate::setup::{AnyLock, Setup};
use crate::worker::Worker;
use crate::workload::{Account, Workload, WorkloadId};
use crate::zipf::Zipf;

/// Locks.
pub const BUCKETS: usize = 100;
/// Keys.
pub const KEYS: u64 = 100_000;
/// The exponent of Zipf's law.
pub const ALPHA: u32 = 10;
/// How long the same keys are wanted: 40 changes in 10 s.
pub const SHIFT_EVERY_NS: u64 = 250_000_000;

/// Ranks that have a class of locks of their own: at any instant each of them is one bucket.
const HOT_RANKS: usize = 3;

/// A hash table with a lock for each bucket.
#[derive(Debug)]
pub struct HashTable<E> {
    buckets: Vec<(AnyLock<E>, Line)>,
    ranks: Zipf,
    inside: Lengths,
    outside: Lengths,
    seed: u64,
}

impl<E: Guest> HashTable<E> {
    pub(crate) fn new(setup: &Setup<'_, E>) -> Self {
        Self {
            buckets: (0..BUCKETS).map(|_| (setup.lock(), Line::new(0))).collect(),
            ranks: Zipf::new(ALPHA),
            inside: Lengths::new(setup.config.inside),
            outside: Lengths::new(setup.config.outside),
            seed: setup.config.seed,
        }
    }
}

/// The key of a rank at some instant: the ranks begin somewhere else in each period.
#[must_use]
pub fn key(seed: u64, rank: usize, now_ns: u64) -> u64 {
    // Multiplying by an odd number with well mixed bits (the golden ratio, after Knuth) and taking
    // the high half spreads neighbouring periods over all keys.
    let period = (now_ns / SHIFT_EVERY_NS).wrapping_add(seed);
    let first = period.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    (first + rank as u64) % KEYS
}

impl<E: Guest> Workload for HashTable<E> {
    fn run_vcpu(&self, control: &Control, record: &Record) {
        Worker::<E>::measuring_all(self.seed, control, record).work(|worker| {
            let random = worker.random();
            worker.outside(self.outside.draw(random >> Lengths::BITS));
            let rank = self.ranks.rank(worker.random());
            let key = key(self.seed, rank, E::now_ns());
            let (lock, line) = &self.buckets[key as usize % BUCKETS];
            let class = rank.min(HOT_RANKS);
            // The highest bit is in neither of the two lengths.
            let puts = random >> 31 == 1;
            worker.section(lock, class, self.inside.draw(random), |worker| {
                if puts {
                    line.change::<E>(worker.cpu(), |_| key);
                } else {
                    line.read::<E>(worker.cpu());
                }
            });
            worker.unit_done();
        });
    }

    fn account(&self) -> Account {
        // The rarer keys are taken to be spread over all buckets.
        let locks = self.buckets.iter().map(|(lock, _)| lock);
        Account::new(WorkloadId::HashTable, locks, [1, 1, 1, BUCKETS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::{Alone, make, run};

    #[test]
    fn the_hot_bucket_changes_with_each_period_and_not_before() {
        let bucket = |period: u64, into: u64| key(7, 0, period * SHIFT_EVERY_NS + into) % 100;
        let hot: Vec<u64> = (0..40).map(|period| bucket(period, 0)).collect();
        for (period, &hot) in hot.iter().enumerate() {
            assert_eq!(bucket(period as u64, SHIFT_EVERY_NS - 1), hot);
        }
        let changes = hot.windows(2).filter(|pair| pair[0] != pair[1]).count();
        // Two periods share a bucket once in a hundred times.
        assert!(changes >= 37, "{hot:?}");
    }

    #[test]
    fn nearly_all_operations_go_to_one_bucket_and_to_another_in_the_next_period() {
        let entered = |table: &HashTable<Alone>| -> Vec<u64> {
            let buckets = table.buckets.iter();
            buckets.map(|(lock, _)| lock.entered()).collect()
        };
        let hottest = |period: u64| {
            let table = make(WorkloadId::HashTable, (100, 0), HashTable::new);
            let from = period * SHIFT_EVERY_NS;
            let record = run(&table, from, from + 1_000_000);
            let entered = entered(&table);
            let most = entered.iter().copied().max().expect("a hundred");
            assert!(most as f64 > 0.99 * record.acquisitions() as f64);
            assert_eq!(entered.iter().sum::<u64>(), record.all_acquisitions());
            entered.iter().position(|&count| count == most)
        };
        assert_ne!(hottest(1), hottest(2));
        // Over the end of a period it is half and half.
        let table = make(WorkloadId::HashTable, (100, 0), HashTable::new);
        let record = run(
            &table,
            2 * SHIFT_EVERY_NS - 500_000,
            2 * SHIFT_EVERY_NS + 500_000,
        );
        let most = entered(&table).into_iter().max().expect("a hundred") as f64;
        assert!((most / record.acquisitions() as f64 - 0.5).abs() < 0.02);
    }

    #[test]
    fn neighbours_in_rank_are_neighbours_in_the_table() {
        let first = key(1, 0, 0);
        assert_eq!(key(1, 1, 0), (first + 1) % KEYS);
    }
}
