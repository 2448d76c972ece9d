//! The project's targets, each with the figure that was reached. A list to read, never an exit
//! code: a noisy machine is no bug, and a benchmark asserts nothing.
//!
//! A target is reached or missed only if the interval of its figure says so, from three undisturbed
//! repeats at least. Everything else is not judged, and is counted apart.

use std::fmt::{self, Write as _};

use crate::aggregate::{AtPoint, Summary};
use crate::estimate::Estimate;
use crate::figures::{count, counted, exact_time, share, time, times};
use crate::repeats::{Evidence, Figure};
use crate::sentences::{OURS, uncrowded};

/// How a target came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The whole interval is on the right side.
    Reached,
    /// The whole interval is on the wrong side.
    Missed,
    /// The interval has both sides, or there is none.
    NotJudged,
}

/// One target at one point. Prints without its place, which stands over it in a list.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    /// How it came out.
    pub verdict: Verdict,
    /// Where.
    pub place: String,
    /// What is asked for.
    pub wanted: String,
    /// What was reached, or why it is not judged.
    pub reached: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Reached => "reached   ",
            Verdict::Missed => "MISSED    ",
            Verdict::NotJudged => "not judged",
        };
        write!(f, "{verdict}  {}: {}", self.wanted, self.reached)
    }
}

/// All targets that the measured locks and points allow to check. `bounded_ns` is the bound of
/// the policy `bounded`, if there is one.
#[must_use]
pub fn check(points: &[AtPoint], bounded_ns: Option<u64>, evidence: Evidence) -> Vec<Check> {
    let mut checks = Vec::new();
    for at in points {
        let mut here = Checker {
            at,
            evidence,
            place: place(at),
            checks: &mut checks,
        };
        match at.point.yield_mode.as_str() {
            "hint" => here.on_a_hint_only_host(bounded_ns),
            _ => here.on_a_host_that_keeps_the_contract(points),
        }
    }
    checks
}

/// The list as text, with a last line that counts.
#[must_use]
pub fn render(checks: &[Check]) -> String {
    if checks.is_empty() {
        return format!("targets: none can be checked here (they need {OURS} and its rivals)\n");
    }
    let mut text = String::new();
    let mut place = "";
    for check in checks {
        if check.place != place {
            place = &check.place;
            let _ = writeln!(text, "targets at {place}");
        }
        let _ = writeln!(text, "  {check}");
    }
    let how_many = |verdict| checks.iter().filter(|c| c.verdict == verdict).count();
    let _ = writeln!(
        text,
        "targets: {} reached, {} missed, {} not judged",
        how_many(Verdict::Reached),
        how_many(Verdict::Missed),
        how_many(Verdict::NotJudged),
    );
    text
}

fn place(at: &AtPoint) -> String {
    let bound = if at.is_lock_bound() {
        ""
    } else {
        ", not lock-bound"
    };
    format!(
        "overcommit {}, {}/{}{bound}",
        count(at.point.overcommit()),
        exact_time(at.point.inside_ns),
        exact_time(at.point.outside_ns)
    )
}

/// What a figure must be.
#[derive(Clone, Copy)]
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

impl Wanted {
    fn verdict(self, estimate: &Estimate) -> Verdict {
        let (sure, hopeless) = match self {
            Self::AtLeast(least) => (estimate.low >= least, estimate.high < least),
            Self::AtMost(most) => (estimate.high <= most, estimate.low > most),
        };
        match (sure, hopeless) {
            (true, _) => Verdict::Reached,
            (_, true) => Verdict::Missed,
            _ => Verdict::NotJudged,
        }
    }
}

struct Checker<'a> {
    at: &'a AtPoint,
    evidence: Evidence,
    place: String,
    checks: &'a mut Vec<Check>,
}

