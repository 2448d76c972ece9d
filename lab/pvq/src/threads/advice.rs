//! What to use where, in plain words, from the figures of one run on ordinary threads.
//!
//! What takes a side is computed. What no figure of this run can show (a waiter that sleeps leaves
//! its CPU to the rest of the program) is said as what it is.

use pvqspin_report::Spread;
use pvqspin_report::aggregate::AtPoint;
use pvqspin_report::figures::{percent, range, time};
use pvqspin_report::repeats::Evidence;
use pvqspin_report::sentences::against_the_best;
use pvqspin_report::table::THREADS_REFERENCE;
use pvqspin_user_space::threads::CATALOG;
use pvqspin_user_space::threads::catalog::{Entry, Waits};

/// The policy that is the default on threads.
const OURS: &str = "bounded";

/// The paragraph under the tables.
pub(crate) fn advice(points: &[AtPoint]) -> String {
    let crowded: Vec<&AtPoint> = points
        .iter()
        .filter(|at| at.point.overcommit() > 1.0)
        .collect();
    let mut sentences = vec![
        "A spinlock is not expected to win here: no hypervisor tells it which vCPU was preempted, or \
         runs the one that it names."
            .to_owned(),
    ];
    sentences.extend(against_the_best(points, OURS, Evidence::Measured));
    sentences.extend(in_order(&crowded));
    sentences.extend(spinning(&crowded));
    sentences.push(format!(
        "In an ordinary program use std or parking-lot: their waiters sleep, and leave the CPU to \
         work that this run does not have{}.",
        reached(points, THREADS_REFERENCE)
    ));
    sentences.extend(use_of_ours(points));
    sentences.join("\n") + "\n"
}

/// Where ours is worth its price, if this run shows anything of the kind.
fn use_of_ours(points: &[AtPoint]) -> Option<String> {
    let points: Vec<&AtPoint> = points.iter().collect();
    let ours = longest_ns(&points, OURS)?;
    let sleepers = [THREADS_REFERENCE, "parking-lot"];
    let theirs = Spread::of(sleepers.iter().filter_map(|name| longest_ns(&points, name))).min;
    Some(if ours < 0.8 * theirs {
        format!(
            "Use {OURS} only where sections are short and no thread may be left waiting for long ({} \
             here, against {}): its waiters stay awake. Where holds are long and order matters: \
             fifo-halt.",
            time(ours),
            time(theirs),
        )
    } else {
        format!(
            "This run shows no reason to use {OURS} on threads: its longest wait was {}.",
            time(ours)
        )
    })
}

/// What strict order costs where threads outnumber CPUs.
fn in_order(crowded: &[&AtPoint]) -> Option<String> {
    let best = best(crowded, |entry| entry.fair)?;
    let fastest = best_shares(crowded, |_| true);
    let waits = time(longest_ns(crowded, best.name)?);
    Some(format!(
        "Strict order has a price, a switch for each hand-over: with more threads than CPUs the best \
         of those locks, {}, reached {} of what is possible (its longest wait: {waits}), the best of \
         all {}.",
        best.name,
        range(&shares(crowded, best.name), percent),
        range(&fastest, percent),
    ))
}

/// What becomes of queues whose waiters only spin.
fn spinning(crowded: &[&AtPoint]) -> Option<String> {
    let which = |entry: &Entry| entry.fair && entry.waits == Waits::Spinning;
    let names: Vec<&str> = ran(crowded, which).map(|entry| entry.name).collect();
    if names.is_empty() {
        return None;
    }
    let reached: Vec<f64> = names
        .iter()
        .flat_map(|name| shares(crowded, name))
        .collect();
    Some(format!(
        "Queues that only spin ({}) reached {}: not for threads.",
        names.join(", "),
        range(&reached, percent)
    ))
}

fn reached(points: &[AtPoint], name: &str) -> String {
    let points: Vec<&AtPoint> = points.iter().collect();
    match shares(&points, name) {
        none if none.is_empty() => String::new(),
        shares => format!(
            " ({name} reached {} of what is possible)",
            range(&shares, percent)
        ),
    }
}

