//! Two sentences in plain words that say what the tables show.
//!
//! Every word that takes a side is chosen by a comparison of figures. If our lock loses, the
//! second sentence says so.

use std::fmt;

use crate::aggregate::{AtPoint, Spread, Summary};
use crate::figures::{count, percent, range, time};

/// The policy that the project stands for.
pub const OURS: &str = "fifo";

/// Within this share, two throughputs count as the same.
const LEVEL: f64 = 0.05;

/// What overcommit does to locks that keep it to themselves, and what naming the holder does.
#[must_use]
pub fn sentences(points: &[AtPoint]) -> [String; 2] {
    let crowded: Vec<&AtPoint> = points
        .iter()
        .filter(|at| at.point.overcommit() > 1.0)
        .collect();
    [problem(points, &crowded), answer(&crowded)]
}

fn problem(points: &[AtPoint], crowded: &[&AtPoint]) -> String {
    let Some(highest) = crowded
        .iter()
        .map(|at| at.point.overcommit())
        .max_by(f64::total_cmp)
    else {
        return without_overcommit(points);
    };
    let worst: Vec<&AtPoint> = crowded
        .iter()
        .copied()
        .filter(|at| at.point.overcommit() == highest)
        .collect();
    let alone: Option<Vec<f64>> = worst.iter().map(|at| uncrowded_best(points, at)).collect();
    let kept: Vec<String> = [(false, "unfair"), (true, "in order")]
        .into_iter()
        .filter_map(|(fair, how)| kept_by_silent(&worst, alone.as_deref(), fair, how))
        .collect();
    let base = match alone {
        Some(_) => "the best lock's throughput without overcommit",
        None => "what is possible",
    };
    let crowd = count(highest);
    if kept.is_empty() {
        let locks = worst.iter().flat_map(|at| &at.locks);
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

fn without_overcommit(points: &[AtPoint]) -> String {
    match points.first().and_then(|at| at.fastest(|_| true)) {
        Some(best) => format!(
            "No vCPU ever had to wait for a CPU here, so this run says nothing about overcommit; \
             the fastest lock was {}, at {} of what is possible.",
            best.lock,
            percent(best.over_bound.median)
        ),
        None => "Nothing was measured.".to_owned(),
    }
}

/// What the best lock of a kind that makes no hypercalls still reaches: a share of the best
/// throughput without overcommit, or of the bound where that was not measured.
fn kept_by_silent(
    worst: &[&AtPoint],
    alone: Option<&[f64]>,
    fair: bool,
    how: &str,
) -> Option<String> {
    let silent = |lock: &Summary| {
        !lock.is_ours() && lock.fair == fair && worst.iter().all(|at| is_silent(at, &lock.lock))
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
    points
        .iter()
        .find(|at| at.point.overcommit() == 1.0 && at.point.same_but_overcommit(&like.point))
        .and_then(|at| at.fastest(|_| true))
        .map(|best| best.throughput_per_s.median)
        .filter(|best| *best > 0.0)
}

fn answer(crowded: &[&AtPoint]) -> String {
    let met: Vec<&AtPoint> = crowded
        .iter()
        .copied()
        .filter(|at| at.lock(OURS).is_some())
        .collect();
    if met.is_empty() {
        return if crowded.is_empty() {
            "Ask for an overcommit above 1 to see what naming the holder does.".to_owned()
        } else {
            format!(
                "Our default policy, {OURS}, was not among the locks that ran under overcommit."
            )
        };
    }
    let Some(rival) = best_overall(&met, |lock| !lock.is_ours()) else {
        let reached: Vec<f64> = met
            .iter()
            .filter_map(|at| at.lock(OURS))
            .map(|ours| ours.over_bound.median)
            .collect();
        return format!(
            "{OURS} reaches {} of what is possible; no other lock ran beside it.",
            range(&reached, percent)
        );
    };
    format!(
        "Naming the one that everybody waits for, {}",
        Comparison::of(&met, OURS, &rival)
    )
}

/// How `ours` compares with the best of the locks that are not ours, over all of these points where
/// it ran; `None` if it ran nowhere, or alone.
///
/// ```text
/// bounded is as fast (0.97 to 1.02 times its throughput) as the best of the others, std; its
/// longest wait was 1.2 ms, against 40 ms with std, 33 times shorter.
/// ```
#[must_use]
pub fn against_the_best(points: &[AtPoint], ours: &str) -> Option<String> {
    let points: Vec<&AtPoint> = points.iter().collect();
    Comparison::with_the_best(&points, ours).map(|comparison| comparison.to_string())
}

/// One of our locks beside another, over the points at which both ran.
#[derive(Clone, Debug, PartialEq)]
pub struct Comparison {
    /// Ours.
    pub ours: String,
    /// The other.
    pub rival: String,
    /// Our throughput over the other's at each point.
    pub ratios: Vec<f64>,
    /// Our longest wait at any point, in ns.
    pub our_wait_ns: f64,
    /// The other's, in ns.
    pub their_wait_ns: f64,
}

impl Comparison {
    /// With the best of the locks that are not ours, over all of these points where `ours` ran;
    /// `None` if it ran nowhere, or alone.
    #[must_use]
    pub fn with_the_best(points: &[&AtPoint], ours: &str) -> Option<Self> {
        let met: Vec<&AtPoint> = points
            .iter()
            .copied()
            .filter(|at| at.lock(ours).is_some())
            .collect();
        let rival = best_overall(&met, |lock| !lock.is_ours())?;
        Some(Self::of(&met, ours, &rival))
    }

    fn of(met: &[&AtPoint], ours: &str, rival: &str) -> Self {
        let pairs: Vec<(&Summary, &Summary)> = met
            .iter()
            .filter_map(|at| Some((at.lock(ours)?, at.lock(rival)?)))
            .collect();
        let longest =
            |of: &dyn Fn(&(&Summary, &Summary)) -> f64| Spread::of(pairs.iter().map(of)).max;
        Self {
            ours: ours.to_owned(),
            rival: rival.to_owned(),
            ratios: pairs
                .iter()
                .map(|(ours, rival)| ours.throughput_per_s.median / rival.throughput_per_s.median)
                .filter(|ratio| ratio.is_finite())
                .collect(),
            our_wait_ns: longest(&|pair| pair.0.wait_max_ns.max),
            their_wait_ns: longest(&|pair| pair.1.wait_max_ns.max),
        }
    }

    /// How our throughput compares, in words that end before the rival's name.
    fn speed(&self) -> String {
        let ratios = &self.ratios;
        let behind = ratios.iter().filter(|ratio| **ratio < 1.0 - LEVEL).count();
        let ahead = ratios.iter().filter(|ratio| **ratio > 1.0 + LEVEL).count();
        let range = format!(
            "{} times its throughput",
            range(ratios, |ratio| format!("{ratio:.2}"))
        );
        let all = ratios.len();
        match (behind, ahead) {
            (0, 0) => format!("as fast ({range}) as the best of the others"),
            (0, n) if n == all => format!("faster ({range}) than the best of the others"),
            (0, n) => format!(
                "as fast or, in {n} of {all} settings, faster ({range}) than the best of the others"
            ),
            (n, 0) if n == all => format!("slower ({range}) than the best of the others"),
            (n, _) => {
                format!("slower in {n} of {all} settings ({range}) than the best of the others")
            }
        }
    }

    /// By how much our longest wait is shorter or longer, such as `33 times shorter`; `None` if
    /// no vCPU waited.
    #[must_use]
    pub fn waiting(&self) -> Option<String> {
        let (ours, theirs) = (self.our_wait_ns, self.their_wait_ns);
        if ours <= 0.0 || theirs <= 0.0 {
            None
        } else if theirs / ours >= 1.0 + LEVEL {
            Some(format!("{} shorter", factor(theirs / ours)))
        } else if ours / theirs >= 1.0 + LEVEL {
            Some(format!("{} longer", factor(ours / theirs)))
        } else {
            Some("about the same".to_owned())
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let waiting = self
            .waiting()
            .map_or_else(String::new, |waiting| format!(", {waiting}"));
        write!(
            f,
            "{} is {}, {rival}; its longest wait was {}, against {} with {rival}{waiting}.",
            self.ours,
            self.speed(),
            time(self.our_wait_ns),
            time(self.their_wait_ns),
            rival = self.rival,
        )
    }
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
        let [problem, answer] = sentences(&summarise(&world(570_000.0, 22_000)));
        assert_eq!(
            problem,
            "With 4 vCPUs to a CPU, the best locks that tell the host nothing reach 30 % (unfair: \
             test-and-set) and 0.2 % (in order: native-queued) of the best lock's throughput \
             without overcommit."
        );
        assert_eq!(
            answer,
            "Naming the one that everybody waits for, fifo is as fast (1.02 times its throughput) \
             as the best of the others, unfair-hinted; its longest wait was 22 µs, against 30 ms \
             with unfair-hinted, 1 364 times shorter."
        );
    }

    #[test]
    fn a_defeat_is_told_as_plainly() {
        let [_, answer] = sentences(&summarise(&world(280_000.0, 60_000_000)));
        assert!(
            answer.contains("fifo is slower (0.50 times its throughput) than the best of the others, unfair-hinted"),
            "{answer}"
        );
        assert!(
            answer.contains("60 ms, against 30 ms with unfair-hinted, 2.0 times longer"),
            "{answer}"
        );
    }

    #[test]
    fn a_mixed_result_is_not_made_a_win() {
        let mut records = world(570_000.0, 22_000);
        records.push(record("unfair-hinted", 16, 500_000.0, 1_000_000));
        records.push(record("fifo", 16, 100_000.0, 22_000));
        let [_, answer] = sentences(&summarise(&records));
        assert!(
            answer.contains("slower in 1 of 2 settings (0.20 to 1.02 times its throughput)"),
            "{answer}"
        );
    }

    #[test]
    fn what_did_not_run_is_not_talked_about() {
        let [problem, answer] = sentences(&[]);
        assert_eq!(problem, "Nothing was measured.");
        assert!(answer.contains("Ask for an overcommit above 1"));

        let alone = [record("fifo", 8, 500_000.0, 10_000)];
        let [problem, answer] = sentences(&summarise(&alone));
        assert!(problem.contains("the locks reach from"), "{problem}");
        assert!(answer.contains("no other lock ran beside it"), "{answer}");

        let without_us = [record("test-and-set", 8, 500_000.0, 10_000)];
        let [_, answer] = sentences(&summarise(&without_us));
        assert!(answer.contains("fifo, was not among the locks"), "{answer}");
    }
}
