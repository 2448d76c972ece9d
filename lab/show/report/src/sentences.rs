//! Two sentences in plain words that say what the tables show.
//!
//! Every word that takes a side is chosen by an interval of figures, never by a median alone: "as
//! fast", "faster", "slower", and where the interval allows more than one of these, "nothing can be
//! said". If our lock loses, the second sentence says so.

use std::fmt;

use crate::aggregate::{AtPoint, Summary};
use crate::estimate::{Estimate, Verdict};
use crate::figures::{count, percent, range, time};
use crate::repeats::Evidence;
use crate::spread::Spread;

/// The policy that the project stands for.
pub const OURS: &str = "fifo";

/// What overcommit does to locks that tell the host nothing, and what telling it does.
#[must_use]
pub fn sentences(points: &[AtPoint], evidence: Evidence) -> [String; 2] {
    let crowded: Vec<&AtPoint> = points
        .iter()
        .filter(|at| at.point.overcommit() > 1.0)
        .collect();
    [
        problem(points, &crowded, evidence),
        answer(&crowded, evidence),
    ]
}

fn problem(points: &[AtPoint], crowded: &[&AtPoint], evidence: Evidence) -> String {
    let Some(highest) = crowded
        .iter()
        .map(|at| at.point.overcommit())
        .max_by(f64::total_cmp)
    else {
        return without_overcommit(points, evidence);
    };
    let worst: Vec<&AtPoint> = crowded
        .iter()
        .copied()
        .filter(|at| at.point.overcommit() == highest)
        .collect();
    let crowd = count(highest);
    if !worst.iter().any(|at| judged(at, evidence).next().is_some()) {
        return format!(
            "Nothing can be said of {crowd} vCPUs to a CPU: {}.",
            too_little(&worst)
        );
    }
    let alone: Option<Vec<f64>> = worst.iter().map(|at| uncrowded_best(points, at)).collect();
    let kept: Vec<String> = [(false, "unfair"), (true, "in order")]
        .into_iter()
        .filter_map(|(fair, how)| kept_by_silent(&worst, alone.as_deref(), (fair, how), evidence))
        .collect();
    let base = match alone {
        Some(_) => "the best lock's throughput without overcommit",
        None => "what is possible",
    };
    if kept.is_empty() {
        let locks = worst.iter().flat_map(|at| judged(at, evidence));
        let range = Spread::of(locks.map(|lock| lock.over_bound.median));
        return format!(
            "With {crowd} vCPUs to a CPU, the locks reach from {} to {} of what is possible.",
            percent(range.min),
            percent(range.max)
        );
    }
    format!(
        "With {crowd} vCPUs to a CPU, the best locks that tell the host nothing reach {} of {base}.",
        kept.join(" and ")
    )
}

/// The locks of a point of which something can be said.
fn judged(at: &AtPoint, evidence: Evidence) -> impl Iterator<Item = &Summary> {
    at.locks.iter().filter(move |lock| lock.is_judged(evidence))
}

/// Why nothing can be said of these points.
fn too_little(points: &[&AtPoint]) -> String {
    let locks = || points.iter().flat_map(|at| &at.locks);
    let all: usize = locks().map(|lock| lock.repeats).sum();
    match locks().map(|lock| lock.disturbed).sum::<usize>() {
        0 => "that takes three repeats at least".to_owned(),
        disturbed => format!(
            "that takes three undisturbed repeats at least, and other work disturbed {disturbed} of \
             {all} runs"
        ),
    }
}

fn without_overcommit(points: &[AtPoint], evidence: Evidence) -> String {
    let Some(first) = points.first() else {
        return "Nothing was measured.".to_owned();
    };
    let no_wait = "Every vCPU had a CPU of its own here, so this run says nothing about overcommit";
    match first.fastest(|lock| lock.is_judged(evidence)) {
        Some(best) => format!(
            "{no_wait}; the highest throughput was {}'s, {} of what is possible.",
            best.lock,
            percent(best.over_bound.median)
        ),
        None => format!("{no_wait}."),
    }
}

