//! The JSON object that every driver writes.
//!
//! Fields are added, never renamed and never given another unit. `docs/results.md` describes each
//! of them; a test compares the two lists.

use std::collections::BTreeMap;
use std::io;

use pvqspin_load::{Outcome, bound_per_s};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use crate::calls::{Hypercalls, Yields};
use crate::machine::Machine;
use crate::point::Point;
use crate::waits::Waits;

/// The version of the schema.
pub const SCHEMA: u32 = 1;

/// One file of results: who measured, on what, and one [`Record`] for each run.
///
/// A driver that knows more about a run than a [`Record`] says can put rows of its own in their
/// place, with a record's fields in each.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report<R = Record> {
    /// [`SCHEMA`].
    pub schema: u32,
    /// The command line that was typed, words joined by spaces.
    pub command: String,
    /// The version of the program.
    pub version: String,
    /// Where it ran.
    pub machine: Machine,
    /// The seed of every random choice of the workload.
    pub seed: u64,
    /// What ran the guests: `hypervisor`, `simulator`, `kvm` or `threads`.
    pub driver: String,
    /// Every parameter after defaults were filled in. Durations in ns.
    pub options: BTreeMap<String, Value>,
    /// When the first run began, in seconds since 1970.
    pub started_unix_s: u64,
    /// Whether every planned run was finished.
    pub complete: bool,
    /// How many runs were planned; `results` holds fewer if the command was interrupted.
    pub planned: u64,
    /// One object for each lock, point and repeat, in the order in which they ran.
    pub results: Vec<R>,
}

/// Four quantiles and the maximum of a time, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Median.
    pub p50: u64,
    /// 99th percentile.
    pub p99: u64,
    /// 99.9th percentile.
    pub p999: u64,
    /// 99.99th percentile.
    pub p9999: u64,
    /// The longest, exactly.
    pub max: u64,
}

/// What is known about a lock before it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockFacts {
    /// Its name.
    pub lock: String,
    /// The waiting policy, if it is one of ours.
    pub policy: Option<String>,
    /// The word format, if it is one of ours: `idx3` or `bit`.
    pub word: Option<String>,
    /// Whether it promises an order.
    pub fair: bool,
}

