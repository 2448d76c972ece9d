//! Median and spread over the repeats of one lock at one point.
//!
//! A single run on a machine with other work says little, so every figure is the median of the
//! repeats, with the lowest and the highest beside it. The longest wait is the exception: a
//! promise about it is broken by one wait in one repeat, so it is the longest of all.

use pvqspin_workload::{LockLoad, bound_per_s, catalog};

use crate::schema::Record;

/// The middle and both ends of a figure over the repeats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Spread {
    /// The middle one; between the two middle ones if their number is even.
    pub median: f64,
    /// The lowest.
    pub min: f64,
    /// The highest.
    pub max: f64,
}

impl Spread {
    /// The spread of some values; all zero if there are none.
    #[must_use]
    pub fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else {
            return Self::default();
        };
        let upper = values[values.len() / 2];
        let lower = values[(values.len() - 1) / 2];
        Self {
            median: (lower + upper) / 2.0,
            min,
            max,
        }
    }
}

/// What makes two records repeats of the same thing, apart from the lock.
#[derive(Clone, Debug, PartialEq)]
pub struct PointKey {
    /// The workload.
    pub workload: String,
    /// The host's scheduling policy.
    pub host_policy: String,
    /// `contract` or `hint`.
    pub yield_mode: String,
    /// Physical CPUs.
    pub pcpus: usize,
    /// Virtual CPUs.
    pub vcpus: usize,
    /// Mean time inside as asked, in ns.
    pub inside_ns: u64,
    /// Mean time outside as asked, in ns.
    pub outside_ns: u64,
    /// The distribution of both.
    pub distribution: String,
    /// The slice, in ns.
    pub slice_ns: u64,
}

impl PointKey {
    fn of(record: &Record) -> Self {
        Self {
            workload: record.workload.clone(),
            host_policy: record.host_policy.clone(),
            yield_mode: record.yield_mode.clone(),
            pcpus: record.pcpus,
            vcpus: record.vcpus,
            inside_ns: record.inside_ns,
            outside_ns: record.outside_ns,
            distribution: record.distribution.clone(),
            slice_ns: record.slice_ns,
        }
    }

    /// Virtual CPUs for each physical one.
    #[must_use]
    pub fn overcommit(&self) -> f64 {
        self.vcpus as f64 / self.pcpus.max(1) as f64
    }

    /// Whether the two differ in the number of virtual CPUs at most.
    #[must_use]
    pub fn same_but_overcommit(&self, other: &Self) -> bool {
        let mut other = other.clone();
        other.vcpus = self.vcpus;
        *self == other
    }
}

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
    pub point: PointKey,
    /// How many repeats.
    pub repeats: usize,
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
    /// 99th percentile of the wait, in ns.
    pub wait_p99_ns: Spread,
    /// 99.99th percentile of the wait, in ns.
    pub wait_p9999_ns: Spread,
    /// The longest wait of each repeat, in ns. Its `max` is the longest of all.
    pub wait_max_ns: Spread,
    /// Waits longer than the slice, of all repeats together.
    pub waits_over_slice: u64,
    /// The same, without the repeats that other work disturbed.
    pub undisturbed_waits_over_slice: u64,
    /// How many repeats other work disturbed.
    pub disturbed: usize,
    /// Preemptions while holding, for each second.
    pub lhp_per_s: Spread,
    /// Hand-overs to a vCPU that was not running, for each second.
    pub lwp_per_s: Spread,
    /// Hypercalls for each acquisition.
    pub hypercalls_per_acquisition: Spread,
    /// All hypercalls of all repeats.
    pub hypercalls: u64,
    /// Share of the pCPU time that was wasted.
    pub wasted_share: Spread,
    /// The neighbour's share of what it was due, if there was one.
    pub neighbour: Option<Spread>,
    /// Mean time inside as measured, in ns.
    pub inside_measured_ns: Spread,
    /// Mean time outside as measured, in ns.
    pub outside_measured_ns: Spread,
    /// Violations of mutual exclusion in all repeats: a bug.
    pub exclusion_violations: u64,
    /// Halts that only a timeout ended, in all repeats: a bug.
    pub halt_timeouts: u64,
}

