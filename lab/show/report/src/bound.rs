//! One bound for all locks at a point.

use pvqspin_load::{LockLoad, bound_per_s, catalog};

use crate::point::Point;
use crate::schema::Record;
use crate::spread::Spread;

/// How many runs of one repeat have a median that none of them moves: with fewer, the runs of all
/// repeats are taken together.
const ENOUGH: usize = 5;

/// Puts every throughput over the bound of its point and repeat, from the median C and N of all locks
/// there.
///
/// Of the repeat, because a machine has not the same speed all the time: in one repeat of three every
/// section of every lock was seen to take 8 % longer, and over a bound from all three each of them
/// looked 8 % worse.
///
/// A record's own C and N are means, and a mean is ruined by one section in which the machine's
/// own scheduler took the CPU away: one such run in a hundred stood at 2.4 times its bound. A lock
/// that was handed over once for each slice may have no section outside that was not preempted,
/// and so no N. The median over all locks suffers from neither, and a lock
/// that makes critical sections slower (by hammering their cache lines) is charged for it.
///
/// In workloads whose sections move cache lines, the shortest C of all locks takes the median's place:
/// a lock that is not handed over keeps its data, and no bound may lie below what that one does.
pub fn normalise(records: &mut [Record]) {
    type Key = (Point, u32);
    let key = |record: &Record| -> Key { (record.point(), record.repeat) };
    let mut bounds: Vec<(Key, f64)> = Vec::new();
    for record in records.iter() {
        let key = key(record);
        if !bounds.iter().any(|(known, _)| *known == key) {
            let bound = common_bound(&key.0, &together(&key.0, key.1, records));
            bounds.push((key, bound));
        }
    }
    for record in records {
        let key = key(record);
        let bound = bounds.iter().find(|(known, _)| *known == key);
        if let Some((_, bound)) = bound.filter(|(_, bound)| bound.is_finite() && *bound > 0.0) {
            record.throughput_over_bound = record.throughput_per_s / bound;
        }
    }
}

/// The runs that have a bound in common.
fn together<'a>(point: &Point, repeat: u32, records: &'a [Record]) -> Vec<&'a Record> {
    let here = || records.iter().filter(|record| record.point() == *point);
    let same_repeat: Vec<&Record> = here().filter(|record| record.repeat == repeat).collect();
    if same_repeat.len() >= ENOUGH {
        return same_repeat;
    }
    here().collect()
}

fn common_bound(point: &Point, records: &[&Record]) -> f64 {
    let workload = catalog::find(&point.workload);
    // A lock that stays where it is keeps its data there: no other has sections as short.
    let shortest = workload.is_some_and(|entry| entry.moves_lines);
    let common = |measured: fn(&Record) -> f64, asked: f64| {
        let values = (records.iter().copied())
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

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
    fn a_slow_repeat_has_a_lower_bound_if_it_has_locks_enough_to_tell() {
        let run = |lock: &str, repeat: u32| {
            // In the second repeat everything takes twice as long.
            let factor = f64::from(repeat + 1);
            let mut record = samples::record(lock, 4, 400_000.0 / factor);
            record.repeat = repeat;
            record.inside_measured_ns *= factor;
            record.outside_measured_ns *= factor;
            record.busiest_lock_ns *= factor;
            record
        };
        let over_bound = |locks: &[&str]| {
            let mut records: Vec<Record> = (0..2)
                .flat_map(|repeat| locks.iter().map(move |lock| run(lock, repeat)))
                .collect();
            normalise(&mut records);
            let (first, last) = (&records[0], &records[records.len() - 1]);
            last.throughput_over_bound / first.throughput_over_bound
        };
        let many = over_bound(&["fifo", "bounded", "ticket", "mcs", "clh"]);
        assert!((many - 1.0).abs() < 1e-9, "{many}");
        let few = over_bound(&["fifo", "bounded"]);
        assert!((few - 0.5).abs() < 1e-9, "{few}");
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
}
