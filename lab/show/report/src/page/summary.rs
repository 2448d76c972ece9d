//! The top of a page: what there is to know, in plain words, ratios first.

use maud::{Markup, html};

use super::grid::{Cell, Column, Grid, Line};
use crate::aggregate::{AtPoint, Spread, Summary};
use crate::figures::{count, range, share, time, times};
use crate::sentences::{Comparison, OURS, sentences};
use crate::sets::Set;
use crate::table::warnings;

/// The policy that is the default on threads.
const OURS_ON_THREADS: &str = "bounded";

/// A lock with less of the fastest lock's throughput is not asked for its waits: a lock that does
/// nothing makes no waits.
const FAST: f64 = 0.5;

/// More sets than this are told one by one only if the reader asks.
const MOST_SETS: usize = 4;

pub(super) fn html(sets: &[Set]) -> Markup {
    html! {
        section aria-labelledby="summary" {
            h2 id="summary" { "In short" }
            @for (i, set) in sets.iter().enumerate() {
                @if i < MOST_SETS {
                    @if sets.len() > 1 { h3 { (set.label) } }
                    (told(set))
                } @else {
                    details {
                        summary { (set.label) }
                        (told(set))
                    }
                }
            }
            (winners(sets).html())
        }
    }
}

fn told(set: &Set) -> Markup {
    let warnings = doubts(set);
    html! {
        @if !warnings.is_empty() {
            ul.warnings {
                @for warning in &warnings { li { (warning) } }
            }
        }
        (cards(set))
        @for sentence in words(set) { p.told { (sentence) } }
    }
}

/// What must not be overlooked.
fn doubts(set: &Set) -> Vec<String> {
    let about = &set.about;
    let mut doubts: Vec<String> = set
        .points
        .iter()
        .flat_map(|at| {
            let place = format!("{} {}", count(at.point.overcommit()), set.crowd());
            let lines = warnings(at);
            let lines = lines.lines().map(|line| format!("{line} ({place})"));
            lines.collect::<Vec<_>>()
        })
        .collect();
    if !about.complete {
        let planned = about
            .planned
            .map_or_else(String::new, |planned| format!(" of {planned}"));
        doubts.push(format!(
            "INCOMPLETE: {}{planned} runs were finished.",
            about.runs
        ));
    }
    let locks = || set.points.iter().flat_map(|at| &at.locks);
    let disturbed: usize = locks().map(|lock| lock.disturbed).sum();
    if disturbed > 0 {
        let all: usize = locks().map(|lock| lock.repeats).sum();
        doubts.push(format!(
            "DISTURBED: in {disturbed} of {all} runs other work took CPU time that the locks should have had. A \
             lock in strict order loses most by that."
        ));
    }
    doubts
}

fn crowded(set: &Set) -> Vec<&AtPoint> {
    let points = set.points.iter();
    points.filter(|at| at.point.overcommit() > 1.0).collect()
}

fn comparison(set: &Set) -> Option<Comparison> {
    match set.is_threads() {
        true => Comparison::with_the_best(&set.points.iter().collect::<Vec<_>>(), OURS_ON_THREADS),
        false => Comparison::with_the_best(&crowded(set), OURS),
    }
}

/// The largest figures of the page.
fn cards(set: &Set) -> Markup {
    let Some(told) = comparison(set) else {
        return html! {};
    };
    let middle = Spread::of(told.ratios.iter().copied()).median;
    let all = range(&told.ratios, times);
    let (ours, rival) = (&told.ours, &told.rival);
    let highest = set
        .points
        .iter()
        .filter(|at| at.lock(ours).is_some())
        .map(|at| at.point.overcommit())
        .max_by(f64::total_cmp);
    let reached: Vec<f64> = set
        .points
        .iter()
        .filter(|at| Some(at.point.overcommit()) == highest)
        .filter_map(|at| Some(at.lock(ours)?.over_bound.median))
        .collect();
    let waits = told.waiting().unwrap_or_else(|| "nobody waited".to_owned());
    html! {
        ul.cards {
            li {
                strong { (times(middle)) }
                " the throughput of " (rival) ", the best of the other locks"
                @if told.ratios.len() > 1 && all != times(middle) { " (" (all) ")" }
            }
            li {
                strong { (waits) }
                " is the longest wait with " (ours) ": " (time(told.our_wait_ns)) ", against "
                (time(told.their_wait_ns)) " with " (rival)
            }
            @if let Some(highest) = highest {
                li {
                    strong { (range(&reached, share)) }
                    " of what is possible: " (ours) " at " (count(highest)) " " (set.crowd())
                }
            }
        }
    }
}

