//! Which pictures there are of one setting, and what goes into each.

use super::axis::{Axis, SHORTEST_WAIT_NS};
use super::lines::{Line, Lines, Value};
use super::look::{Locks, Mark};
use super::order::{Better, sorted};
use super::rows::{Row, Rows};
use super::scatter::{Dot, Scatter};
use super::waits::waits;
use super::{Chart, Plot};
use crate::aggregate::{AtPoint, Summary};
use crate::figures::{count, share, time};

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
        pareto(
            last,
            locks,
            &at_highest,
            (longest_name(points), longest),
            |_| false,
        ),
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
            longest_name(points),
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

pub(super) fn over_bound(lock: &Summary) -> f64 {
    lock.over_bound.median
}

/// The longest of all repeats, which tables have, is often a matter of what else the machine did.
pub(super) fn longest(lock: &Summary) -> f64 {
    lock.wait_max_ns.median
}

/// What it is called: of one repeat there is no median to speak of.
pub(super) fn longest_name(points: &[&AtPoint]) -> &'static str {
    let mut locks = points.iter().flat_map(|at| &at.locks);
    match locks.any(|lock| lock.repeats > 1) {
        true => "longest wait (median of the repeats)",
        false => "longest wait",
    }
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

/// Throughput against a longest wait, which has this name; a line joins those that are `one` lock at several settings.
pub(crate) fn pareto(
    at: &AtPoint,
    locks: &Locks,
    place: &str,
    (name, wait): (&str, fn(&Summary) -> f64),
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
        title: format!("throughput against the {name}"),
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

pub(super) fn values_of(rows: &[Row]) -> impl Iterator<Item = f64> + '_ {
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
