//! The table of everything: one row for each lock at each point.

use super::grid::{Cell, Column, Filter, Grid, Line};
use crate::aggregate::{AtPoint, Summary};
use crate::chart::Better;
use crate::chart::look::Locks;
use crate::figures::{count, exact_time, percent, share, time, times};
use crate::point::Point;
use crate::sets::{Set, host_words};
use crate::spread::Spread;

/// A row before it is written.
struct Run<'a> {
    set: &'a Set,
    at: &'a AtPoint,
    lock: &'a Summary,
}

/// A column that says where something was measured, and can be filtered by.
struct Where {
    title: &'static str,
    hint: &'static str,
    value: fn(&Run<'_>) -> String,
    /// By what it is sorted, if not by its letters.
    size: Option<fn(&Point) -> f64>,
}

/// A column that says what was measured.
struct What {
    title: &'static str,
    hint: &'static str,
    value: fn(&Run<'_>) -> Option<f64>,
    show: fn(f64) -> String,
    better: Better,
    /// Whether it is left out if it is 0 everywhere.
    rare: bool,
}

const WHERE: [Where; 6] = [
    Where {
        title: "file",
        hint: "which of the files",
        value: |run| run.set.label.clone(),
        size: None,
    },
    Where {
        title: "workload",
        hint: "what the guests do",
        value: |run| run.at.point.workload.clone(),
        size: None,
    },
    Where {
        title: "policy",
        hint: "how the host shares its CPUs, and what a directed yield is",
        value: |run| host_words(&run.at.point),
        size: None,
    },
    Where {
        title: "section",
        hint: "mean time inside and outside the lock, as asked for",
        value: |run| {
            let point = &run.at.point;
            format!(
                "{} / {}, {}",
                exact_time(point.inside_ns),
                exact_time(point.outside_ns),
                point.distribution
            )
        },
        size: Some(|point| point.inside_ns as f64),
    },
    Where {
        title: "CPUs",
        hint: "physical CPUs",
        value: |run| run.at.point.pcpus.to_string(),
        size: Some(|point| point.pcpus as f64),
    },
    Where {
        title: "overcommit",
        hint: "virtual CPUs, or threads, for each physical CPU",
        value: |run| count(run.at.point.overcommit()),
        size: Some(Point::overcommit),
    },
];

const WHAT: [What; 17] = [
    What {
        title: "thr/bound",
        hint: "critical sections per second over the most that any lock could do",
        value: |run| Some(run.lock.over_bound.median),
        show: share,
        better: Better::Higher,
        rare: false,
    },
    What {
        title: "lowest",
        hint: "the lowest thr/bound of all repeats",
        value: |run| several(run).map(|spread| spread.min),
        show: share,
        better: Better::Higher,
        rare: true,
    },
    What {
        title: "highest",
        hint: "the highest thr/bound of all repeats",
        value: |run| several(run).map(|spread| spread.max),
        show: share,
        better: Better::Higher,
        rare: true,
    },
    What {
        title: "per s",
        hint: "critical sections per second",
        value: |run| Some(run.lock.throughput_per_s.median),
        show: count,
        better: Better::Higher,
        rare: false,
    },
    What {
        title: "vs best",
        hint: "throughput over that of the fastest lock at this point",
        value: |run| {
            let best = run.at.fastest(|_| true)?.throughput_per_s.median;
            (best > 0.0).then(|| run.lock.throughput_per_s.median / best)
        },
        show: times,
        better: Better::Higher,
        rare: false,
    },
    What {
        title: "Jain",
        hint: "Jain's fairness index over 100 ms windows: 1 is fair",
        value: |run| Some(run.lock.jain.median),
        show: share,
        better: Better::Higher,
        rare: false,
    },
    What {
        title: "least vCPU",
        hint: "acquisitions of the vCPU that got least, over the mean",
        value: |run| shares(run).map(|spread| spread.min),
        show: share,
        better: Better::Higher,
        rare: true,
    },
    What {
        title: "most vCPU",
        hint: "acquisitions of the vCPU that got most, over the mean",
        value: |run| shares(run).map(|spread| spread.max),
        show: share,
        better: Better::Lower,
        rare: true,
    },
    What {
        title: "wait p50",
        hint: "half of all waits are shorter",
        value: |run| Some(run.lock.wait_p50_ns.median),
        show: time,
        better: Better::Lower,
        rare: true,
    },
    What {
        title: "p99",
        hint: "99 % of all waits are shorter",
        value: |run| Some(run.lock.wait_p99_ns.median),
        show: time,
        better: Better::Lower,
        rare: false,
    },
    What {
        title: "p99.9",
        hint: "99.9 % of all waits are shorter",
        value: |run| Some(run.lock.wait_p999_ns.median),
        show: time,
        better: Better::Lower,
        rare: false,
    },
    What {
        title: "longest",
        hint: "the longest wait of all repeats",
        value: |run| Some(run.lock.wait_max_ns.max),
        show: time,
        better: Better::Lower,
        rare: false,
    },
    What {
        title: "LHP/s",
        hint: "preemptions while holding, for each second",
        value: |run| Some(run.lock.lhp_per_s.median),
        show: count,
        better: Better::Lower,
        rare: true,
    },
    What {
        title: "LWP/s",
        hint: "hand-overs to a vCPU that was not running, for each second",
        value: |run| Some(run.lock.lwp_per_s.median),
        show: count,
        better: Better::Lower,
        rare: true,
    },
    What {
        title: "calls/acq",
        hint: "hypercalls for each acquisition",
        value: |run| Some(run.lock.hypercalls_per_acquisition.median),
        show: share,
        better: Better::Lower,
        rare: true,
    },
    What {
        title: "wasted",
        hint: "pCPU time spent spinning while a runnable vCPU had to wait",
        value: |run| Some(run.lock.wasted_share.median),
        show: percent,
        better: Better::Lower,
        rare: true,
    },
    What {
        title: "neighbour",
        hint: "work of the lock-free VM over what its share of the pCPUs would give",
        value: |run| run.lock.neighbour.map(|spread| spread.median),
        show: share,
        better: Better::Higher,
        rare: true,
    },
];

fn several(run: &Run<'_>) -> Option<Spread> {
    (run.lock.repeats > 1).then_some(run.lock.over_bound)
}

fn shares(run: &Run<'_>) -> Option<Spread> {
    let shares = &run.lock.vcpu_shares;
    (!shares.is_empty()).then(|| Spread::of(shares.iter().copied()))
}

/// The table, without the columns that would say the same in every row; those stand in its caption.
pub(super) fn grid(sets: &[Set], locks: &Locks) -> Grid {
    let runs = all_runs(sets);
    let several = shown_places(&runs);
    let same: Vec<String> = WHERE
        .iter()
        .filter(|column| distinct(&runs, column.value).len() == 1 && column.title != "file")
        .map(|column| format!("{} {}", column.title, (column.value)(&runs[0])))
        .collect();
    let told: Vec<&What> = WHAT
        .iter()
        .filter(|column| {
            let tells = |run: &Run<'_>| (column.value)(run).is_some_and(|value| value != 0.0);
            !column.rare || runs.iter().any(tells)
        })
        .collect();
    let mut caption =
        "All figures, the best first at each point. Medians over the repeats; * one of ours."
            .to_owned();
    if !same.is_empty() {
        caption += &format!(" The same in every row: {}.", same.join("; "));
    }
    let mut columns = vec![Column {
        title: "lock".to_owned(),
        hint: "its name, as `pvq list` shows it",
        number: false,
        better: None,
    }];
    columns.extend(several.iter().map(|column| Column {
        title: column.title.to_owned(),
        hint: column.hint,
        number: column.size.is_some() && column.title != "section",
        better: None,
    }));
    columns.extend(told.iter().map(|column| Column {
        title: column.title.to_owned(),
        hint: column.hint,
        number: true,
        better: Some(column.better),
    }));
    let filters = several.iter().map(|column| Filter {
        title: column.title.to_owned(),
        values: distinct(&runs, column.value),
    });
    let rows = runs.iter().map(|run| line(run, &several, &told, locks));
    Grid {
        id: "runs",
        caption,
        columns,
        filters: filters.collect(),
        rows: rows.collect(),
    }
}

/// By what the pictures of a setting are chosen: the keys of its rows, but for overcommit, of which it
/// has all.
pub(super) fn keys_of_setting(sets: &[Set], set: &Set, points: &[&AtPoint]) -> Vec<Option<String>> {
    let all = all_runs(sets);
    let own = points.iter().find_map(|at| {
        let lock = at.locks.first()?;
        Some(Run { set, at, lock })
    });
    let value = |column: &&Where| match column.title {
        "overcommit" => None,
        _ => own.as_ref().map(column.value),
    };
    shown_places(&all).iter().map(value).collect()
}

fn all_runs(sets: &[Set]) -> Vec<Run<'_>> {
    sets.iter()
        .flat_map(|set| set.points.iter().map(move |at| (set, at)))
        .flat_map(|(set, at)| at.locks.iter().map(move |lock| Run { set, at, lock }))
        .collect()
}

/// The columns that do not say the same in every row.
fn shown_places(runs: &[Run<'_>]) -> Vec<&'static Where> {
    let several = |column: &&Where| distinct(runs, column.value).len() > 1;
    WHERE.iter().filter(several).collect()
}

fn distinct(runs: &[Run<'_>], value: fn(&Run<'_>) -> String) -> Vec<String> {
    let mut seen = std::collections::HashSet::new();
    let values = runs.iter().map(value);
    values.filter(|value| seen.insert(value.clone())).collect()
}

fn line(run: &Run<'_>, places: &[&Where], figures: &[&What], locks: &Locks) -> Line {
    let name = &run.lock.lock;
    let star = if run.lock.is_ours() { " *" } else { "" };
    let mut keys = Vec::new();
    let mut cells = vec![Cell {
        text: format!("{name}{star}"),
        value: None,
    }];
    for column in places {
        let text = (column.value)(run);
        keys.push(text.clone());
        cells.push(Cell {
            text,
            value: column.size.map(|size| size(&run.at.point)),
        });
    }
    cells.extend(figures.iter().map(|column| {
        let value = (column.value)(run);
        Cell {
            text: value.map_or_else(|| "-".to_owned(), column.show),
            value,
        }
    }));
    Line {
        lock: locks.number(name),
        keys,
        cells,
    }
}