impl Summary {
    fn of(records: &[&Record]) -> Self {
        let first = records[0];
        let spread =
            |figure: fn(&Record) -> f64| Spread::of(records.iter().map(|record| figure(record)));
        let total = |figure: fn(&Record) -> u64| records.iter().map(|record| figure(record)).sum();
        let neighbours: Vec<f64> = records
            .iter()
            .filter_map(|record| record.neighbour)
            .collect();
        Self {
            lock: first.lock.clone(),
            policy: first.policy.clone(),
            word: first.word.clone(),
            fair: first.fair,
            point: PointKey::of(first),
            repeats: records.len(),
            unit: first.unit.clone(),
            units_per_s: spread(|r| r.units_per_s),
            throughput_per_s: spread(|r| r.throughput_per_s),
            over_bound: spread(|r| r.throughput_over_bound),
            jain: spread(|r| r.jain),
            wait_p99_ns: spread(|r| r.wait_ns.p99 as f64),
            wait_p9999_ns: spread(|r| r.wait_ns.p9999 as f64),
            wait_max_ns: spread(|r| r.wait_ns.max as f64),
            waits_over_slice: total(|r| r.waits_over_slice),
            undisturbed_waits_over_slice: total(|r| {
                if r.is_disturbed() {
                    0
                } else {
                    r.waits_over_slice
                }
            }),
            disturbed: records.iter().filter(|r| r.is_disturbed()).count(),
            lhp_per_s: spread(|r| per_second(r.lhp, r)),
            lwp_per_s: spread(|r| per_second(r.lwp, r)),
            hypercalls_per_acquisition: spread(|r| r.hypercalls_per_acquisition),
            hypercalls: total(|r| r.hypercalls.halt + r.hypercalls.kick + r.hypercalls.yield_to),
            wasted_share: spread(|r| r.wasted_share),
            neighbour: (!neighbours.is_empty()).then(|| Spread::of(neighbours)),
            inside_measured_ns: spread(|r| r.inside_measured_ns),
            outside_measured_ns: spread(|r| r.outside_measured_ns),
            exclusion_violations: total(|r| r.exclusion_violations),
            halt_timeouts: total(|r| r.halt_timeouts),
        }
    }

    /// Whether it is one of our policies, not a peer.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.policy.is_some()
    }
}

/// Puts every throughput over one bound for each point, from the median C and N of all its runs.
///
/// A record's own C and N are means, and a mean is ruined by one section in which the machine's
/// own scheduler took the CPU away: one such run in a hundred stood at 2.4 times its bound. A lock
/// that was handed over once for each slice may have no section outside that was not preempted,
/// and so no N. The median over all locks and repeats at a point suffers from neither, and a lock
/// that makes critical sections slower (by hammering their cache lines) is charged for it.
///
/// In workloads whose sections move cache lines, the shortest C of all locks takes the median's place:
/// a lock that is not handed over keeps its data, and no bound may lie below what that one does.
pub fn normalise(records: &mut [Record]) {
    let mut bounds: Vec<(PointKey, f64)> = Vec::new();
    for record in records.iter() {
        let point = PointKey::of(record);
        if !bounds.iter().any(|(known, _)| *known == point) {
            let bound = common_bound(&point, records);
            bounds.push((point, bound));
        }
    }
    for record in records {
        let point = PointKey::of(record);
        let bound = bounds.iter().find(|(known, _)| *known == point);
        if let Some((_, bound)) = bound.filter(|(_, bound)| bound.is_finite() && *bound > 0.0) {
            record.throughput_over_bound = record.throughput_per_s / bound;
        }
    }
}