impl Checker<'_> {
    fn note(&mut self, verdict: Verdict, wanted: impl Into<String>, figure: impl Into<String>) {
        self.checks.push(Check {
            verdict,
            place: self.place.clone(),
            wanted: wanted.into(),
            reached: figure.into(),
        });
    }

    /// A figure with its interval. `locks` are those that it comes from.
    fn judge(
        &mut self,
        wanted: Wanted,
        words: impl Into<String>,
        estimate: Option<Estimate>,
        show: fn(f64) -> String,
        locks: &[&Summary],
    ) {
        match estimate {
            None => self.note(Verdict::NotJudged, words, too_few(locks)),
            Some(estimate) => {
                let ends = match (show(estimate.low), show(estimate.high)) {
                    (low, high) if low == high => String::new(),
                    (low, high) => format!(" ({low} to {high})"),
                };
                let figure = format!("{}{ends}", show(estimate.middle));
                self.note(wanted.verdict(&estimate), words, figure);
            }
        }
    }

    /// Something that must not happen, in any repeat that may be judged. `happened` is what did,
    /// in words, if it did.
    fn never(&mut self, lock: &Summary, words: impl Into<String>, (ok, figure): (bool, String)) {
        let verdict = match (lock.is_judged(self.evidence), ok) {
            (false, _) => return self.note(Verdict::NotJudged, words, too_few(&[lock])),
            (true, true) => Verdict::Reached,
            (true, false) => Verdict::Missed,
        };
        let figure = match lock.disturbed {
            0 => figure,
            disturbed => format!(
                "{figure}, without {disturbed} of {} repeats that were disturbed",
                lock.repeats
            ),
        };
        self.note(verdict, words, figure);
    }

    fn on_a_host_that_keeps_the_contract(&mut self, points: &[AtPoint]) {
        let (at, evidence) = (self.at, self.evidence);
        let Some(ours) = at.lock(OURS) else { return };
        if at.point.overcommit() <= 1.0 {
            let calls = ours.quiet().map(|r| r.hypercalls_per_acquisition);
            let calls = calls.fold(0.0, f64::max);
            let figure = match calls {
                0.0 => "0".to_owned(),
                some => format!("{} for each acquisition", share(some)),
            };
            self.never(ours, "no hypercall at all", (calls == 0.0, figure));
            self.bugs(ours);
            return;
        }
        if let Some(best) = uncrowded(points, at) {
            let kept = ours.ratio_to(best, |r| r.throughput_per_s, evidence);
            let words = "at least 0.95 of the best lock without overcommit";
            self.judge(Wanted::AtLeast(0.95), words, kept, share, &[ours, best]);
        }
        self.throughput_against_rivals(ours);
        if let Some(rival) = at.lock("unfair-hinted") {
            self.waits_against(ours, rival);
        }
        let over: u64 = ours.quiet().map(|repeat| repeat.waits_over_slice).sum();
        let words = "no wait over one slice (or look at `pvq trace`)";
        self.never(ours, words, (over == 0, over.to_string()));
        let jain = ours.estimate(|r| r.jain, evidence);
        let words = "Jain index at least 0.97";
        self.judge(Wanted::AtLeast(0.97), words, jain, share, &[ours]);
        let calls = ours.estimate(|r| r.hypercalls_per_acquisition, evidence);
        let words = "at most one hypercall for each hand-over";
        self.judge(Wanted::AtMost(1.0), words, calls, share, &[ours]);
        self.bugs(ours);
    }

    fn throughput_against_rivals(&mut self, ours: &Summary) {
        let over_tas = match self.at.point.overcommit() {
            o if o >= 8.0 => 4.0,
            o if o >= 4.0 => 2.5,
            _ => 1.5,
        };
        for (rival, least) in [
            ("test-and-set", over_tas),
            ("native-queued", 20.0),
            ("unfair-hinted", 0.95),
        ] {
            if let Some(rival) = self.at.lock(rival) {
                let ratio = ours.ratio_to(rival, |r| r.throughput_per_s, self.evidence);
                let words = format!("at least {least} times {}", rival.lock);
                self.judge(Wanted::AtLeast(least), words, ratio, times, &[ours, rival]);
            }
        }
    }

    fn waits_against(&mut self, ours: &Summary, rival: &Summary) {
        let mut shorter = |what: &str, least: f64, wait: Figure| {
            let words = format!(
                "{what} at least {least} times shorter than {}'s",
                rival.lock
            );
            let ratio = rival.ratio_to(ours, wait, self.evidence);
            self.judge(Wanted::AtLeast(least), words, ratio, times, &[ours, rival]);
        };
        // A wait of nothing is shorter than anything.
        shorter("p99.99 wait", 20.0, |r| r.wait_p9999_ns.max(1.0));
        // One pause of the machine is the longest wait of either lock: a run of seconds has some, and
        // one among ten thousand waits is none of them. So twenty is asked of p99.99 alone.
        shorter("longest wait", 5.0, |r| r.wait_max_ns.max(1.0));
    }

    fn on_a_hint_only_host(&mut self, bounded_ns: Option<u64>) {
        let at = self.at;
        let Some(bounded) = at.lock("bounded") else {
            return;
        };
        if let Some(bound) = bounded_ns {
            let longest = bounded.longest_wait_ns();
            let words = format!(
                "bounded: no wait over twice its bound, {}",
                exact_time(2 * bound)
            );
            let ok = longest <= 2.0 * bound as f64;
            self.never(bounded, words, (ok, time(longest)));
        }
        if let Some(rival) = at.lock("unfair-hinted") {
            let ratio = bounded.ratio_to(rival, |r| r.throughput_per_s, self.evidence);
            let words = "bounded: at least 0.9 times unfair-hinted";
            self.judge(Wanted::AtLeast(0.9), words, ratio, times, &[bounded, rival]);
        }
        self.bugs(bounded);
    }

    fn bugs(&mut self, lock: &Summary) {
        let (both, lost) = (lock.exclusion_violations, lock.halt_timeouts);
        if both + lost > 0 {
            let figure = format!("{both} violations, {lost} lost wake-ups");
            let words = "mutual exclusion, and no lost wake-up";
            self.note(Verdict::Missed, words, figure);
        }
    }
}

/// Why nothing is judged by these locks' repeats.
fn too_few(locks: &[&Summary]) -> String {
    let words = locks
        .iter()
        .map(|lock| match (lock.disturbed, lock.repeats) {
            (0, repeats) => format!("{} ran {}", lock.lock, counted(repeats, "time")),
            (disturbed, repeats) => {
                format!(
                    "{disturbed} of {repeats} repeats of {} were disturbed",
                    lock.lock
                )
            }
        });
    words.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests;
