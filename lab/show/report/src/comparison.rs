//! One lock beside another, in numbers and in words.

use std::fmt;

use crate::aggregate::{AtPoint, Summary};
use crate::estimate::{Estimate, Verdict};
use crate::figures::{percent, range, time, times};
use crate::repeats::Evidence;
use crate::spread::Spread;

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
    /// Whether the longest waits leave out runs, which the tables count: those that were disturbed.
    waits_of_some: bool,
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
            waits_of_some: both().any(|lock| lock.disturbed > 0)
                && both().all(|lock| lock.quiet().next().is_some()),
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
    pub(crate) fn told(&self, about: &str) -> String {
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
             Its longest wait{} was {}, against {} with {rival}{waiting}.",
            self.reached(),
            self.speed(),
            if self.waits_of_some {
                " in undisturbed runs"
            } else {
                ""
            },
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
        v => format!("{} times", times(v).trim_end_matches('x')),
    }
}

/// The name of the lock with the best geometric mean of its throughput over these points. Only
/// locks that ran at all of them qualify.
pub(crate) fn best_overall(at: &[&AtPoint], which: impl Fn(&Summary) -> bool) -> Option<String> {
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
