//! The picture of all waits at one point.

use super::axis::{Axis, SHORTEST_WAIT_NS, nines};
use super::lines::{Line, Lines, Value};
use super::look::Locks;
use super::order::Better;
use crate::aggregate::{AtPoint, Summary};
use crate::figures::time;

/// The percentiles that are marked, as shares and in words; the longest wait comes behind them.
const PERCENTILES: [(f64, &str); 5] = [
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
];

/// The curves of all waits, shares on a logarithmic scale; where a file has quantiles only, they.
pub(super) fn waits(at: &AtPoint, locks: &Locks) -> Lines {
    let column_of = |share: f64| PERCENTILES.iter().position(|(known, _)| *known == share);
    let line = |lock: &Summary| {
        let quantiles: Vec<(f64, f64)> = match lock.waits.is_empty() {
            true => vec![
                (0.5, lock.wait_p50_ns.median),
                (0.99, lock.wait_p99_ns.median),
                (0.999, lock.wait_p999_ns.median),
                (0.9999, lock.wait_p9999_ns.median),
            ],
            false => PERCENTILES
                .iter()
                // There are no percentiles beyond the longest of a few waits.
                .filter(|(share, _)| (1.0 - share) * lock.waits.len() as f64 >= 1.0)
                .map(|(share, _)| (*share, lock.waits.quantile(*share) as f64))
                .collect(),
        };
        let mut values: Vec<Value> = quantiles
            .iter()
            .filter_map(|(share, y)| {
                let (column, x) = (column_of(*share)?, nines(*share));
                Some(Value { column, x, y: *y })
            })
            .collect();
        let mut curve: Vec<(f64, f64)> = match lock.waits.is_empty() {
            true => values.iter().map(|value| (value.x, value.y)).collect(),
            false => {
                let curve = lock.waits.curve().into_iter();
                curve.map(|(share, ns)| (nines(share), ns as f64)).collect()
            }
        };
        // Without a histogram, the longest wait has no share of its own.
        if let (false, Some(&(x, y))) = (lock.waits.is_empty(), curve.last()) {
            values.push(Value {
                column: PERCENTILES.len(),
                x,
                y,
            });
        }
        curve.dedup();
        Some(Line {
            lock: locks.number(&lock.lock)?,
            values,
            curve,
        })
    };
    let mut lines: Vec<Line> = at.locks.iter().filter_map(line).collect();
    lines.retain(|line| !line.curve.is_empty());
    lines.sort_by_key(|line| line.lock);
    let points = || lines.iter().flat_map(|line| &line.curve);
    let mut columns: Vec<String> = (PERCENTILES.iter())
        .map(|(_, words)| format!("{words} of the waits"))
        .collect();
    columns.push("the longest wait".to_owned());
    Lines {
        x: Axis::nines(
            "share of all waits that are not longer",
            points().map(|at| at.0),
        ),
        y: Axis::logarithmic("wait", points().map(|at| at.1), SHORTEST_WAIT_NS, time),
        columns,
        told: 3,
        better: Better::Lower,
        lines,
    }
}