/// What the best lock of a kind that makes no hypercalls still reaches: a share of the best
/// throughput without overcommit, or of the bound where that was not measured.
fn kept_by_silent(
    worst: &[&AtPoint],
    alone: Option<&[f64]>,
    (fair, how): (bool, &str),
    evidence: Evidence,
) -> Option<String> {
    let silent = |lock: &Summary| {
        !lock.is_ours()
            && lock.fair == fair
            && lock.is_judged(evidence)
            && worst.iter().all(|at| is_silent(at, &lock.lock))
    };
    let best = best_overall(worst, silent)?;
    let locks: Vec<&Summary> = worst.iter().filter_map(|at| at.lock(&best)).collect();
    let shares: Vec<f64> = match alone {
        Some(alone) => locks
            .iter()
            .zip(alone)
            .map(|(lock, alone)| lock.throughput_per_s.median / alone)
            .collect(),
        None => locks.iter().map(|lock| lock.over_bound.median).collect(),
    };
    let reached = range(&shares, percent);
    Some(format!("{reached} ({how}: {best})"))
}

fn is_silent(at: &AtPoint, name: &str) -> bool {
    at.lock(name).is_none_or(|lock| lock.hypercalls == 0)
}

/// The best throughput of any lock in the same setting with a CPU for every vCPU.
pub(crate) fn uncrowded_best(points: &[AtPoint], like: &AtPoint) -> Option<f64> {
    uncrowded(points, like)
        .map(|best| best.throughput_per_s.median)
        .filter(|best| *best > 0.0)
}

/// The lock that has it.
pub(crate) fn uncrowded<'a>(points: &'a [AtPoint], like: &AtPoint) -> Option<&'a Summary> {
    points
        .iter()
        .find(|at| at.point.overcommit() == 1.0 && at.point.same_but_overcommit(&like.point))
        .and_then(|at| at.fastest(|_| true))
}

fn answer(crowded: &[&AtPoint], evidence: Evidence) -> String {
    let met: Vec<&AtPoint> = crowded
        .iter()
        .copied()
        .filter(|at| at.lock(OURS).is_some())
        .collect();
    if met.is_empty() {
        return if crowded.is_empty() {
            "Ask for an overcommit above 1 to see what a lock gains by telling the host which vCPU to run."
                .to_owned()
        } else {
            format!(
                "Our default policy, {OURS}, was not among the locks that ran under overcommit."
            )
        };
    }
    match Comparison::with_the_best(&met, OURS, evidence) {
        Some(comparison) => comparison.told("which tells the host which vCPU to run"),
        None => {
            let reached: Vec<f64> = met
                .iter()
                .filter_map(|at| at.lock(OURS))
                .map(|ours| ours.over_bound.median)
                .collect();
            format!(
                "{OURS} reached {} of what is possible; no other lock ran beside it.",
                range(&reached, percent)
            )
        }
    }
}

/// How `ours` compares with the best of the locks that are not ours, over all of these points where
/// it ran; `None` if it ran nowhere, or alone.
///
/// ```text
/// bounded reached 97 % to 102 % of the throughput of std, the fastest of the others: as fast. Its
/// longest wait was 1.2 ms, against 40 ms with std: 33 times shorter.
/// ```
#[must_use]
pub fn against_the_best(points: &[AtPoint], ours: &str, evidence: Evidence) -> Option<String> {
    let points: Vec<&AtPoint> = points.iter().collect();
    Comparison::with_the_best(&points, ours, evidence).map(|comparison| comparison.to_string())
}

/// One of our locks beside another, over the points at which both ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Ours.
    pub ours: String,
    /// The other.
    pub rival: String,
    /// Our median throughput over the other's at each point.
    pub ratios: Vec<f64>,
    /// The same ratio repeat by repeat, with the interval that holds it; `None` at points where
    /// nothing can be said.
    pub speeds: Vec<Option<Estimate>>,
    /// Our longest wait at any point, in ns.
    pub our_wait_ns: f64,
    /// The other's, in ns.
    pub their_wait_ns: f64,
    /// The other's longest wait over ours, repeat by repeat, if anything can be said of it.
    pub waits: Option<Estimate>,
    /// Runs of both that other work disturbed, and all.
    disturbed: (usize, usize),
}

impl Comparison {
    /// With the best of the locks that are not ours, over all of these points where `ours` ran;
    /// `None` if it ran nowhere, or alone.
    #[must_use]
    pub fn with_the_best(points: &[&AtPoint], ours: &str, evidence: Evidence) -> Option<Self> {
        let met: Vec<&AtPoint> = points
            .iter()
            .copied()
            .filter(|at| at.lock(ours).is_some())
            .collect();
        let rival = best_overall(&met, |lock| !lock.is_ours())?;
        Some(Self::of(&met, ours, &rival, evidence))
    }

