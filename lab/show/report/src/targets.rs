//! The project's targets, each with the figure that was reached. A list to read, never an exit
//! code: a noisy machine is no bug, and a benchmark asserts nothing.

use std::fmt::{self, Write as _};

use crate::aggregate::{AtPoint, Summary};
use crate::figures::{count, exact_time, share, time, times};
use crate::sentences::{OURS, uncrowded_best};

/// How a target came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Reached.
    Pass,
    /// Missed.
    Short,
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
    /// What was reached.
    pub reached: String,
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Pass => "pass ",
            Verdict::Short => "SHORT",
        };
        write!(f, "{verdict}  {}: {}", self.wanted, self.reached)
    }
}

/// All targets that the measured locks and points allow to check. `bounded_ns` is the bound of
/// the policy `bounded`, if there is one.
#[must_use]
pub fn check(points: &[AtPoint], bounded_ns: Option<u64>) -> Vec<Check> {
    let mut checks = Vec::new();
    for at in points {
        let mut here = Checker {
            at,
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
    let passed = checks.iter().filter(|c| c.verdict == Verdict::Pass).count();
    let mut text = String::new();
    let mut place = "";
    for check in checks {
        if check.place != place {
            place = &check.place;
            let _ = writeln!(text, "targets at {place}");
        }
        let _ = writeln!(text, "  {check}");
    }
    let _ = writeln!(text, "targets: {passed} of {} reached", checks.len());
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

struct Checker<'a> {
    at: &'a AtPoint,
    place: String,
    checks: &'a mut Vec<Check>,
}

impl Checker<'_> {
    fn note(&mut self, reached: bool, wanted: impl Into<String>, figure: impl Into<String>) {
        self.checks.push(Check {
            verdict: if reached {
                Verdict::Pass
            } else {
                Verdict::Short
            },
            place: self.place.clone(),
            wanted: wanted.into(),
            reached: figure.into(),
        });
    }

    fn on_a_host_that_keeps_the_contract(&mut self, points: &[AtPoint]) {
        let at = self.at;
        let Some(ours) = at.lock(OURS) else { return };
        if at.point.overcommit() <= 1.0 {
            let calls = ours.hypercalls;
            self.note(calls == 0, "no hypercall at all", calls.to_string());
            self.bugs(ours);
            return;
        }
        if let Some(best) = uncrowded_best(points, at) {
            let kept = ours.throughput_per_s.median / best;
            self.note(
                kept >= 0.95,
                "at least 0.95 of the best lock without overcommit",
                share(kept),
            );
        }
        self.throughput_against_peers(ours);
        if let Some(rival) = at.lock("unfair-hinted") {
            self.waits_against(ours, rival);
        }
        let over = ours.undisturbed_waits_over_slice;
        let figure = match ours.disturbed {
            0 => over.to_string(),
            disturbed => {
                let all = ours.repeats;
                format!("{over}, not counting {disturbed} of {all} repeats that were disturbed")
            }
        };
        self.note(
            over == 0,
            "no wait over one slice (or look at `pvq trace`)",
            figure,
        );
        let jain = ours.jain.median;
        self.note(jain >= 0.97, "Jain index at least 0.97", share(jain));
        let calls = ours.hypercalls_per_acquisition.median;
        self.note(
            calls <= 1.0,
            "at most one hypercall for each hand-over",
            share(calls),
        );
        self.bugs(ours);
    }

    fn throughput_against_peers(&mut self, ours: &Summary) {
        let over_tas = match self.at.point.overcommit() {
            o if o >= 8.0 => 4.0,
            o if o >= 4.0 => 2.5,
            _ => 1.5,
        };
        for (peer, least) in [
            ("test-and-set", over_tas),
            ("native-queued", 20.0),
            ("unfair-hinted", 0.95),
        ] {
            if let Some(peer) = self.at.lock(peer) {
                let ratio = ours.throughput_per_s.median / peer.throughput_per_s.median;
                let wanted = format!("at least {least} times {}", peer.lock);
                self.note(ratio >= least, wanted, times(ratio));
            }
        }
    }

    fn waits_against(&mut self, ours: &Summary, rival: &Summary) {
        let mut shorter = |what: &str, least: f64, mine: f64, theirs: f64| {
            // A wait of nothing is shorter than anything.
            let ratio = theirs / mine.max(1.0);
            let wanted = format!(
                "{what} at least {least} times shorter than {}'s",
                rival.lock
            );
            let figure = format!("{} ({} against {})", times(ratio), time(mine), time(theirs));
            self.note(ratio >= least, wanted, figure);
        };
        let (mine, theirs) = (ours.wait_p9999_ns.median, rival.wait_p9999_ns.median);
        shorter("p99.99 wait", 20.0, mine, theirs);
        shorter(
            "longest wait",
            5.0,
            ours.wait_max_ns.max,
            rival.wait_max_ns.max,
        );
    }

    fn on_a_hint_only_host(&mut self, bounded_ns: Option<u64>) {
        let at = self.at;
        let Some(bounded) = at.lock("bounded") else {
            return;
        };
        if let Some(bound) = bounded_ns {
            let longest = bounded.wait_max_ns.max;
            let wanted = format!(
                "bounded: no wait over twice its bound, {}",
                exact_time(2 * bound)
            );
            self.note(longest <= 2.0 * bound as f64, wanted, time(longest));
        }
        if let Some(rival) = at.lock("unfair-hinted") {
            let ratio = bounded.throughput_per_s.median / rival.throughput_per_s.median;
            self.note(
                ratio >= 0.9,
                "bounded: at least 0.9 times unfair-hinted",
                times(ratio),
            );
        }
        self.bugs(bounded);
    }

    fn bugs(&mut self, lock: &Summary) {
        let (both, lost) = (lock.exclusion_violations, lock.halt_timeouts);
        if both + lost > 0 {
            let figure = format!("{both} violations, {lost} lost wake-ups");
            self.note(false, "mutual exclusion, and no lost wake-up", figure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::summarise;
    use crate::samples;
    use crate::schema::{Hypercalls, Record};

    fn quiet(mut record: Record) -> Record {
        record.hypercalls = Hypercalls::default();
        record.hypercalls_per_acquisition = 0.0;
        record
    }

    fn slow_waits(mut record: Record) -> Record {
        record.wait_ns.p9999 = 9_000_000;
        record.wait_ns.max = 30_000_000;
        record
    }

    fn good() -> Vec<Record> {
        vec![
            quiet(samples::record("fifo", 2, 600_000.0)),
            samples::record("fifo", 8, 590_000.0),
            samples::record("test-and-set", 8, 200_000.0),
            samples::record("native-queued", 8, 700.0),
            slow_waits(samples::record("unfair-hinted", 8, 600_000.0)),
        ]
    }

    fn missed(records: &[Record], bounded_ns: Option<u64>) -> Vec<String> {
        check(&summarise(records), bounded_ns)
            .into_iter()
            .filter(|check| check.verdict == Verdict::Short)
            .map(|check| check.wanted)
            .collect()
    }

    #[test]
    fn a_good_run_reaches_every_target() {
        let checks = check(&summarise(&good()), None);
        assert_eq!(checks.len(), 10);
        assert!(
            checks.iter().all(|c| c.verdict == Verdict::Pass),
            "{checks:#?}"
        );
        assert!(render(&checks).ends_with("targets: 10 of 10 reached\n"));
    }

    #[test]
    fn each_target_can_be_missed() {
        type Spoil = fn(&mut Vec<Record>);
        let spoil: [(&str, Spoil); 9] = [
            ("no hypercall at all", |r| r[0].hypercalls.kick = 1),
            ("at least 0.95 of the best", |r| {
                r[0].throughput_per_s *= 1.2
            }),
            ("at least 2.5 times test-and-set", |r| {
                r[2].throughput_per_s *= 1.5
            }),
            ("at least 20 times native-queued", |r| {
                r[3].throughput_per_s *= 100.0
            }),
            ("at least 0.95 times unfair-hinted", |r| {
                r[4].throughput_per_s *= 1.1
            }),
            ("p99.99 wait at least 20", |r| r[4].wait_ns.p9999 = 300_000),
            ("longest wait at least 5", |r| r[4].wait_ns.max = 100_000),
            ("no wait over one slice", |r| r[1].waits_over_slice = 1),
            ("Jain index", |r| r[1].jain = 0.9),
        ];
        for (wanted, spoil) in spoil {
            let mut records = good();
            spoil(&mut records);
            let missed = missed(&records, None);
            assert_eq!(missed.len(), 1, "{wanted}: {missed:?}");
            assert!(missed[0].starts_with(wanted), "{wanted}: {missed:?}");
        }
    }

    #[test]
    fn the_bounded_policy_is_judged_on_hint_only_hosts() {
        let mut records = vec![
            samples::record("bounded", 8, 500_000.0),
            samples::record("unfair-hinted", 8, 520_000.0),
        ];
        for record in &mut records {
            record.yield_mode = "hint".into();
        }
        assert!(missed(&records, Some(1_000_000)).is_empty());
        records[0].wait_ns.max = 2_100_000;
        assert_eq!(missed(&records, Some(1_000_000)).len(), 1);
        records[0].throughput_per_s = 100.0;
        assert_eq!(missed(&records, Some(1_000_000)).len(), 2);
    }

    #[test]
    fn without_our_lock_there_is_nothing_to_check() {
        let checks = check(&summarise(&[samples::record("test-and-set", 8, 1.0)]), None);
        assert!(render(&checks).contains("none can be checked"));
    }
}