/// One run of one lock at one point.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The lock's name.
    pub lock: String,
    /// The waiting policy of our lock, or null for others.
    pub policy: Option<String>,
    /// The word format of our lock (`idx3`, `bit`), or null for others.
    pub word: Option<String>,
    /// Whether the lock promises an order.
    pub fair: bool,
    /// The workload.
    pub workload: String,
    /// The host's scheduling policy.
    pub host_policy: String,
    /// What a directed yield is: `contract` or `hint`.
    pub yield_mode: String,
    /// Physical CPUs.
    pub pcpus: usize,
    /// Virtual CPUs.
    pub vcpus: usize,
    /// `vcpus / pcpus`.
    pub overcommit: f64,
    /// Mean time inside, as asked, in ns.
    pub inside_ns: u64,
    /// Mean time outside, as asked, in ns.
    pub outside_ns: u64,
    /// The distribution of both: `fixed`, `uniform` or `exponential`.
    pub distribution: String,
    /// Mean time inside, measured in sections that were not preempted, in ns; 0 if there was none.
    pub inside_measured_ns: f64,
    /// Mean time outside, measured in the same way, in ns.
    pub outside_measured_ns: f64,
    /// The host's slice, in ns.
    pub slice_ns: u64,
    /// Which repeat, from 0.
    pub repeat: u32,
    /// How long was measured, in ns, warm-up excluded.
    pub duration_ns: u64,
    /// Critical sections in that time, of all vCPUs.
    pub acquisitions: u64,
    /// What the workload is counted in, in the plural.
    #[serde(default)]
    pub unit: String,
    /// How many units were done in that time.
    #[serde(default)]
    pub units: u64,
    /// Units for each second.
    #[serde(default)]
    pub units_per_s: f64,
    /// How long the busiest lock is held for each acquisition of any lock, in ns; 0 if unknown.
    #[serde(default)]
    pub busiest_lock_ns: f64,
    /// Acquisitions for each outermost section.
    #[serde(default = "one")]
    pub acquisitions_per_round: f64,
    /// Critical sections for each second.
    pub throughput_per_s: f64,
    /// `throughput_per_s` over `min(1/L, rP/(C+N), rV/(C+N))`, the most that any lock could do, with
    /// L `busiest_lock_ns` and r `acquisitions_per_round`. With one lock L is C and r is 1. L, C and N
    /// are this run's own until [`normalise`](crate::bound::normalise) has seen all runs; in virtual time the
    /// bound of `hot-lock` is known beforehand.
    pub throughput_over_bound: f64,
    /// Jain's index over 100 ms windows, per vCPU: 1 is fair, 1/V is one vCPU for all.
    pub jain: f64,
    /// From joining the queue (unfair locks: the first failed attempt) to holding, in ns.
    pub wait_ns: Latency,
    /// All of these waits, in ns: an HdrHistogram, see [`Waits`]; empty if they are not known.
    #[serde(default)]
    pub wait_histogram: Waits,
    /// From the call to holding, in ns.
    pub call_ns: Latency,
    /// Waits that were longer than the slice.
    pub waits_over_slice: u64,
    /// Preemptions while holding.
    pub lhp: u64,
    /// Hand-overs to a vCPU that was not running.
    pub lwp: u64,
    /// pCPU time spent spinning while a runnable vCPU had no pCPU, in ns.
    pub wasted_ns: u64,
    /// `wasted_ns` over all the pCPU time of the run.
    pub wasted_share: f64,
    /// Hypercalls by kind.
    pub hypercalls: Hypercalls,
    /// All hypercalls over `acquisitions`.
    pub hypercalls_per_acquisition: f64,
    /// What became of the directed yields.
    pub yields: Yields,
    /// Work of a lock-free VM beside it over what its share would give, or null without one.
    pub neighbour: Option<f64>,
    /// Critical sections in which another vCPU was seen inside: anything but 0 is a bug.
    pub exclusion_violations: u64,
    /// Halts that only a timeout ended: anything but 0 is a bug, unless other work had the CPUs.
    pub halt_timeouts: u64,
    /// How often something else on the machine took a CPU from a pCPU, or null where the driver
    /// cannot tell.
    pub interruptions: Option<u64>,
    /// For how long, in ns, summed over pCPUs and with the warm-up. No scheduler in the test bed
    /// can see or undo it: a wait of that length says nothing about a lock.
    pub interrupted_ns: Option<u64>,
    /// For how long the process or the machine stood still while it ran, in ns; null where the driver
    /// cannot tell. Such a run says nothing, and is there only because repeating it did not help.
    #[serde(default)]
    pub paused_ns: Option<u64>,
    /// How many runs before this one were thrown away, since the process or the machine stood still.
    #[serde(default)]
    pub discarded: u32,
    /// Critical sections of each vCPU, by its number.
    pub per_vcpu: Vec<u64>,
    /// What the slow path did, by name; empty for locks that do not count.
    pub events: BTreeMap<String, u64>,
}

/// How much of a run's CPU time other work may take before its figures are doubtful.
pub const TOLERATED: f64 = 0.01;

