//! Which pictures there are of one setting, and what goes into each.

use super::axis::{Axis, nines};
use super::lines::{Line, Lines, Value};
use super::look::{Locks, Mark};
use super::order::{Better, sorted};
use super::rows::{Row, Rows};
use super::scatter::{Dot, Scatter};
use super::{Chart, Plot};
use crate::aggregate::{AtPoint, Summary};
use crate::figures::{count, share, time};

/// Waits below this are drawn there, in ns: about what one atomic instruction takes.
const SHORTEST_WAIT_NS: f64 = 100.0;

/// Fewer calls for each acquisition are drawn there.
const FEWEST_CALLS: f64 = 1e-6;

/// Where a setting is, in the words of its driver.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Place {
    /// What tells it from other settings.
    pub(crate) setting: String,
    /// What overcommit counts: `vCPUs for each pCPU`.
    pub(crate) crowd: &'static str,
}

/// All pictures of one setting, whose points are given, overcommit ascending.
pub(crate) fn of_setting(points: &[&AtPoint], locks: &Locks, place: &Place) -> Vec<Chart> {
    let Some(last) = points.last() else {
        return Vec::new();
    };
    let highest = format!("{} {}", count(last.point.overcommit()), place.crowd);
    let at_highest = format!("{}, {highest}", place.setting);
    let chart = |name, title: &str, place: &str, plot| Chart {
        name,
        title: title.to_owned(),
        place: place.to_owned(),
        plot,
    };
    let mut charts = vec![
        pareto(last, locks, &at_highest, longest, |_| false),
        chart(
            "throughput",
            "throughput over bound",
            &place.setting,
            Plot::Lines(Lines {
                y: Axis::linear(
                    "throughput over bound",
                    values(points, over_bound),
                    1.0,
                    share,
                ),
                better: Better::Higher,
                ..lines(points, locks, place, over_bound)
            }),
        ),
        chart(
            "longest-wait",
            "longest wait (median of the repeats)",
            &place.setting,
            Plot::Lines(Lines {
                y: Axis::logarithmic(
                    "longest wait",
                    values(points, longest),
                    SHORTEST_WAIT_NS,
                    time,
                ),
                ..lines(points, locks, place, longest)
            }),
        ),
        chart(
            "waits",
            "waits by percentile",
            &at_highest,
            Plot::Lines(waits(last, locks)),
        ),
    ];
    let measured = points.iter().flat_map(|at| &at.locks);
    if measured.into_iter().any(|lock| lock.hypercalls > 0) {
        charts.push(chart(
            "hypercalls",
            "hypercalls for each acquisition",
            &at_highest,
            Plot::Rows(hypercalls(last, locks)),
        ));
    }
    if last.locks.iter().any(|lock| !lock.vcpu_shares.is_empty()) {
        charts.push(chart(
            "fairness",
            "what each vCPU got, over the mean",
            &at_highest,
            Plot::Rows(fairness(last, locks)),
        ));
    }
    if last.locks.iter().any(|lock| lock.neighbour.is_some()) {
        charts.push(chart(
            "neighbour",
            "what is left for a neighbour VM, over its share",
            &at_highest,
            Plot::Rows(neighbour(last, locks)),
        ));
    }
    charts
}

fn over_bound(lock: &Summary) -> f64 {
    lock.over_bound.median
}

/// The longest of all repeats, which tables have, is often a matter of what else the machine did.
fn longest(lock: &Summary) -> f64 {
    lock.wait_max_ns.median
}

fn values<'a>(
    points: &'a [&AtPoint],
    figure: fn(&Summary) -> f64,
) -> impl Iterator<Item = f64> + 'a {
    points.iter().flat_map(|at| &at.locks).map(figure)
}

