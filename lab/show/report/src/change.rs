//! What changed between two sets of results: noise, or more.
//!
//! Two files were not measured beside each other, so their repeats do not pair up: each lock at each
//! point is compared by all repeats of both. There are many such comparisons, and with each holding
//! in 95 of 100 cases some would always be wrong. Here all of them together hold with 95 %: each is
//! asked for as much more as there are comparisons (Bonferroni). An exit status can depend on it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::aggregate::{AtPoint, Summary};
use crate::estimate::{CONFIDENCE, Estimate, Evidence, Verdict};
use crate::figures::{count, counted, exact_time, times};
use crate::point::Point;
use crate::repeats::Figure;
use crate::sets::Set;

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

/// Compares two sets. Differences below the share `margin` count as none.
#[must_use]
pub fn changes(before: &Set, after: &Set, margin: f64) -> Changes {
    let pairs: Vec<(&AtPoint, &Summary, &Summary)> = before
        .points
        .iter()
        .filter_map(|at| {
            Some((
                at,
                after.points.iter().find(|other| other.point == at.point)?,
            ))
        })
        .flat_map(|(at, other)| {
            at.locks
                .iter()
                .filter_map(move |lock| Some((at, lock, other.lock(&lock.lock)?)))
        })
        .collect();
    // Throughput and waits of each.
    let comparisons = (2 * pairs.len()).max(1);
    let confidence = 1.0 - (1.0 - CONFIDENCE) / comparisons as f64;
    let evidence = |set: &Set| Evidence::of_driver(&set.about.driver);
    let exact = [before, after].map(evidence) == [Evidence::Simulated; 2];
    let change = |(at, old, new): &(&AtPoint, &Summary, &Summary)| {
        let of = |figure: Figure| {
            let values = |lock: &Summary| -> Vec<f64> { lock.quiet().map(figure).collect() };
            ratio(&values(old), &values(new), (confidence, exact))
        };
        Change {
            lock: old.lock.clone(),
            point: at.point.clone(),
            throughput: of(|repeat| repeat.throughput_per_s),
            waits: of(|repeat| repeat.wait_p9999_ns.max(1.0)),
            repeats: (old.quiet().count(), new.quiet().count()),
        }
    };
    Changes {
        both: pairs.iter().map(change).collect(),
        missing: only_in(before, after),
        added: only_in(after, before),
        margin,
    }
}

/// The locks at points of one set that the other does not have.
fn only_in(set: &Set, other: &Set) -> Vec<(String, Point)> {
    let lacks = |at: &AtPoint, lock: &Summary| {
        let there = other.points.iter().find(|other| other.point == at.point);
        there.and_then(|there| there.lock(&lock.lock)).is_none()
    };
    let all = (set.points.iter()).flat_map(|at| at.locks.iter().map(move |lock| (at, lock)));
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
        // Of a simulation one run is exact.
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
        if self.both.is_empty() {
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
mod tests {
    use super::*;
    use crate::estimate::LEVEL;
    use crate::load::Source;
    use crate::samples;
    use crate::schema::Record;

    /// Two locks at two points, with so much noise and a factor of `fifo`'s throughput.
    fn set(seed: u64, repeats: u32, (noise, factor): (f64, f64)) -> Set {
        let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 11) as f64 / (1_u64 << 53) as f64 - 0.5
        };
        let mut report = samples::report();
        report.results.clear();
        for repeat in 0..repeats {
            for vcpus in [2, 8] {
                for lock in ["fifo", "test-and-set"] {
                    let factor = if lock == "fifo" { factor } else { 1.0 };
                    let mut record: Record = samples::record(lock, vcpus, 500_000.0);
                    record.repeat = repeat;
                    record.throughput_per_s *= factor * (1.0 + noise * random());
                    record.wait_ns.p9999 = (20_000.0 * (1.0 + noise * random())) as u64;
                    report.results.push(record);
                }
            }
        }
        let source = Source::of_report(&report, "set").expect("our own");
        Set::of(vec![source]).remove(0)
    }

    #[test]
    fn the_same_program_twice_is_noise() {
        let wrong = (0..200)
            .filter(|seed| {
                let noise = (0.3, 1.0);
                let (before, after) = (set(2 * seed, 3, noise), set(2 * seed + 1, 3, noise));
                let changes = changes(&before, &after, LEVEL);
                let differences = changes.count(Outcome::Faster) + changes.count(Outcome::Slower);
                differences + changes.waits(Outcome::Slower) > 0
            })
            .count();
        assert!(
            wrong <= 10,
            "{wrong} of 200 comparisons of the same found a change"
        );
    }

    #[test]
    fn a_slower_lock_is_found_and_named() {
        let before = set(1, 5, (0.02, 1.0));
        let after = set(2, 5, (0.02, 0.7));
        let changes = changes(&before, &after, LEVEL);
        assert_eq!(changes.count(Outcome::Slower), 2, "{changes:#?}");
        assert_eq!(changes.count(Outcome::Faster), 0);
        let text = changes.render();
        assert!(text.contains("fifo at overcommit 4, 1 µs/2 µs"), "{text}");
        assert!(text.contains("0 faster, 2 slower"), "{text}");
        assert!(!text.contains("test-and-set at"), "{text}");
    }

    #[test]
    fn few_repeats_and_other_points_are_not_judged() {
        let before = set(1, 2, (0.02, 1.0));
        let mut after = set(2, 2, (0.02, 0.5));
        let changes_of_two = changes(&before, &after, LEVEL);
        assert_eq!(changes_of_two.count(Outcome::NotJudged), 4);
        after.points.remove(0);
        let fewer = changes(&before, &after, LEVEL);
        assert_eq!((fewer.both.len(), fewer.missing.len()), (2, 2));
        let only = "only before: fifo at 1 point, test-and-set at 1 point";
        assert!(fewer.render().contains(only), "{}", fewer.render());
        let more = changes(&after, &before, LEVEL);
        assert_eq!((more.missing.len(), more.added.len()), (0, 2));
        assert!(
            more.render().contains("only afterwards: fifo"),
            "{}",
            more.render()
        );
        after.points.clear();
        let none = changes(&before, &after, LEVEL);
        assert!(none.render().contains("no point in common"));
    }

    #[test]
    fn simulations_are_exact() {
        let mut before = set(1, 1, (0.0, 1.0));
        let mut after = set(1, 1, (0.0, 0.9));
        for set in [&mut before, &mut after] {
            let mut about = (*set.about).clone();
            about.driver = "simulator".to_owned();
            set.about = std::sync::Arc::new(about);
        }
        let changes = changes(&before, &after, LEVEL);
        assert_eq!(changes.count(Outcome::Slower), 2);
        assert_eq!(changes.count(Outcome::Same), 2);
    }
}
