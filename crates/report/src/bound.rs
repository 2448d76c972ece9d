//! One bound for all runs at a point.

use pvqspin_workload::{LockLoad, bound_per_s, catalog};

use crate::aggregate::{PointKey, Spread};
use crate::schema::Record;

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
