//! What belongs together on a page: the runs of one file, or of one part of a sweep's file.
//!
//! ```text
//!   Source ──┬── rows with the same facts ──> Set ──> points ──> settings (overcommit ascending)
//!            └── ...                      ──> Set
//! ```
//!
//! Two rows of a sweep may differ in what no [`Record`] says, such as the profile
//! of costs. They are no repeats of each other, so they go into sets of their own, named after the
//! difference.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::Record;
use crate::aggregate::{AtPoint, summarise};
use crate::figures::exact_time;
use crate::point::Point;
use crate::source::{About, Source};
use crate::table::PLAIN;
use crate::untrusted_row::FACTS;

/// Runs that may be compared with each other.
#[derive(Clone, Debug, PartialEq)]
pub struct Set {
    /// What it is called on the page.
    pub label: String,
    /// What is known of the file that it comes from.
    pub about: Arc<About>,
    /// What a sweep says of its points.
    pub(crate) facts: BTreeMap<&'static str, String>,
    /// What was measured.
    pub points: Vec<AtPoint>,
}

/// The points of one setting: they differ in overcommit only, which ascends.
pub(crate) struct Setting<'a> {
    pub(crate) points: Vec<&'a AtPoint>,
}

impl Set {
    /// The sets of some files, in their order.
    #[must_use]
    pub fn of(sources: Vec<Source>) -> Vec<Self> {
        let alone = sources.len() == 1;
        sources
            .into_iter()
            .flat_map(|source| parts(source, alone))
            .collect()
    }

    /// Whether its vCPUs are threads of a program.
    #[must_use]
    pub fn is_threads(&self) -> bool {
        self.about.driver == "threads"
    }

    pub(crate) fn settings(&self) -> Vec<Setting<'_>> {
        let mut settings: Vec<Setting<'_>> = Vec::new();
        for at in &self.points {
            let same = |setting: &&mut Setting<'_>| {
                let first = setting.points.first();
                first.is_some_and(|first| first.point.same_but_overcommit(&at.point))
            };
            match settings.iter_mut().find(same) {
                Some(setting) => setting.points.push(at),
                None => settings.push(Setting { points: vec![at] }),
            }
        }
        settings
    }

    /// What overcommit counts.
    pub(crate) fn crowd(&self) -> &'static str {
        match self.is_threads() {
            true => "threads for each CPU",
            false => "vCPUs for each pCPU",
        }
    }

    /// A point without its overcommit, in words.
    pub(crate) fn setting_words(&self, point: &Point) -> String {
        let workload = match point.workload.as_str() {
            PLAIN => String::new(),
            other => format!("{other}, "),
        };
        let host = host_words(point);
        let (host, cpus) = match self.is_threads() {
            true => (String::new(), "CPUs"),
            false => (format!(", {host}"), "pCPUs"),
        };
        format!(
            "{workload}inside {}, outside {} ({}), {} {cpus}{host}",
            exact_time(point.inside_ns),
            exact_time(point.outside_ns),
            point.distribution,
            point.pcpus,
        )
    }
}

/// The host of a point in words.
pub(crate) fn host_words(point: &Point) -> String {
    match point.slice_ns {
        0 => point.host_policy.clone(),
        slice => format!(
            "{}, slices of {}, yields: {}",
            point.host_policy,
            exact_time(slice),
            point.yield_mode
        ),
    }
}

fn parts(source: Source, alone: bool) -> Vec<Set> {
    let about = Arc::new(source.about);
    let mut groups: Vec<(BTreeMap<&'static str, String>, Vec<Record>)> = Vec::new();
    for row in source.rows {
        match groups.iter_mut().find(|(facts, _)| *facts == row.facts) {
            Some((_, records)) => records.push(row.record),
            None => groups.push((row.facts, vec![row.record])),
        }
    }
    let differ: Vec<&str> = FACTS
        .into_iter()
        .filter(|name| {
            groups
                .iter()
                .any(|(facts, _)| facts.get(name) != groups[0].0.get(name))
        })
        .collect();
    let label = |facts: &BTreeMap<&'static str, String>| {
        let words: Vec<String> = differ
            .iter()
            .filter_map(|name| match *name {
                "grid" | "profile" => facts.get(name).cloned(),
                _ => Some(format!("{name} {}", facts.get(name)?)),
            })
            .collect();
        match (words.is_empty(), alone) {
            (true, _) => source.label.clone(),
            (false, true) => words.join(", "),
            (false, false) => format!("{}: {}", source.label, words.join(", ")),
        }
    };
    groups
        .iter()
        .map(|(facts, records)| Set {
            label: label(facts),
            about: Arc::clone(&about),
            facts: facts.clone(),
            points: summarise(records),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::untrusted_row::Row;

    fn source(label: &str, rows: &[(&str, &str)]) -> Source {
        let rows = rows.iter().map(|(profile, ordered)| Row {
            facts: BTreeMap::from([
                ("profile", (*profile).to_owned()),
                ("ordered", (*ordered).to_owned()),
            ]),
            record: samples::record("fifo", 4, 100.0),
        });
        Source {
            label: label.to_owned(),
            about: About::default(),
            rows: rows.collect(),
        }
    }

    #[test]
    fn rows_that_only_a_sweep_tells_apart_are_no_repeats() {
        let sets = Set::of(vec![source(
            "s",
            &[("flat", "true"), ("small", "true"), ("flat", "true")],
        )]);
        let labels: Vec<&str> = sets.iter().map(|set| set.label.as_str()).collect();
        assert_eq!(labels, ["flat", "small"]);
        assert_eq!(sets[0].points[0].locks[0].repeats, 2);
        assert_eq!(sets[1].points[0].locks[0].repeats, 1);
    }

    #[test]
    fn what_is_the_same_everywhere_is_not_in_the_name() {
        let one = source("a", &[("flat", "true"), ("flat", "false")]);
        let two = source("b", &[("flat", "true")]);
        let sets = Set::of(vec![one, two]);
        let labels: Vec<&str> = sets.iter().map(|set| set.label.as_str()).collect();
        assert_eq!(labels, ["a: ordered true", "a: ordered false", "b"]);
    }

    #[test]
    fn a_setting_holds_its_overcommits() {
        let mut source = source("a", &[("flat", "true"); 4]);
        for (row, (vcpus, inside)) in
            source
                .rows
                .iter_mut()
                .zip([(8, 1_000), (2, 1_000), (4, 20_000), (4, 1_000)])
        {
            (row.record.vcpus, row.record.inside_ns) = (vcpus, inside);
        }
        let sets = Set::of(vec![source]);
        let settings = sets[0].settings();
        let vcpus: Vec<Vec<usize>> = settings
            .iter()
            .map(|setting| setting.points.iter().map(|at| at.point.vcpus).collect())
            .collect();
        assert_eq!(vcpus, [vec![2, 4, 8], vec![4]]);
        let words = sets[0].setting_words(&settings[0].points[0].point);
        assert_eq!(
            words,
            "inside 1 µs, outside 2 µs (uniform), 2 pCPUs, round-robin, slices of 3 ms, yields: contract"
        );
    }
}