fn common_bound(point: &PointKey, records: &[Record]) -> f64 {
    let workload = catalog::find(&point.workload);
    // A lock that stays where it is keeps its data there: no other has sections as short.
    let shortest = workload.is_some_and(|entry| entry.moves_lines);
    let common = |measured: fn(&Record) -> f64, asked: f64| {
        let values = records
            .iter()
            .filter(|record| PointKey::of(record) == *point)
            .map(measured)
            .filter(|value| *value > 0.0);
        let spread = Spread::of(values);
        match if shortest { spread.min } else { spread.median } {
            0.0 => asked,
            common => common,
        }
    };
    let inside = common(|record| record.inside_measured_ns, point.inside_ns as f64);
    let outside = common(|record| record.outside_measured_ns, point.outside_ns as f64);
    let load = LockLoad {
        busiest_ns: common(|record| record.busiest_lock_ns, f64::NAN),
        per_round: common(|record| record.acquisitions_per_round, 1.0),
    };
    bound_per_s(load, inside, outside, point.pcpus, point.vcpus)
}

fn per_second(count: u64, record: &Record) -> f64 {
    match record.duration_ns {
        0 => 0.0,
        ns => count as f64 * 1e9 / ns as f64,
    }
}

/// All that was measured at one point.
#[derive(Clone, Debug, PartialEq)]
pub struct AtPoint {
    /// The point.
    pub point: PointKey,
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
    let mut points: Vec<PointKey> = Vec::new();
    for record in records {
        let key = PointKey::of(record);
        if !points.contains(&key) {
            points.push(key);
        }
    }
    let mut settings: Vec<PointKey> = Vec::new();
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

fn at_point(point: PointKey, records: &[Record]) -> AtPoint {
    let here: Vec<&Record> = records
        .iter()
        .filter(|record| PointKey::of(record) == point)
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

    #[test]
    fn the_middle_is_in_the_middle() {
        let odd = Spread::of([3.0, 1.0, 2.0]);
        assert_eq!((odd.min, odd.median, odd.max), (1.0, 2.0, 3.0));
        let even = Spread::of([4.0, 1.0, 2.0, 100.0]);
        assert_eq!((even.min, even.median, even.max), (1.0, 3.0, 100.0));
        assert_eq!(Spread::of([]), Spread::default());
    }

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
    fn one_disturbed_run_does_not_move_the_bound() {
        let mut records: Vec<Record> = (0..5)
            .map(|repeat| Record {
                repeat,
                ..samples::record("fifo", 4, 500_000.0)
            })
            .collect();
        let expected = records[0].throughput_over_bound;
        records[1].inside_measured_ns = 10_662.0;
        records[1].throughput_over_bound = 2.36;
        records[2].outside_measured_ns = 0.0;
        records[2].throughput_over_bound = 0.0;
        normalise(&mut records);
        for record in &records {
            assert!(
                (record.throughput_over_bound - expected).abs() < 1e-9,
                "{record:?}"
            );
        }
    }

    #[test]
    fn where_lines_move_the_shortest_section_bounds() {
        let records = |workload: &str| {
            [500.0, 600.0, 2_000.0].map(|inside_measured_ns| Record {
                workload: workload.into(),
                inside_measured_ns,
                busiest_lock_ns: inside_measured_ns,
                outside_measured_ns: 100.0,
                ..samples::record("fifo", 4, 400_000.0)
            })
        };
        let (mut moving, mut still) = (records("two-lines"), records("hot-lock"));
        normalise(&mut moving);
        normalise(&mut still);
        // One over the busiest lock's time is the least of the three.
        assert!((moving[2].throughput_over_bound - 0.4e6 / 2e6).abs() < 1e-9);
        assert!((still[2].throughput_over_bound - 0.4e6 / 1e9 * 600.0).abs() < 1e-9);
    }

    #[test]
    fn nothing_measured_means_what_was_asked() {
        let mut record = samples::record("fifo", 4, 400_000.0);
        (record.inside_measured_ns, record.outside_measured_ns) = (0.0, 0.0);
        let mut records = [record];
        normalise(&mut records);
        assert!(
            (records[0].throughput_over_bound - 0.6).abs() < 1e-9,
            "{records:?}"
        );
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
