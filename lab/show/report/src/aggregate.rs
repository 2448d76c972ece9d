//! Median and spread over the repeats of one lock at one point.
//!
//! A single run on a machine with other work says little, so every figure is the median of the
//! repeats, with the lowest and the highest beside it. The longest wait is the exception: a
//! promise about it is broken by one wait in one repeat, so it is the longest of all.

use crate::point::Point;
use crate::repeats::Repeat;
use crate::schema::Record;
use crate::spread::Spread;
use crate::waits::Waits;

/// One lock at one point, over all its repeats.
#[derive(Clone, Debug, PartialEq)]
pub struct Summary {
    /// The lock's name.
    pub lock: String,
    /// The policy, if it is one of ours.
    pub policy: Option<String>,
    /// The word format, if it is one of ours.
    pub word: Option<String>,
    /// Whether it promises an order.
    pub fair: bool,
    /// Where.
    pub point: Point,
    /// How many repeats.
    pub repeats: usize,
    /// What each of them gave, in the order in which they ran.
    pub each: Vec<Repeat>,
    /// What the workload is counted in, in the plural.
    pub unit: String,
    /// Units for each second.
    pub units_per_s: Spread,
    /// Critical sections for each second.
    pub throughput_per_s: Spread,
    /// Throughput over the most that any lock could do.
    pub over_bound: Spread,
    /// Jain's index.
    pub jain: Spread,
    /// Median of the wait, in ns.
    pub wait_p50_ns: Spread,
    /// 99th percentile of the wait, in ns.
    pub wait_p99_ns: Spread,
    /// 99.9th percentile of the wait, in ns.
    pub wait_p999_ns: Spread,
    /// 99.99th percentile of the wait, in ns.
    pub wait_p9999_ns: Spread,
    /// The longest wait of each repeat, in ns. Its `max` is the longest of all.
    pub wait_max_ns: Spread,
    /// All waits of all repeats; empty if they are not known.
    pub waits: Waits,
    /// Waits longer than the slice, of all repeats together.
    pub waits_over_slice: u64,
    /// How many repeats other work disturbed.
    pub disturbed: usize,
    /// Preemptions while holding, for each second.
    pub lhp_per_s: Spread,
    /// Hand-overs to a vCPU that was not running, for each second.
    pub lwp_per_s: Spread,
    /// Hypercalls for each acquisition.
    pub hypercalls_per_acquisition: Spread,
    /// The same by kind: halts, kicks, directed yields.
    pub calls: [Spread; 3],
    /// All hypercalls of all repeats.
    pub hypercalls: u64,
    /// Share of the pCPU time that was wasted.
    pub wasted_share: Spread,
    /// The neighbour's share of what it was due, if there was one.
    pub neighbour: Option<Spread>,
    /// Acquisitions of each vCPU over the mean of its repeat's, of all repeats; empty if they are
    /// not known.
    pub vcpu_shares: Vec<f64>,
    /// Mean time inside as measured, in ns.
    pub inside_measured_ns: Spread,
    /// Mean time outside as measured, in ns.
    pub outside_measured_ns: Spread,
    /// Violations of mutual exclusion in all repeats: a bug.
    pub exclusion_violations: u64,
    /// Halts that only a timeout ended, in the repeats that may be judged: a bug.
    pub halt_timeouts: u64,
    /// The same in the repeats that other work disturbed: the kick may have been on its way.
    pub doubtful_timeouts: u64,
}