    fn of(met: &[&AtPoint], ours: &str, rival: &str, evidence: Evidence) -> Self {
        let pairs: Vec<(&Summary, &Summary)> = met
            .iter()
            .filter_map(|at| Some((at.lock(ours)?, at.lock(rival)?)))
            .collect();
        let both = || pairs.iter().flat_map(|(ours, rival)| [*ours, *rival]);
        Self {
            ours: ours.to_owned(),
            rival: rival.to_owned(),
            ratios: pairs
                .iter()
                .map(|(ours, rival)| ours.throughput_per_s.median / rival.throughput_per_s.median)
                .filter(|ratio| ratio.is_finite())
                .collect(),
            speeds: pairs
                .iter()
                .map(|(ours, rival)| ours.ratio_to(rival, |r| r.throughput_per_s, evidence))
                .collect(),
            our_wait_ns: longest_wait(pairs.iter().map(|pair| pair.0)),
            their_wait_ns: longest_wait(pairs.iter().map(|pair| pair.1)),
            waits: waits(&pairs, evidence),
            disturbed: (
                both().map(|lock| lock.disturbed).sum(),
                both().map(|lock| lock.repeats).sum(),
            ),
        }
    }

    /// How our throughput compares, in a word or a few.
    #[must_use]
    pub fn speed(&self) -> String {
        let verdict = |speed: &Option<Estimate>| speed.as_ref().map(Estimate::verdict);
        let how_many = |which: Verdict| {
            let those = self.speeds.iter().map(verdict);
            those.filter(|verdict| *verdict == Some(which)).count()
        };
        let all = self.speeds.len();
        let told: Vec<(usize, &str)> = [
            (how_many(Verdict::More), "faster"),
            (how_many(Verdict::Same), "as fast"),
            (how_many(Verdict::Less), "slower"),
        ]
        .into_iter()
        .filter(|(n, _)| *n > 0)
        .collect();
        let unclear = all - told.iter().map(|(n, _)| n).sum::<usize>();
        match told.as_slice() {
            [] => "nothing can be said".to_owned(),
            [(_, word)] if unclear == 0 => (*word).to_owned(),
            told => {
                let mut words: Vec<String> = told
                    .iter()
                    .map(|(n, word)| format!("{word} in {n}"))
                    .collect();
                if unclear > 0 {
                    words.push(format!("nothing can be said of {unclear}"));
                }
                format!("{} of {all} settings", words.join(", "))
            }
        }
    }

    /// Our throughput over the other's: medians, and of a single setting the interval.
    fn reached(&self) -> String {
        let medians = range(&self.ratios, percent);
        match self.speeds.as_slice() {
            [Some(one)] if one.low < one.high => {
                let (middle, low, high) = (one.middle, one.low, one.high);
                format!("{} ({})", percent(middle), range(&[low, high], percent))
            }
            _ => medians,
        }
    }

    /// By how much our longest wait is shorter or longer, such as `33 times shorter`; `None` if
    /// there was no wait at all.
    #[must_use]
    pub fn waiting(&self) -> Option<String> {
        let (ours, theirs) = (self.our_wait_ns, self.their_wait_ns);
        if ours <= 0.0 || theirs <= 0.0 {
            return None;
        }
        Some(match self.waits.as_ref().map(Estimate::verdict) {
            Some(Verdict::More) if theirs > ours => format!("{} shorter", factor(theirs / ours)),
            Some(Verdict::Less) if ours > theirs => format!("{} longer", factor(ours / theirs)),
            Some(Verdict::Same) => "about the same".to_owned(),
            _ => "nothing can be said of the difference".to_owned(),
        })
    }

