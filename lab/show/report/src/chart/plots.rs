//! Which pictures there are of one setting, and what goes into each.

use super::axis::Axis;
use super::lines::{Line, Lines};
use super::look::{Locks, Mark};
use super::rows::{Row, Rows};
use super::scatter::{Dot, Scatter};
use super::{Chart, Plot};
use crate::aggregate::{AtPoint, Summary};
use crate::figures::{count, share, time};

/// Waits below this are drawn at it, in ns: nobody waited for as long as an atomic takes.
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
    let chart = |name, title: &str, place: &str, reading, plot| Chart {
        name,
        title: title.to_owned(),
        place: place.to_owned(),
        reading,
        plot,
    };
    let mut charts = vec![
        chart(
            "throughput",
            "throughput over bound",
            &place.setting,
            extremes(last, &highest, "throughput over bound", over_bound, share),
            Plot::Lines(Lines {
                y: Axis::linear(
                    "throughput over bound",
                    values(points, over_bound),
                    1.0,
                    share,
                ),
                ..lines(points, locks, place, over_bound)
            }),
        ),
        chart(
            "longest-wait",
            "longest wait (median of the repeats)",
            &place.setting,
            extremes(last, &highest, "longest wait", longest, time),
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
        pareto(last, locks, &at_highest, longest, |_| false),
        chart(
            "waits",
            "distribution of waits",
            &at_highest,
            extremes(
                last,
                &highest,
                "99th percentile of the wait",
                |lock| lock.wait_p99_ns.median,
                time,
            ),
            Plot::Rows(waits(last, locks)),
        ),
    ];
    if points
        .iter()
        .flat_map(|at| &at.locks)
        .any(|lock| lock.hypercalls > 0)
    {
        charts.push(chart(
            "hypercalls",
            "hypercalls for each acquisition",
            &at_highest,
            extremes(
                last,
                &highest,
                "hypercalls for each acquisition",
                |lock| lock.hypercalls_per_acquisition.median,
                share,
            ),
            Plot::Rows(hypercalls(last, locks)),
        ));
    }
    if last.locks.iter().any(|lock| !lock.vcpu_shares.is_empty()) {
        charts.push(chart(
            "fairness",
            "what each vCPU got, over the mean",
            &at_highest,
            extremes(
                last,
                &highest,
                "Jain's index",
                |lock| lock.jain.median,
                share,
            ),
            Plot::Rows(fairness(last, locks)),
        ));
    }
    if last.locks.iter().any(|lock| lock.neighbour.is_some()) {
        let left = |lock: &Summary| lock.neighbour.map_or(f64::NAN, |spread| spread.median);
        charts.push(chart(
            "neighbour",
            "what is left for a neighbour VM, over its share",
            &at_highest,
            extremes(
                last,
                &highest,
                "what is left for the neighbour",
                left,
                share,
            ),
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

/// Who is at which end of a figure, for those who do not see the picture.
fn extremes(
    at: &AtPoint,
    place: &str,
    what: &str,
    figure: fn(&Summary) -> f64,
    show: fn(f64) -> String,
) -> String {
    let known = || at.locks.iter().filter(|lock| figure(lock).is_finite());
    let by_figure = |a: &&Summary, b: &&Summary| figure(a).total_cmp(&figure(b));
    let ends = (known().max_by(by_figure), known().min_by(by_figure));
    match ends {
        (Some(high), Some(low)) if high.lock != low.lock => format!(
            "At {place}, the highest {what} is {} ({}), the lowest {} ({}).",
            show(figure(high)),
            high.lock,
            show(figure(low)),
            low.lock
        ),
        (Some(only), _) => format!("{} has {} at {place}.", only.lock, show(figure(only))),
        _ => String::new(),
    }
}

/// One line for each lock; its caller says what `y` is.
fn lines(points: &[&AtPoint], locks: &Locks, place: &Place, figure: fn(&Summary) -> f64) -> Lines {
    let line = |(lock, look): (usize, &super::look::Lock)| {
        let steps = points.iter().enumerate();
        let points: Vec<(usize, f64)> = steps
            .filter_map(|(step, at)| Some((step, figure(at.lock(&look.name)?))))
            .collect();
        (!points.is_empty()).then_some(Line { lock, points })
    };
    let labels = points.iter().map(|at| count(at.point.overcommit()));
    Lines {
        x: Axis::steps(place.crowd, labels.collect()),
        y: Axis::rows(0),
        lines: locks.iter().enumerate().filter_map(line).collect(),
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
    let front: Vec<&str> = scatter
        .front()
        .iter()
        .map(|dot| locks[dot.lock].name.as_str())
        .collect();
    Chart {
        name: "pareto",
        title: "throughput against the longest wait".to_owned(),
        place: place.to_owned(),
        reading: format!(
            "Not beaten in both throughput and longest wait: {}.",
            front.join(", ")
        ),
        plot: Plot::Scatter(scatter),
    }
}

/// A row for each lock of a point, in the point's order.
fn rows(
    at: &AtPoint,
    locks: &Locks,
    row: impl Fn(&Summary) -> (Vec<Option<f64>>, String),
) -> Vec<Row> {
    at.locks
        .iter()
        .filter_map(|lock| {
            let (values, end) = row(lock);
            Some(Row {
                lock: locks.number(&lock.lock)?,
                values,
                end,
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

fn waits(at: &AtPoint, locks: &Locks) -> Rows {
    let rows = rows(at, locks, |lock| {
        let quantiles = [
            lock.wait_p50_ns,
            lock.wait_p99_ns,
            lock.wait_p999_ns,
            lock.wait_p9999_ns,
        ];
        let mut values: Vec<_> = quantiles
            .iter()
            .map(|quantile| unless_zero(quantile.median))
            .collect();
        values.push(unless_zero(lock.wait_max_ns.max));
        (values, time(lock.wait_max_ns.max))
    });
    Rows {
        x: Axis::logarithmic("wait", values_of(&rows), SHORTEST_WAIT_NS, time),
        signs: vec![
            (Mark::Ring, "p50".to_owned()),
            (Mark::Disc, "p99".to_owned()),
            (Mark::Diamond, "p99.9".to_owned()),
            (Mark::Frame, "p99.99".to_owned()),
            (Mark::Bar, "longest".to_owned()),
        ],
        end: "longest".to_owned(),
        joined: true,
        rows,
    }
}

fn hypercalls(at: &AtPoint, locks: &Locks) -> Rows {
    let rows = rows(at, locks, |lock| {
        let calls = lock.calls.iter().map(|calls| unless_zero(calls.median));
        (
            calls.collect(),
            share(lock.hypercalls_per_acquisition.median),
        )
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
        rows,
    }
}

fn fairness(at: &AtPoint, locks: &Locks) -> Rows {
    let rows = rows(at, locks, |lock| {
        let shares = &lock.vcpu_shares;
        let middle = crate::Spread::of(shares.iter().copied());
        let values = match shares.is_empty() {
            true => vec![None; 3],
            false => vec![Some(middle.min), Some(middle.median), Some(middle.max)],
        };
        (values, share(lock.jain.median))
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
        rows,
    }
}

fn neighbour(at: &AtPoint, locks: &Locks) -> Rows {
    let rows = rows(at, locks, |lock| {
        let value = lock.neighbour.map(|spread| spread.median);
        (vec![value], value.map_or_else(String::new, share))
    });
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
        reading: format!(
            "{} files side by side; last over first at the end.",
            at.len()
        ),
        plot: Plot::Rows(Rows {
            x,
            signs: signs.clone(),
            end: "last/first".to_owned(),
            joined: true,
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