impl Summary {
    fn of(records: &[&Record]) -> Self {
        let first = records[0];
        let spread =
            |figure: fn(&Record) -> f64| Spread::of(records.iter().map(|record| figure(record)));
        // A file may say anything, even more than fits.
        let total = |figure: fn(&Record) -> u64| {
            let figures = records.iter().map(|record| figure(record));
            figures.fold(0, u64::saturating_add)
        };
        let neighbours: Vec<f64> = records
            .iter()
            .filter_map(|record| record.neighbour)
            .collect();
        Self {
            lock: first.lock.clone(),
            policy: first.policy.clone(),
            word: first.word.clone(),
            fair: first.fair,
            point: first.point(),
            repeats: records.len(),
            each: records.iter().map(|record| Repeat::of(record)).collect(),
            unit: first.unit.clone(),
            units_per_s: spread(|r| r.units_per_s),
            throughput_per_s: spread(|r| r.throughput_per_s),
            over_bound: spread(|r| r.throughput_over_bound),
            jain: spread(|r| r.jain),
            wait_p50_ns: spread(|r| r.wait_ns.p50 as f64),
            wait_p99_ns: spread(|r| r.wait_ns.p99 as f64),
            wait_p999_ns: spread(|r| r.wait_ns.p999 as f64),
            wait_p9999_ns: spread(|r| r.wait_ns.p9999 as f64),
            wait_max_ns: spread(|r| r.wait_ns.max as f64),
            waits: Waits::sum(records.iter().map(|r| &r.wait_histogram)),
            waits_over_slice: total(|r| r.waits_over_slice),
            disturbed: records.iter().filter(|r| r.is_disturbed()).count(),
            lhp_per_s: spread(|r| per_second(r.lhp, r)),
            lwp_per_s: spread(|r| per_second(r.lwp, r)),
            hypercalls_per_acquisition: spread(|r| r.hypercalls_per_acquisition),
            calls: [
                spread(|r| per_acquisition(r.hypercalls.halt, r)),
                spread(|r| per_acquisition(r.hypercalls.kick, r)),
                spread(|r| per_acquisition(r.hypercalls.yield_to, r)),
            ],
            hypercalls: total(|r| r.hypercalls.total()),
            wasted_share: spread(|r| r.wasted_share),
            neighbour: (!neighbours.is_empty()).then(|| Spread::of(neighbours)),
            vcpu_shares: records.iter().flat_map(|r| vcpu_shares(r)).collect(),
            inside_measured_ns: spread(|r| r.inside_measured_ns),
            outside_measured_ns: spread(|r| r.outside_measured_ns),
            exclusion_violations: total(|r| r.exclusion_violations),
            halt_timeouts: total(Record::lost_wakeups),
            doubtful_timeouts: total(|r| r.halt_timeouts - r.lost_wakeups()),
        }
    }

    /// Whether it is one of our policies, not a rival.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.policy.is_some()
    }
}

fn per_second(count: u64, record: &Record) -> f64 {
    match record.duration_ns {
        0 => 0.0,
        ns => count as f64 * 1e9 / ns as f64,
    }
}

fn per_acquisition(calls: u64, record: &Record) -> f64 {
    calls as f64 / record.acquisitions.max(1) as f64
}

fn vcpu_shares(record: &Record) -> Vec<f64> {
    let each = &record.per_vcpu;
    let mean = each.iter().map(|got| *got as f64).sum::<f64>() / each.len().max(1) as f64;
    if mean <= 0.0 {
        return Vec::new();
    }
    each.iter().map(|got| *got as f64 / mean).collect()
}

/// All that was measured at one point.
#[derive(Clone, Debug, PartialEq)]
pub struct AtPoint {
    /// The point.
    pub point: Point,
    /// Its locks, the highest throughput over bound first.
    pub locks: Vec<Summary>,
}

impl AtPoint {
    /// The lock of this name, if it was measured here.
    #[must_use]
    pub fn lock(&self, name: &str) -> Option<&Summary> {
        self.locks.iter().find(|summary| summary.lock == name)
    }

    /// The lock with the highest throughput among those that pass.
    #[must_use]
    pub fn fastest(&self, which: impl Fn(&Summary) -> bool) -> Option<&Summary> {
        self.locks.iter().filter(|lock| which(lock)).max_by(|a, b| {
            let (a, b) = (a.throughput_per_s.median, b.throughput_per_s.median);
            a.total_cmp(&b)
        })
    }

    /// Whether the lock, not the number of CPUs, limits how fast this point can go.
    #[must_use]
    pub fn is_lock_bound(&self) -> bool {
        let (inside, outside) = (self.point.inside_ns as f64, self.point.outside_ns as f64);
        inside * self.point.pcpus.min(self.point.vcpus) as f64 >= inside + outside
    }
}

/// Groups records into points, in the order in which the points first ran within each section
/// length, overcommit ascending; and the repeats of each lock into one summary.
#[must_use]
pub fn summarise(records: &[Record]) -> Vec<AtPoint> {
    let mut points: Vec<Point> = Vec::new();
    for record in records {
        let key = record.point();
        if !points.contains(&key) {
            points.push(key);
        }
    }
    let mut settings: Vec<Point> = Vec::new();
    for point in &points {
        if !settings
            .iter()
            .any(|known| known.same_but_overcommit(point))
        {
            settings.push(point.clone());
        }
    }
    points.sort_by_key(|point| {
        let setting = settings
            .iter()
            .position(|known| known.same_but_overcommit(point));
        (setting, point.vcpus)
    });
    points
        .into_iter()
        .map(|point| at_point(point, records))
        .collect()
}