    /// The comparison in one or two sentences; `about` says what our lock does.
    fn told(&self, about: &str) -> String {
        let (ours, rival) = (&self.ours, &self.rival);
        let about = match about {
            "" => String::new(),
            about => format!(", {about},"),
        };
        let why = match self.disturbed {
            (disturbed, all) if disturbed > 0 && self.speeds.iter().any(Option::is_none) => {
                format!(" (other work disturbed {disturbed} of {all} runs)")
            }
            _ if self.speeds.iter().all(Option::is_none) => {
                " (that takes three repeats at least)".to_owned()
            }
            _ => String::new(),
        };
        let waiting = self
            .waiting()
            .map_or_else(String::new, |waiting| format!(": {waiting}"));
        format!(
            "{ours}{about} reached {} of the throughput of {rival}, the fastest of the others: {}{why}. \
             Its longest wait was {}, against {} with {rival}{waiting}.",
            self.reached(),
            self.speed(),
            time(self.our_wait_ns),
            time(self.their_wait_ns),
        )
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.told(""))
    }
}

/// The longest wait of these, in ns: of the repeats that may be judged, or of all if there is none.
fn longest_wait<'a>(locks: impl Iterator<Item = &'a Summary>) -> f64 {
    Spread::of(locks.map(Summary::longest_wait_ns)).max
}

/// The other's longest wait at any of the points over ours, repeat by repeat.
fn waits(pairs: &[(&Summary, &Summary)], evidence: Evidence) -> Option<Estimate> {
    // One number for each repeat in which every run of both may be judged.
    let first = pairs.first()?.0;
    let ratio = |number: u32| -> Option<f64> {
        let longest = |which: &dyn Fn(&(&Summary, &Summary)) -> Option<f64>| {
            let waits: Option<Vec<f64>> = pairs.iter().map(which).collect();
            waits.map(|waits| Spread::of(waits).max)
        };
        let of = |lock: &Summary| {
            let mut quiet = lock.quiet().filter(|repeat| repeat.number == number);
            quiet.next().map(|repeat| repeat.wait_max_ns)
        };
        let (ours, theirs) = (longest(&|pair| of(pair.0))?, longest(&|pair| of(pair.1))?);
        (ours > 0.0 && theirs > 0.0).then_some(theirs / ours)
    };
    let ratios: Vec<f64> = first
        .each
        .iter()
        .filter_map(|repeat| ratio(repeat.number))
        .collect();
    Estimate::of_ratios_by(&ratios, evidence)
}

fn factor(value: f64) -> String {
    match value {
        v if v < 9.95 => format!("{v:.1} times"),
        v => format!("{} times", count(v)),
    }
}

