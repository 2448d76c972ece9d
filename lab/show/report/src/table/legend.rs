//! What the columns of tables mean: the lines under the last of them.

use super::{Column, PLAIN, columns, threads_columns};
use crate::aggregate::AtPoint;
use crate::estimate::Evidence;

/// What the columns mean: a column, and its line under the last table that has one.
const MEANINGS: [(&str, &str); 9] = [
    (
        "thr/bound",
        "thr/bound   critical sections per second over the most that any lock could do,
            min(1/C, P/(C+N), V/(C+N))",
    ),
    ("vs tas", "vs tas      throughput over that of test-and-set"),
    (
        "vs std",
        "vs std      throughput over that of std::sync::Mutex",
    ),
    (
        "vs best",
        "vs best     throughput over that of the fastest lock of the table",
    ),
    (
        "Jain",
        "Jain        fairness over 100 ms windows: 1 is fair",
    ),
    (
        "LHP/s",
        "LHP, LWP    preemptions while holding; hand-overs to a vCPU that was not running",
    ),
    ("calls/acq", "calls/acq   hypercalls for each acquisition"),
    (
        "wasted",
        "wasted      pCPU time spent spinning while a runnable vCPU had to wait",
    ),
    (
        "neighbour",
        "neighbour   work of the lock-free VM over what its share of the pCPUs would give",
    ),
];

/// Where C and N of a bound come from.
const OF_ALL_RUNS: &str = "\
C, N: medians of all runs of the repeat, or of all repeats if that
has fewer than five (where sections move cache lines: the least C)";
const AS_ASKED: &str = "\
C, N: as asked, with an atomic each (hot-lock), or what the lock's
own run had (other workloads)";

/// What a bound is of where there are several locks.
const SEVERAL: &str = "(of several locks 1/C is that of the busiest one: docs/workloads.md)";

/// What the columns of these tables mean, for under the last of them.
#[must_use]
pub fn legend(points: &[AtPoint], evidence: Evidence) -> String {
    let c_and_n = match evidence {
        Evidence::Measured => OF_ALL_RUNS,
        Evidence::Simulated => AS_ASKED,
    };
    let wait = "from joining the queue to holding";
    explained(points, columns, (c_and_n, wait))
}

/// What the columns of [`render_threads`](super::render_threads) mean.
#[must_use]
pub fn threads_legend(points: &[AtPoint]) -> String {
    explained(
        points,
        threads_columns,
        (OF_ALL_RUNS, "from the call to holding"),
    )
}

/// A line that goes on with the one before it.
fn indented(line: &str) -> String {
    format!("{:12}{line}", "")
}

fn explained(
    points: &[AtPoint],
    columns: fn(&AtPoint) -> Vec<Column>,
    (c_and_n, wait): (&str, &str),
) -> String {
    let titles: Vec<String> = (points.iter().flat_map(columns))
        .map(|column| column.title)
        .collect();
    let mut lines = vec![
        "Medians over the repeats, in brackets the lowest and the highest. * one of ours."
            .to_owned(),
    ];
    for (title, line) in MEANINGS {
        if !titles.iter().any(|shown| shown == title) {
            continue;
        }
        lines.push(line.to_owned());
        match title {
            "thr/bound" => {
                lines.extend(c_and_n.lines().map(indented));
                if points.iter().any(|at| at.point.workload != PLAIN) {
                    lines.push(indented(SEVERAL));
                }
            }
            "Jain" => lines.push(format!("wait        {wait}; longest: of all repeats")),
            _ => {}
        }
    }
    lines.join("\n")
}