fn words(set: &Set) -> Vec<String> {
    if !set.is_threads() {
        return sentences(&set.points).to_vec();
    }
    match comparison(set) {
        Some(told) => vec![told.to_string()],
        None => vec![format!(
            "{OURS_ON_THREADS} did not run beside any other crate's lock."
        )],
    }
}

/// Who is best at each point.
fn winners(sets: &[Set]) -> Grid {
    // Where there is only one setting, points differ in overcommit alone.
    let mut settings = sets.iter().flat_map(|set| {
        let first =
            |setting: &crate::sets::Setting<'_>| set.setting_words(&setting.points[0].point);
        set.settings().iter().map(first).collect::<Vec<_>>()
    });
    let only = settings
        .next()
        .filter(|first| settings.all(|other| other == *first));
    let column = |title: &str, hint, number| Column {
        title: title.to_owned(),
        hint,
        number,
    };
    let mut columns = vec![
        column("where", "the point", false),
        column("fastest", "the highest throughput", false),
        column(
            "times the next",
            "its throughput over that of the next",
            true,
        ),
        column(
            "of the bound",
            "its throughput over the most that any lock could do",
            true,
        ),
        column("its longest wait", "of all repeats", true),
        column(
            "shortest longest wait",
            "among the locks with at least half of the highest throughput",
            false,
        ),
        column("that wait", "of all repeats", true),
    ];
    if sets.len() > 1 {
        columns.insert(0, column("file", "which of the files", false));
    }
    let points = sets
        .iter()
        .flat_map(|set| set.points.iter().map(move |at| (set, at)));
    Grid {
        id: "winners",
        caption: match &only {
            Some(words) => format!("Who is best, point by point: {words}"),
            None => "Who is best, point by point".to_owned(),
        },
        columns,
        filters: Vec::new(),
        rows: points
            .filter_map(|(set, at)| winner(set, at, sets.len() > 1, only.is_none()))
            .collect(),
    }
}

fn winner(set: &Set, at: &AtPoint, labelled: bool, placed: bool) -> Option<Line> {
    let best = at.fastest(|_| true)?;
    let fastest = best.throughput_per_s.median;
    let next = at.fastest(|lock| lock.lock != best.lock);
    let ratio = next.map(|next| fastest / next.throughput_per_s.median);
    let patient = at
        .locks
        .iter()
        .filter(|lock| lock.throughput_per_s.median >= FAST * fastest)
        .min_by(|a, b| a.wait_max_ns.max.total_cmp(&b.wait_max_ns.max))?;
    let name = |lock: &Summary| Cell {
        text: lock.lock.clone(),
        value: None,
    };
    let figure = |value: f64, show: fn(f64) -> String| Cell {
        text: show(value),
        value: Some(value),
    };
    let mut place = format!("{} {}", count(at.point.overcommit()), set.crowd());
    if placed {
        place = format!("{}, {place}", set.setting_words(&at.point));
    }
    let mut cells = vec![
        Cell {
            text: place,
            value: None,
        },
        name(best),
        ratio.map_or_else(Cell::default, |ratio| figure(ratio, times)),
        figure(best.over_bound.median, share),
        figure(best.wait_max_ns.max, time),
        name(patient),
        figure(patient.wait_max_ns.max, time),
    ];
    if labelled {
        cells.insert(
            0,
            Cell {
                text: set.label.clone(),
                value: None,
            },
        );
    }
    Some(Line {
        lock: None,
        keys: Vec::new(),
        cells,
    })
}
