//! What changed between two sets of results: noise, or more.
//!
//! Two files were not measured beside each other, so their repeats do not pair up: each lock at each
//! point is compared by all repeats of both. There are many such comparisons, and with each holding
//! in 95 of 100 cases some would always be wrong. Here all of them together hold with 95 %: each is
//! asked for as much more as there are comparisons (Bonferroni). An exit status can depend on it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use crate::aggregate::{AtPoint, Summary};
use crate::estimate::{CONFIDENCE, Estimate, Evidence, Verdict};
use crate::figures::{count, counted, exact_time, times};
use crate::point::Point;
use crate::repeats::Figure;
use crate::sets::Set;
use crate::untrusted_row::FACTS;

/// One lock at one point in both.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The lock.
    pub lock: String,
    /// Where.
    pub point: Point,
    /// Throughput afterwards over throughput before; `None` if nothing can be said.
    pub throughput: Option<Estimate>,
    /// The same of the 99.99th percentile of waits.
    pub waits: Option<Estimate>,
    /// Repeats that may be judged, before and afterwards.
    pub repeats: (usize, usize),
}

/// What a throughput became.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// More than before.
    Faster,
    /// As much as before, within the margin.
    Same,
    /// Less than before.
    Slower,
    /// The difference may be noise.
    Noise,
    /// There are too few repeats.
    NotJudged,
}

impl Outcome {
    /// In words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Faster => "faster",
            Self::Same => "as fast",
            Self::Slower => "SLOWER",
            Self::Noise => "within noise",
            Self::NotJudged => "not judged",
        }
    }
}

/// All that two sets have in common, and what only one of them has.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Changes {
    /// Locks and points of both.
    pub both: Vec<Change>,
    /// Locks at points that were there before, and are no more.
    pub missing: Vec<(String, Point)>,
    /// Locks at points that were not there before.
    pub added: Vec<(String, Point)>,
    /// Differences below this share count as none.
    pub margin: f64,
    /// What the two were asked for differently: the option, before and afterwards.
    pub asked: Vec<(String, String, String)>,
}

impl Change {
    /// What became of its throughput. Differences below `margin` count as none.
    #[must_use]
    pub fn outcome(&self, margin: f64) -> Outcome {
        outcome(self.throughput.as_ref(), margin)
    }

    /// What became of its waits: `Slower` if they are longer.
    #[must_use]
    pub fn waiting(&self, margin: f64) -> Outcome {
        match outcome(self.waits.as_ref(), margin) {
            Outcome::Faster => Outcome::Slower,
            Outcome::Slower => Outcome::Faster,
            other => other,
        }
    }
}

fn outcome(estimate: Option<&Estimate>, margin: f64) -> Outcome {
    match estimate.map(|estimate| estimate.verdict_within(margin)) {
        None => Outcome::NotJudged,
        Some(Verdict::More) => Outcome::Faster,
        Some(Verdict::Less) => Outcome::Slower,
        Some(Verdict::Same) => Outcome::Same,
        Some(Verdict::Unclear) => Outcome::Noise,
    }
}

/// Compares the sets of two files, each with what it is called. Differences below the share `margin`
/// count as none.
#[must_use]
pub fn changes(before: &[Set], after: &[Set], margin: f64) -> Vec<(String, Changes)> {
    let matched = matched(before, after);
    let common: Vec<Vec<Common<'_>>> = matched
        .iter()
        .map(|(old, new)| common(*old, *new))
        .collect();
    // Throughput and waits of each: all hold together.
    let comparisons = (2 * common.iter().map(Vec::len).sum::<usize>()).max(1);
    let confidence = 1.0 - (1.0 - CONFIDENCE) / comparisons as f64;
    let sets = matched.into_iter().zip(common);
    sets.map(|((old, new), common)| {
        let labels = [old, new]
            .into_iter()
            .flatten()
            .map(|set| set.label.as_str());
        let simulated = |set: &Set| Evidence::of_driver(&set.about.driver) == Evidence::Simulated;
        let exact =
            [old, new].into_iter().flatten().all(simulated) && old.zip(new).is_none_or(same_seed);
        let changes = Changes {
            both: (common.iter().map(|both| change(*both, (confidence, exact)))).collect(),
            missing: only_in(old, new),
            added: only_in(new, old),
            margin,
            asked: asked(old, new),
        };
        let label = labels.max_by_key(|label| label.len());
        (label.unwrap_or_default().to_owned(), changes)
    })
    .collect()
}

/// A set of the file before, and the one of the file afterwards; or only one of the two.
type Matched<'a> = (Option<&'a Set>, Option<&'a Set>);