/// The name of the lock with the best geometric mean of its throughput over these points. Only
/// locks that ran at all of them qualify.
fn best_overall(at: &[&AtPoint], which: impl Fn(&Summary) -> bool) -> Option<String> {
    let mean_log = |name: &str| -> Option<f64> {
        at.iter()
            .map(|at| {
                let throughput = at.lock(name)?.throughput_per_s.median;
                // A lock that did nothing at all must lose, not be undefined.
                Some(throughput.max(1e-9).ln())
            })
            .sum()
    };
    at.first()?
        .locks
        .iter()
        .filter(|lock| which(lock))
        .filter_map(|lock| Some((mean_log(&lock.lock)?, lock.lock.clone())))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::summarise;
    use crate::samples;
    use crate::schema::{Hypercalls, Record};

    fn record(lock: &str, vcpus: usize, throughput: f64, longest_ns: u64) -> Record {
        let mut record = samples::record(lock, vcpus, throughput);
        record.wait_ns.max = longest_ns;
        if ["test-and-set", "native-queued"].contains(&lock) {
            record.hypercalls = Hypercalls::default();
        }
        record
    }

    /// Every record in three repeats that differ by a per cent.
    fn repeated(records: &[Record]) -> Vec<AtPoint> {
        let all = [(0, 0.99), (1, 1.0), (2, 1.01)]
            .into_iter()
            .flat_map(|(repeat, factor)| {
                records.iter().map(move |record| Record {
                    repeat,
                    throughput_per_s: record.throughput_per_s * factor,
                    ..record.clone()
                })
            });
        summarise(&all.collect::<Vec<_>>())
    }

    fn told(records: &[Record]) -> [String; 2] {
        sentences(&repeated(records), Evidence::Measured)
    }

    fn world(ours: f64, our_wait: u64) -> Vec<Record> {
        vec![
            record("test-and-set", 2, 600_000.0, 90_000),
            record("test-and-set", 8, 180_000.0, 132_000_000),
            record("native-queued", 2, 590_000.0, 9_000),
            record("native-queued", 8, 1_200.0, 9_000_000),
            record("unfair-hinted", 2, 600_000.0, 80_000),
            record("unfair-hinted", 8, 560_000.0, 30_000_000),
            record("fifo", 2, 600_000.0, 8_000),
            record("fifo", 8, ours, our_wait),
        ]
    }

    #[test]
    fn a_win_is_told() {
        let [problem, answer] = told(&world(570_000.0, 22_000));
        assert_eq!(
            problem,
            "With 4 vCPUs to a CPU, the best locks that tell the host nothing reach 30 % (unfair: \
             test-and-set) and 0.2 % (in order: native-queued) of the best lock's throughput \
             without overcommit."
        );
        assert_eq!(
            answer,
            "fifo, which tells the host which vCPU to run, reached 102 % of the throughput of \
             unfair-hinted, the fastest of the others: as fast. Its longest wait was 22 µs, against \
             30 ms with unfair-hinted: 1 364 times shorter."
        );
    }

    #[test]
    fn a_defeat_is_told_as_plainly() {
        let [_, answer] = told(&world(280_000.0, 60_000_000));
        assert!(
            answer.contains(
                "reached 50 % of the throughput of unfair-hinted, the fastest of the others: slower"
            ),
            "{answer}"
        );
        assert!(
            answer.contains("60 ms, against 30 ms with unfair-hinted: 2.0 times longer"),
            "{answer}"
        );
    }

    #[test]
    fn a_mixed_result_is_not_made_a_win() {
        let mut records = world(570_000.0, 22_000);
        records.push(record("unfair-hinted", 16, 500_000.0, 1_000_000));
        records.push(record("fifo", 16, 100_000.0, 22_000));
        let [_, answer] = told(&records);
        assert!(
            answer.contains("as fast in 1, slower in 1 of 2 settings"),
            "{answer}"
        );
    }

    #[test]
    fn what_did_not_run_is_not_talked_about() {
        let [problem, answer] = told(&[]);
        assert_eq!(problem, "Nothing was measured.");
        assert!(answer.contains("Ask for an overcommit above 1"));

        let alone = [record("fifo", 8, 500_000.0, 10_000)];
        let [problem, answer] = told(&alone);
        assert!(problem.contains("the locks reach from"), "{problem}");
        assert!(answer.contains("no other lock ran beside it"), "{answer}");

        let without_us = [record("test-and-set", 8, 500_000.0, 10_000)];
        let [_, answer] = told(&without_us);
        assert!(answer.contains("fifo, was not among the locks"), "{answer}");
    }

    #[test]
    fn noise_is_no_verdict() {
        let noisy: Vec<Record> = [(0, 0.04), (1, 0.54), (2, 1.6)]
            .into_iter()
            .flat_map(|(repeat, factor)| {
                let numbered = move |mut record: Record| {
                    if record.lock == "fifo" {
                        record.throughput_per_s *= factor;
                        record.wait_ns.max = (record.wait_ns.max as f64 / factor / factor) as u64;
                    }
                    Record { repeat, ..record }
                };
                world(570_000.0, 22_000_000).into_iter().map(numbered)
            })
            .collect();
        let [_, answer] = sentences(&summarise(&noisy), Evidence::Measured);
        assert!(
            answer.contains("others: nothing can be said. Its"),
            "{answer}"
        );
        assert!(
            answer.ends_with("nothing can be said of the difference."),
            "{answer}"
        );
    }

    #[test]
    fn disturbed_repeats_and_single_ones_say_nothing() {
        let mut records = world(280_000.0, 60_000_000);
        let [problem, answer] = sentences(&summarise(&records), Evidence::Measured);
        assert!(
            problem.contains("Nothing can be said of 4 vCPUs to a CPU"),
            "{problem}"
        );
        assert!(answer.contains("three repeats at least"), "{answer}");
        let [_, answer] = sentences(&summarise(&records), Evidence::Simulated);
        assert!(answer.contains("slower"), "{answer}");
        for record in &mut records {
            record.interrupted_ns = Some(record.duration_ns);
        }
        let [problem, answer] = told(&records);
        assert!(problem.contains("disturbed 12 of 12 runs"), "{problem}");
        assert!(
            answer.contains("nothing can be said (other work disturbed 6 of 6 runs)"),
            "{answer}"
        );
    }
}