/// The locks that ran at all of these points.
fn ran(
    points: &[&AtPoint],
    which: impl Fn(&Entry) -> bool,
) -> impl Iterator<Item = &'static Entry> {
    CATALOG.iter().filter(move |entry| {
        which(entry) && !points.is_empty() && points.iter().all(|at| at.lock(entry.name).is_some())
    })
}

/// The one with the best worst share of the bound.
fn best(points: &[&AtPoint], which: impl Fn(&Entry) -> bool) -> Option<&'static Entry> {
    let worst = |entry: &Entry| Spread::of(shares(points, entry.name)).min;
    ran(points, which).max_by(|a, b| worst(a).total_cmp(&worst(b)))
}

fn shares(points: &[&AtPoint], name: &str) -> Vec<f64> {
    let locks = points.iter().filter_map(|at| at.lock(name));
    locks.map(|lock| lock.over_bound.median).collect()
}

/// The best share at each point.
fn best_shares(points: &[&AtPoint], which: impl Fn(&str) -> bool) -> Vec<f64> {
    let best = |at: &&AtPoint| {
        at.fastest(|lock| which(&lock.lock))
            .map(|lock| lock.over_bound.median)
    };
    points.iter().filter_map(best).collect()
}

fn longest_ns(points: &[&AtPoint], name: &str) -> Option<f64> {
    let locks = points.iter().filter_map(|at| at.lock(name));
    locks
        .map(|lock| lock.wait_max_ns.max)
        .max_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::threads::{facts, point};
    use pvqspin_load::{Distribution, Outcome, Quantiles, WorkloadId};
    use pvqspin_report::{Record, summarise};

    /// Three repeats that are all the same.
    fn records(lock: &str, threads: usize, per_s: u64, longest_ns: u64) -> [Record; 3] {
        let entry = pvqspin_user_space::threads::catalog::find(lock).expect("in the catalogue");
        let workload = WorkloadId::HotLock.entry();
        let point = point(workload, Distribution::Uniform, 2, threads, (1_000, 2_000));
        let wait = Quantiles {
            max: longest_ns,
            ..Quantiles::default()
        };
        let outcome = Outcome {
            duration_ns: 1_000_000_000,
            acquisitions: per_s,
            inside_measured_ns: 1_000.0,
            outside_measured_ns: 2_000.0,
            wait,
            ..Outcome::default()
        };
        [0, 1, 2].map(|repeat| Record::new(&facts(entry), &point, repeat, &outcome))
    }

    #[test]
    fn what_wins_is_said_to_win_and_what_collapses_to_collapse() {
        let text = advice(&summarise(
            &[
                records("std", 8, 600_000, 40_000_000),
                records("bounded", 8, 590_000, 1_200_000),
                records("fifo-halt", 8, 100_000, 900_000),
                records("mcs", 8, 100, 90_000_000),
            ]
            .concat(),
        ));
        for expected in [
            "bounded reached 98 % of the throughput of std, the fastest of the others: as fast.",
            "Its longest wait was 1.2 ms, against 40 ms with std: 33 times shorter",
            "the best of those locks, fifo-halt, reached",
            "Queues that only spin (mcs) reached <0.1 %: not for threads",
            "no thread may be left waiting for long (1.2 ms here, against 40 ms)",
        ] {
            assert!(text.contains(expected), "no '{expected}' in:\n{text}");
        }
    }

    #[test]
    fn a_defeat_is_told_and_what_did_not_run_is_not_talked_about() {
        let text = advice(&summarise(
            &[
                records("std", 2, 600_000, 1_000_000),
                records("bounded", 2, 300_000, 2_000_000),
            ]
            .concat(),
        ));
        assert!(
            text.contains(
                "bounded reached 50 % of the throughput of std, the fastest of the others: slower"
            ),
            "{text}"
        );
        assert!(text.contains("2.0 times longer"), "{text}");
        assert!(text.contains("shows no reason to use bounded"), "{text}");
        assert!(
            !text.contains("Strict order") && !text.contains("only spin"),
            "{text}"
        );
        let text = advice(&[]);
        assert!(
            text.contains("use std or parking-lot") && !text.contains("reached"),
            "{text}"
        );
    }
}