/// Which sets belong together: those of the same facts, of the facts that tell the sets of a file apart.
fn matched<'a>(before: &'a [Set], after: &'a [Set]) -> Vec<Matched<'a>> {
    if let ([old], [new]) = (before, after) {
        return vec![(Some(old), Some(new))];
    }
    let tells = |name: &&str| {
        let differ = |sets: &[Set]| {
            sets.windows(2)
                .any(|two| two[0].facts.get(name) != two[1].facts.get(name))
        };
        differ(before) || differ(after)
    };
    let tells: Vec<&str> = FACTS.into_iter().filter(tells).collect();
    let same = |a: &Set, b: &Set| {
        tells
            .iter()
            .all(|name| a.facts.get(name) == b.facts.get(name))
    };
    let of_before = before
        .iter()
        .map(|old| (Some(old), after.iter().find(|new| same(old, new))));
    let new_ones = after
        .iter()
        .filter(|new| !before.iter().any(|old| same(old, new)));
    of_before
        .chain(new_ones.map(|new| (None, Some(new))))
        .collect()
}

/// Whether both were simulated from one seed, as far as the files tell.
fn same_seed((old, new): (&Set, &Set)) -> bool {
    match (old.about.seed, new.about.seed) {
        (Some(old), Some(new)) => old == new,
        _ => true,
    }
}

/// The options that decide at which points and under which locks there are runs: those are matched.
const MATCHED: [&str; 5] = ["locks", "vcpus", "sections_ns", "repeats", "warmup_ns"];

/// What the files were asked for differently.
fn asked(before: Option<&Set>, after: Option<&Set>) -> Vec<(String, String, String)> {
    let (Some(before), Some(after)) = (before, after) else {
        return Vec::new();
    };
    let seed = |set: &Set| set.about.seed.map(Value::from);
    let options = before
        .about
        .options
        .keys()
        .chain(after.about.options.keys());
    let options: BTreeSet<&str> = (options.map(String::as_str))
        .filter(|name| !MATCHED.contains(name))
        .collect();
    let of = |set: &Set, name: &str| set.about.options.get(name).cloned();
    let both = options
        .into_iter()
        .map(|name| (name, of(before, name), of(after, name)))
        .chain([("seed", seed(before), seed(after))]);
    // A file that does not say is no other.
    both.filter_map(|(name, before, after)| Some((name, before?, after?)))
        .filter(|(_, before, after)| before != after)
        .map(|(name, before, after)| {
            let shown = |value: &Value| match (name.strip_suffix("_ns"), value) {
                (Some(_), Value::Number(ns)) => ns.as_u64().map_or(ns.to_string(), exact_time),
                (_, Value::String(text)) => text.clone(),
                (_, other) => other.to_string(),
            };
            let name_shown = name.trim_end_matches("_ns").replace('_', "-");
            (name_shown, shown(&before), shown(&after))
        })
        .collect()
}

/// A lock at a point, before and afterwards.
type Common<'a> = (&'a Point, &'a Summary, &'a Summary);

fn common<'a>(before: Option<&'a Set>, after: Option<&'a Set>) -> Vec<Common<'a>> {
    let pairs = points(before).iter().filter_map(|at| {
        let other = points(after).iter().find(|other| other.point == at.point)?;
        Some((at, other))
    });
    pairs
        .flat_map(|(at, other)| {
            let locks = at.locks.iter();
            locks.filter_map(move |lock| Some((&at.point, lock, other.lock(&lock.lock)?)))
        })
        .collect()
}

fn points(set: Option<&Set>) -> &[AtPoint] {
    set.map_or(&[], |set| &set.points)
}

fn change((point, old, new): Common<'_>, how: (f64, bool)) -> Change {
    let mut durations = old
        .quiet()
        .chain(new.quiet())
        .map(|repeat| repeat.duration_ns);
    let first = durations.next();
    let same = durations.all(|other| Some(other) == first);
    let how = (how.0, how.1 && same);
    let of = |figure: Figure| {
        let values = |lock: &Summary| -> Vec<f64> { lock.quiet().map(figure).collect() };
        ratio(&values(old), &values(new), how)
    };
    Change {
        lock: old.lock.clone(),
        point: point.clone(),
        throughput: of(|repeat| repeat.throughput_per_s),
        waits: of(|repeat| repeat.wait_p9999_ns.max(1.0)),
        repeats: (old.quiet().count(), new.quiet().count()),
    }
}

