//! What a table can ask of rows: axes to lay them out by, figures to show; and its lines.

use std::fmt::Write as _;

use pvqspin_report::figures::{count, exact_time, share, time};

use crate::point::Row;
use crate::words;

/// Something that tells rows apart.
pub(crate) type Axis = fn(&Row) -> String;

/// Adds a line of a Markdown table.
pub(crate) fn line(text: &mut String, cells: impl Iterator<Item = String>) {
    let cells: Vec<String> = cells.collect();
    let _ = writeln!(text, "| {} |", cells.join(" | "));
}

/// What rows can be laid out by.
const AXES: [(&str, Axis); 16] = [
    ("grid", |row| row.facts.grid.clone()),
    ("lock", |row| format!("`{}`", row.record.lock)),
    ("workload", |row| row.record.workload.clone()),
    ("scheduling", |row| row.record.host_policy.clone()),
    ("yields", |row| row.record.yield_mode.clone()),
    ("pcpus", |row| row.record.pcpus.to_string()),
    ("vcpus", |row| row.record.vcpus.to_string()),
    ("overcommit", |row| count(row.record.overcommit)),
    ("sections", sections),
    ("distribution", |row| row.record.distribution.clone()),
    ("slice", |row| exact_time(row.record.slice_ns)),
    ("follow_chain", |row| on_or_off(row.facts.follow_chain)),
    ("ordered", |row| on_or_off(row.facts.ordered)),
    ("vms", |row| row.facts.vms.to_string()),
    ("neighbour", |row| row.facts.neighbour_vcpus.to_string()),
    ("profile", |row| row.facts.profile.clone()),
];

fn sections(row: &Row) -> String {
    let (inside, outside) = (row.record.inside_ns, row.record.outside_ns);
    format!("{} / {}", exact_time(inside), exact_time(outside))
}

fn on_or_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}

/// Reads the name of an axis.
pub(crate) fn axis(text: &str) -> Result<(&'static str, Axis), String> {
    words::named("axis", text, AXES.map(|(name, axis)| (name, (name, axis))))
}

/// What distinguishes the points of different rows, apart from the lock and the seed.
pub(crate) fn place(row: &Row) -> Vec<String> {
    AXES.iter()
        .filter(|(name, _)| *name != "lock")
        .map(|(_, axis)| axis(row))
        .collect()
}

/// A figure over the repeats of a point, as text.
pub(crate) type Figure = fn(&[&Row]) -> String;

/// What cells can show.
const FIGURES: [(&str, Figure); 13] = [
    ("over_bound", |rows| {
        share(median(rows, |row| row.record.throughput_over_bound))
    }),
    ("throughput", |rows| {
        format!(
            "{}/s",
            count(median(rows, |row| row.record.throughput_per_s))
        )
    }),
    ("longest_wait", |rows| time(longest_wait(rows))),
    ("wait_p99", |rows| {
        time(median(rows, |row| row.record.wait_ns.p99 as f64))
    }),
    ("jain", |rows| share(median(rows, |row| row.record.jain))),
    ("calls", |rows| {
        share(median(rows, |row| row.record.hypercalls_per_acquisition))
    }),
    ("wasted", |rows| {
        share(median(rows, |row| row.record.wasted_share))
    }),
    ("lhp", |rows| {
        count(median(rows, |row| per_second(row.record.lhp, row)))
    }),
    ("lwp", |rows| {
        count(median(rows, |row| per_second(row.record.lwp, row)))
    }),
    ("neighbour", |rows| {
        share(median(rows, |row| row.record.neighbour.unwrap_or(0.0)))
    }),
    ("chains", |rows| {
        count(median(rows, |row| per_second(row.facts.chains, row)))
    }),
    ("hops", |rows| {
        share(median(rows, |row| {
            row.facts.chain_hops as f64 / (row.facts.chains as f64).max(1.0)
        }))
    }),
    ("longest_chain", |rows| {
        let longest = rows.iter().map(|row| row.facts.longest_chain).max();
        longest.unwrap_or(0).to_string()
    }),
];

/// Reads the name of a figure.
pub(crate) fn figure(text: &str) -> Result<(&'static str, Figure), String> {
    words::named(
        "figure",
        text,
        FIGURES.map(|(name, figure)| (name, (name, figure))),
    )
}

/// The longest wait of all repeats, in ns: a promise about it is broken by one.
pub(crate) fn longest_wait(rows: &[&Row]) -> f64 {
    let longest = rows.iter().map(|row| row.record.wait_ns.max).max();
    longest.unwrap_or(0) as f64
}

/// The median of a figure over the repeats of a point.
pub(crate) fn median(rows: &[&Row], figure: impl Fn(&Row) -> f64) -> f64 {
    pvqspin_report::Spread::of(rows.iter().map(|row| figure(row))).median
}

fn per_second(events: u64, row: &Row) -> f64 {
    events as f64 * 1e9 / (row.record.duration_ns as f64).max(1.0)
}