fn at_point(point: Point, records: &[Record]) -> AtPoint {
    let here: Vec<&Record> = records
        .iter()
        .filter(|record| record.point() == point)
        .collect();
    let mut names: Vec<&str> = Vec::new();
    for record in &here {
        if !names.contains(&record.lock.as_str()) {
            names.push(&record.lock);
        }
    }
    let mut locks: Vec<Summary> = names
        .into_iter()
        .map(|name| {
            let repeats: Vec<&Record> = here.iter().copied().filter(|r| r.lock == name).collect();
            Summary::of(&repeats)
        })
        .collect();
    locks.sort_by(|a, b| b.over_bound.median.total_cmp(&a.over_bound.median));
    AtPoint { point, locks }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::schema::Hypercalls;

    #[test]
    fn repeats_are_put_together_and_points_kept_apart() {
        let mut records = Vec::new();
        for (repeat, throughput) in [(0, 100.0), (1, 300.0), (2, 200.0)] {
            for vcpus in [8, 2] {
                let mut record = samples::record("fifo", vcpus, throughput * vcpus as f64);
                record.repeat = repeat;
                record.wait_ns.max = 1_000 * u64::from(repeat + 1);
                record.waits_over_slice = 1;
                records.push(record);
            }
        }
        let points = summarise(&records);
        let overcommits: Vec<f64> = points.iter().map(|at| at.point.overcommit()).collect();
        assert_eq!(overcommits, [1.0, 4.0], "overcommit ascends");

        let fifo = points[1].lock("fifo").expect("it was measured");
        assert_eq!(fifo.repeats, 3);
        assert_eq!(fifo.throughput_per_s.median, 1_600.0);
        assert_eq!(fifo.wait_max_ns.max, 3_000.0, "the longest of all repeats");
        assert_eq!(fifo.waits_over_slice, 3, "added up");
    }

    #[test]
    fn counts_and_figures_that_no_sum_can_hold_are_held() {
        let mut record = samples::record("fifo", 4, 100.0);
        record.throughput_per_s = 1e308;
        record.hypercalls = Hypercalls {
            halt: u64::MAX,
            kick: 1,
            yield_to: 1,
        };
        record.waits_over_slice = u64::MAX;
        let mut other = record.clone();
        other.repeat = 1;
        let points = summarise(&[record, other]);
        let fifo = points[0].lock("fifo").expect("it was measured");
        assert_eq!(fifo.hypercalls, u64::MAX);
        assert_eq!(fifo.waits_over_slice, u64::MAX);
        assert_eq!(fifo.throughput_per_s.median, 1e308);
    }

    #[test]
    fn section_lengths_are_not_mixed() {
        let short = samples::record("fifo", 4, 100.0);
        let mut long = short.clone();
        long.inside_ns = 20_000;
        let mut short_again = samples::record("fifo", 8, 90.0);
        short_again.repeat = 1;
        let points = summarise(&[short, long, short_again]);
        let order: Vec<(u64, usize)> = points
            .iter()
            .map(|at| (at.point.inside_ns, at.point.vcpus))
            .collect();
        assert_eq!(order, [(1_000, 4), (1_000, 8), (20_000, 4)]);
    }

    #[test]
    fn the_best_over_bound_comes_first() {
        let mut slow = samples::record("slow", 4, 1.0);
        slow.throughput_over_bound = 0.2;
        let mut fast = samples::record("fast", 4, 9.0);
        fast.throughput_over_bound = 0.9;
        let points = summarise(&[slow, fast]);
        assert_eq!(points[0].locks[0].lock, "fast");
        assert_eq!(
            points[0]
                .fastest(|lock| lock.lock != "fast")
                .map(|l| l.lock.as_str()),
            Some("slow")
        );
    }

    #[test]
    fn lock_bound_follows_the_physics() {
        let mut record = samples::record("fifo", 4, 1.0);
        (record.inside_ns, record.outside_ns) = (20_000, 20_000);
        assert!(summarise(std::slice::from_ref(&record))[0].is_lock_bound());
        (record.inside_ns, record.outside_ns) = (1_000, 2_000);
        assert!(!summarise(&[record])[0].is_lock_bound());
    }
}