/// The locks at points of one set that the other does not have.
fn only_in(set: Option<&Set>, other: Option<&Set>) -> Vec<(String, Point)> {
    let lacks = |at: &AtPoint, lock: &Summary| {
        let there = points(other).iter().find(|other| other.point == at.point);
        there.and_then(|there| there.lock(&lock.lock)).is_none()
    };
    let all = (points(set).iter()).flat_map(|at| at.locks.iter().map(move |lock| (at, lock)));
    all.filter(|(at, lock)| lacks(at, lock))
        .map(|(at, lock)| (lock.lock.clone(), at.point.clone()))
        .collect()
}

/// The locks by name, each with the number of its points: "fifo at 2 points".
fn named(locks: &[(String, Point)]) -> String {
    let mut points: BTreeMap<&str, usize> = BTreeMap::new();
    for (lock, _) in locks {
        *points.entry(lock).or_default() += 1;
    }
    let told = points
        .iter()
        .map(|(lock, &points)| format!("{lock} at {}", counted(points, "point")));
    told.collect::<Vec<_>>().join(", ")
}

fn ratio(before: &[f64], after: &[f64], (confidence, exact): (f64, bool)) -> Option<Estimate> {
    match (exact, before, after) {
        // Of a simulation one run is exact; of another seed or length it is another simulation.
        (true, [before], [after]) => Estimate::of_ratios_by(&[after / before], Evidence::Simulated),
        _ => Estimate::of_change(before, after, confidence),
    }
}

impl Changes {
    /// How many throughputs came out so.
    #[must_use]
    pub fn count(&self, outcome: Outcome) -> usize {
        let same = |change: &&Change| change.outcome(self.margin) == outcome;
        self.both.iter().filter(same).count()
    }

    /// How many waits came out so.
    #[must_use]
    pub fn waits(&self, outcome: Outcome) -> usize {
        let same = |change: &&Change| change.waiting(self.margin) == outcome;
        self.both.iter().filter(same).count()
    }

    /// As text: what is not noise, one in a line, and a last line that counts.
    #[must_use]
    pub fn render(&self) -> String {
        let mut text = String::new();
        if self.both.is_empty() && !self.missing.is_empty() && !self.added.is_empty() {
            text += "These have no point in common: workload, host, CPUs, sections and slice must be \
                     the same.\n";
        }
        let told = |change: &&Change| {
            let outcomes = [change.outcome(self.margin), change.waiting(self.margin)];
            outcomes
                .iter()
                .any(|outcome| matches!(outcome, Outcome::Faster | Outcome::Slower))
        };
        for change in self.both.iter().filter(told) {
            let _ = writeln!(text, "{}", self.line(change));
        }
        let both = |outcome| (self.count(outcome), self.waits(outcome));
        let (faster, shorter) = both(Outcome::Faster);
        let (slower, longer) = both(Outcome::Slower);
        let (same, same_waits) = both(Outcome::Same);
        let (noise, noisy_waits) = both(Outcome::Noise);
        let (not_judged, waits_not_judged) = both(Outcome::NotJudged);
        let _ = writeln!(
            text,
            "throughput: {faster} faster, {slower} slower, {same} as fast, {noise} within noise, \
             {not_judged} not judged"
        );
        let _ = writeln!(
            text,
            "p99.99 wait: {shorter} shorter, {longer} longer, {same_waits} the same, {noisy_waits} \
             within noise, {waits_not_judged} not judged"
        );
        let asked: Vec<String> = (self.asked.iter())
            .map(|(name, before, after)| format!("{name} {before}, now {after}"))
            .collect();
        if !asked.is_empty() {
            let _ = writeln!(text, "asked for differently: {}", asked.join("; "));
        }
        for (when, locks) in [("before", &self.missing), ("afterwards", &self.added)] {
            if !locks.is_empty() {
                let _ = writeln!(text, "only {when}: {}", named(locks));
            }
        }
        text
    }

    fn line(&self, change: &Change) -> String {
        let shown = |estimate: &Option<Estimate>| match estimate {
            None => "not judged".to_owned(),
            Some(e) if e.low == e.high => times(e.middle),
            Some(e) => format!(
                "{} ({} to {})",
                times(e.middle),
                times(e.low),
                times(e.high)
            ),
        };
        let point = &change.point;
        let waits = match change.waiting(self.margin) {
            Outcome::Faster => "shorter",
            Outcome::Slower => "LONGER",
            Outcome::Same => "the same",
            other => other.words(),
        };
        format!(
            "{} at overcommit {}, {}/{}\n  throughput {}: {}; p99.99 wait {}: {waits}",
            change.lock,
            count(point.overcommit()),
            exact_time(point.inside_ns),
            exact_time(point.outside_ns),
            shown(&change.throughput),
            change.outcome(self.margin).words(),
            shown(&change.waits),
        )
    }
}

#[cfg(test)]
mod tests;