impl Record {
    /// The record of one run.
    #[must_use]
    pub fn new(facts: &LockFacts, point: &Point, repeat: u32, outcome: &Outcome) -> Self {
        let seconds = outcome.duration_ns as f64 / 1e9;
        let throughput = ratio(outcome.acquisitions as f64, seconds);
        let bound = bound_per_s(
            outcome.load,
            finite(outcome.inside_measured_ns),
            finite(outcome.outside_measured_ns),
            point.pcpus,
            point.vcpus,
        );
        let hypercalls = Hypercalls::from(outcome.hypercalls);
        let pcpu_ns = outcome.duration_ns as f64 * point.pcpus as f64;
        let events = outcome.events.iter();
        Self {
            lock: facts.lock.clone(),
            policy: facts.policy.clone(),
            word: facts.word.clone(),
            fair: facts.fair,
            workload: point.workload.clone(),
            host_policy: point.host_policy.clone(),
            yield_mode: point.yield_mode.clone(),
            pcpus: point.pcpus,
            vcpus: point.vcpus,
            overcommit: point.overcommit(),
            inside_ns: point.inside_ns,
            outside_ns: point.outside_ns,
            distribution: point.distribution.clone(),
            inside_measured_ns: finite(outcome.inside_measured_ns),
            outside_measured_ns: finite(outcome.outside_measured_ns),
            slice_ns: point.slice_ns,
            repeat,
            duration_ns: outcome.duration_ns,
            acquisitions: outcome.acquisitions,
            unit: outcome.unit.to_owned(),
            units: outcome.units,
            units_per_s: ratio(outcome.units as f64, seconds),
            busiest_lock_ns: finite(outcome.load.busiest_ns),
            acquisitions_per_round: outcome.load.per_round,
            throughput_per_s: throughput,
            throughput_over_bound: ratio(throughput, bound),
            jain: finite(outcome.jain),
            wait_ns: outcome.wait.into(),
            wait_histogram: Waits::of(&outcome.wait_counts),
            call_ns: outcome.call.into(),
            waits_over_slice: outcome.waits_over_slice,
            lhp: outcome.lhp,
            lwp: outcome.lwp,
            wasted_ns: outcome.wasted_ns,
            wasted_share: ratio(outcome.wasted_ns as f64, pcpu_ns),
            hypercalls,
            hypercalls_per_acquisition: ratio(
                hypercalls.total() as f64,
                outcome.acquisitions as f64,
            ),
            yields: outcome.yields.into(),
            neighbour: outcome.neighbour.filter(|share| share.is_finite()),
            exclusion_violations: outcome.exclusion_violations,
            halt_timeouts: outcome.halt_timeouts,
            interruptions: None,
            interrupted_ns: None,
            paused_ns: None,
            discarded: 0,
            per_vcpu: outcome.per_vcpu.clone(),
            events: events.map(|&(name, n)| (name.to_owned(), n)).collect(),
        }
    }

    /// Where it took place.
    #[must_use]
    pub fn point(&self) -> Point {
        Point {
            workload: self.workload.clone(),
            host_policy: self.host_policy.clone(),
            yield_mode: self.yield_mode.clone(),
            pcpus: self.pcpus,
            vcpus: self.vcpus,
            inside_ns: self.inside_ns,
            outside_ns: self.outside_ns,
            distribution: self.distribution.clone(),
            slice_ns: self.slice_ns,
        }
    }

    /// The share of its CPUs' time that other work took; 0 where that is not known.
    #[must_use]
    pub fn interrupted_share(&self) -> f64 {
        let pcpu_ns = self.duration_ns as f64 * self.pcpus as f64;
        ratio(self.interrupted_ns.unwrap_or(0) as f64, pcpu_ns)
    }

    /// Whether other work took so much that the figures are doubtful: more than [`TOLERATED`], or
    /// everything stood still for a while.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        self.stood_still() || self.interrupted_share() > TOLERATED
    }

    /// Whether the process or the machine stood still while it ran.
    #[must_use]
    pub fn stood_still(&self) -> bool {
        self.paused_ns.is_some_and(|ns| ns > 0)
    }

    /// Halts that only a timeout ended, while the CPUs were there to end them: a bug. Where other work
    /// had them, the kick may have been on its way.
    #[must_use]
    pub fn lost_wakeups(&self) -> u64 {
        if self.is_disturbed() {
            0
        } else {
            self.halt_timeouts
        }
    }

    /// Whether it is one of our policies, not a rival.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.policy.is_some()
    }
}

impl From<pvqspin_load::Quantiles> for Latency {
    fn from(from: pvqspin_load::Quantiles) -> Self {
        Self {
            p50: from.p50,
            p99: from.p99,
            p999: from.p999,
            p9999: from.p9999,
            max: from.max,
        }
    }
}

/// JSON has neither NaN nor infinity: what could not be measured is 0, and never null.
fn finite(value: f64) -> f64 {
    if value.is_finite() { value } else { 0.0 }
}

/// What a file without `acquisitions_per_round` means.
fn one() -> f64 {
    1.0
}

fn ratio(value: f64, of: f64) -> f64 {
    if of > 0.0 { finite(value / of) } else { 0.0 }
}

/// Writes the report as JSON, one field a line, with a newline at the end.
///
/// # Errors
///
/// Whatever the writer returns.
pub fn write_json<R: Serialize>(report: &Report<R>, mut to: impl io::Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut to, report)?;
    to.write_all(b"\n")
}

#[cfg(test)]
mod tests;