/// One line for each lock; its caller says what `y` is, and which way is better.
fn lines(points: &[&AtPoint], locks: &Locks, place: &Place, figure: fn(&Summary) -> f64) -> Lines {
    let line = |(lock, look): (usize, &super::look::Lock)| {
        let value = |(column, at): (usize, &&AtPoint)| {
            let (x, y) = (column as f64, figure(at.lock(&look.name)?));
            Some(Value { column, x, y })
        };
        let values: Vec<Value> = points.iter().enumerate().filter_map(value).collect();
        let curve = values.iter().map(|value| (value.x, value.y)).collect();
        (!values.is_empty()).then_some(Line {
            lock,
            values,
            curve,
        })
    };
    let steps: Vec<String> = points
        .iter()
        .map(|at| count(at.point.overcommit()))
        .collect();
    Lines {
        columns: steps
            .iter()
            .map(|step| format!("{step} {}", place.crowd))
            .collect(),
        told: points.len().saturating_sub(1),
        better: Better::Lower,
        x: Axis::steps(place.crowd, steps),
        y: Axis::rows(0),
        lines: locks.iter().enumerate().filter_map(line).collect(),
    }
}

/// The percentiles that are marked, as shares and in words; the longest wait comes behind them.
const PERCENTILES: [(f64, &str); 5] = [
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
];

/// The curves of all waits, shares on a logarithmic scale; where a file has quantiles only, they.
fn waits(at: &AtPoint, locks: &Locks) -> Lines {
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

/// Throughput against a longest wait; a line joins those that are `one` lock at several settings.
pub(crate) fn pareto(
    at: &AtPoint,
    locks: &Locks,
    place: &str,
    wait: fn(&Summary) -> f64,
    one: impl Fn(&Summary) -> bool,
) -> Chart {
    let dot = |lock: &Summary| {
        Some(Dot {
            lock: locks.number(&lock.lock)?,
            x: over_bound(lock),
            y: wait(lock),
        })
    };
    let dots: Vec<Dot> = at.locks.iter().filter_map(dot).collect();
    let mut joined: Vec<Dot> = (at.locks.iter().filter(|lock| one(lock)))
        .filter_map(dot)
        .collect();
    joined.sort_by(|a, b| a.y.total_cmp(&b.y));
    let scatter = Scatter {
        x: Axis::linear(
            "throughput over bound",
            dots.iter().map(|dot| dot.x),
            1.0,
            share,
        ),
        y: Axis::logarithmic(
            "longest wait",
            dots.iter().map(|dot| dot.y),
            SHORTEST_WAIT_NS,
            time,
        ),
        dots,
        joined,
    };
    Chart {
        name: "pareto",
        title: "throughput against the longest wait".to_owned(),
        place: place.to_owned(),
        plot: Plot::Scatter(scatter),
    }
}

/// A row for each lock of a point that has the figure by which they are ordered, the best first.
fn rows(
    at: &AtPoint,
    locks: &Locks,
    (figure, better): (impl Fn(&Summary) -> Option<f64>, Better),
    row: impl Fn(&Summary) -> Vec<Option<f64>>,
) -> Vec<Row> {
    let known = |(place, lock)| Some((place, figure(lock)?));
    let ranked = sorted(
        at.locks.iter().enumerate().filter_map(known).collect(),
        better,
    );
    ranked
        .into_iter()
        .filter_map(|(place, figure)| {
            let lock = &at.locks[place];
            Some(Row {
                lock: locks.number(&lock.lock)?,
                values: row(lock),
                end: share(figure),
            })
        })
        .collect()
}

fn values_of(rows: &[Row]) -> impl Iterator<Item = f64> + '_ {
    rows.iter().flat_map(|row| &row.values).flatten().copied()
}

/// A logarithmic scale has no place for nothing.
fn unless_zero(value: f64) -> Option<f64> {
    (value > 0.0).then_some(value)
}

