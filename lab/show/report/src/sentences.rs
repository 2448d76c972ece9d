//! Two sentences in plain words that say what the tables show.
//!
//! Every word that takes a side is chosen by an interval of figures, never by a median alone: "as
//! fast", "faster", "slower", and where the interval allows more than one of these, "nothing can be
//! said". If our lock loses, the second sentence says so.

use crate::aggregate::{AtPoint, Summary};
use crate::comparison::{Comparison, best_overall};
use crate::figures::{count, percent, range};
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
    let mut kept = Vec::new();
    let mut unknown = String::new();
    for (fair, how) in [(false, "unfair"), (true, "in order")] {
        match kept_by_silent(&worst, alone.as_deref(), (fair, how), evidence) {
            Some(share) => kept.push(share),
            None if worst.iter().any(|at| silent(at, fair).next().is_some()) => {
                unknown = format!(" ({how}: nothing can be said)");
            }
            None => {}
        }
    }
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
        "With {crowd} vCPUs to a CPU, the best locks that tell the host nothing reach {} of {base}{unknown}.",
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
    let known = |lock: &Summary| {
        lock.is_judged(evidence)
            && (worst.iter()).all(|at| {
                at.lock(&lock.lock).is_none() || silent(at, fair).any(|one| one.lock == lock.lock)
            })
    };
    let best = best_overall(worst, known)?;
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

/// The rivals of a kind that made no hypercalls at a point.
fn silent(at: &AtPoint, fair: bool) -> impl Iterator<Item = &Summary> {
    (at.locks.iter())
        .filter(move |lock| !lock.is_ours() && lock.fair == fair && lock.hypercalls == 0)
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

#[cfg(test)]
mod tests;