fn hypercalls(at: &AtPoint, locks: &Locks) -> Rows {
    let all = |lock: &Summary| Some(lock.hypercalls_per_acquisition.median);
    let rows = rows(at, locks, (all, Better::Lower), |lock| {
        let calls = lock.calls.iter().map(|calls| unless_zero(calls.median));
        calls.collect()
    });
    Rows {
        x: Axis::logarithmic(
            "hypercalls for each acquisition",
            values_of(&rows),
            FEWEST_CALLS,
            share,
        ),
        signs: vec![
            (Mark::Frame, "halt".to_owned()),
            (Mark::Up, "kick".to_owned()),
            (Mark::Disc, "yield".to_owned()),
        ],
        end: "all".to_owned(),
        joined: false,
        ranked: true,
        rows,
    }
}

fn fairness(at: &AtPoint, locks: &Locks) -> Rows {
    let jain = |lock: &Summary| (!lock.vcpu_shares.is_empty()).then_some(lock.jain.median);
    let rows = rows(at, locks, (jain, Better::Higher), |lock| {
        let middle = crate::Spread::of(lock.vcpu_shares.iter().copied());
        vec![Some(middle.min), Some(middle.median), Some(middle.max)]
    });
    Rows {
        x: Axis::linear(
            "acquisitions of a vCPU over the mean of all",
            values_of(&rows),
            1.5,
            share,
        ),
        signs: vec![
            (Mark::Frame, "least".to_owned()),
            (Mark::Ring, "middle".to_owned()),
            (Mark::Square, "most".to_owned()),
        ],
        end: "Jain".to_owned(),
        joined: true,
        ranked: true,
        rows,
    }
}

fn neighbour(at: &AtPoint, locks: &Locks) -> Rows {
    let left = |lock: &Summary| lock.neighbour.map(|spread| spread.median);
    let rows = rows(at, locks, (left, Better::Higher), |lock| vec![left(lock)]);
    Rows {
        x: Axis::linear(
            "work of the neighbour over its share",
            values_of(&rows),
            1.0,
            share,
        ),
        signs: vec![(Mark::Disc, "neighbour".to_owned())],
        end: "share".to_owned(),
        joined: false,
        ranked: true,
        rows,
    }
}

/// One point as several files have it: throughput over bound, and the longest wait.
pub(crate) fn beside(at: &[(&str, &AtPoint)], locks: &Locks, place: &str) -> Vec<Chart> {
    const SIGNS: [Mark; 6] = [
        Mark::Disc,
        Mark::Frame,
        Mark::Up,
        Mark::Cross,
        Mark::Diamond,
        Mark::Plus,
    ];
    let signs: Vec<(Mark, String)> = at
        .iter()
        .zip(SIGNS.iter().cycle())
        .map(|((label, _), sign)| (*sign, (*label).to_owned()))
        .collect();
    let rows = |figure: fn(&Summary) -> f64| -> Vec<Row> {
        locks
            .iter()
            .enumerate()
            .filter_map(|(lock, look)| {
                let values: Vec<Option<f64>> = at
                    .iter()
                    .map(|(_, at)| at.lock(&look.name).map(figure))
                    .collect();
                let ratio = match (values.first(), values.last()) {
                    (Some(Some(first)), Some(Some(last))) if values.len() > 1 => {
                        crate::figures::times(last / first)
                    }
                    _ => "-".to_owned(),
                };
                let both = values.iter().flatten().count() > 1;
                both.then_some(Row {
                    lock,
                    values,
                    end: ratio,
                })
            })
            .collect()
    };
    let (speed, waiting) = (rows(over_bound), rows(longest));
    let chart = |name, title: &str, x: Axis, rows: Vec<Row>| Chart {
        name,
        title: title.to_owned(),
        place: place.to_owned(),
        plot: Plot::Rows(Rows {
            x,
            signs: signs.clone(),
            end: "last/first".to_owned(),
            joined: true,
            ranked: false,
            rows,
        }),
    };
    vec![
        chart(
            "beside-throughput",
            "throughput over bound",
            Axis::linear("throughput over bound", values_of(&speed), 1.0, share),
            speed,
        ),
        chart(
            "beside-longest-wait",
            "longest wait (median of the repeats)",
            Axis::logarithmic("longest wait", values_of(&waiting), SHORTEST_WAIT_NS, time),
            waiting,
        ),
    ]
}
