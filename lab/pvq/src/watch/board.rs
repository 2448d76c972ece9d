//! What the viewer of a comparison knows so far.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pvqspin_hypervisor::{Snapshot, VcpuSnapshot};
use pvqspin_report::Record;

use crate::runs::plan::{Plan, PlannedRun};
use crate::runs::turns::Section;

/// Looks that are remembered of each pCPU: more than any terminal is wide.
const REMEMBERED: usize = 400;

/// All that is drawn.
pub(crate) struct Board {
    /// Runs of the plan, and how many are done.
    pub(crate) runs: usize,
    pub(crate) done: usize,
    pub(crate) elapsed: Duration,
    /// The user has asked to stop.
    pub(crate) stopping: bool,
    /// The run at hand, in words.
    pub(crate) name: String,
    /// vCPUs and section lengths of the run at hand.
    pub(crate) point: (usize, Section),
    /// The last look at it.
    pub(crate) snapshot: Snapshot,
    /// Acquisitions in a second, over the time between the last two looks.
    pub(crate) rate: Option<f64>,
    looked_at: Option<(Instant, u64)>,
    /// For each pCPU, which vCPU of the run at hand was there at each look, the latest last.
    pub(crate) history: Vec<VecDeque<Option<u32>>>,
    /// Every lock of the plan.
    pub(crate) locks: Vec<LockRow>,
    /// Which of them runs.
    pub(crate) lock_index: usize,
}

/// A lock, and its finished runs.
pub(crate) struct LockRow {
    pub(crate) name: &'static str,
    finished: Vec<Finished>,
}

struct Finished {
    point: (usize, Section),
    per_s: f64,
    longest_wait_ns: u64,
    calls: f64,
}

/// A lock at one point, over the runs that are finished.
pub(crate) struct SoFar {
    pub(crate) runs: usize,
    /// The mean.
    pub(crate) per_s: f64,
    /// The longest of all.
    pub(crate) longest_wait_ns: u64,
    /// Hypercalls for each acquisition, the mean.
    pub(crate) calls: f64,
}

impl Board {
    pub(crate) fn new(plan: &Plan) -> Self {
        let row = |entry: &&'static pvqspin_rivals::catalog::Entry| LockRow {
            name: entry.name,
            finished: Vec::new(),
        };
        Self {
            runs: plan.run_count(),
            done: 0,
            elapsed: Duration::ZERO,
            stopping: false,
            name: String::new(),
            point: (0, (0, 0)),
            snapshot: Snapshot::default(),
            rate: None,
            looked_at: None,
            history: vec![VecDeque::new(); plan.settings.host.pcpus],
            locks: plan.locks.iter().map(row).collect(),
            lock_index: 0,
        }
    }

    /// A run begins.
    pub(crate) fn begin(&mut self, name: &str, run: &PlannedRun) {
        name.clone_into(&mut self.name);
        self.point = (run.vcpus, run.section);
        self.lock_index = run.lock_index;
        self.snapshot = Snapshot::default();
        (self.rate, self.looked_at) = (None, None);
        self.history.iter_mut().for_each(VecDeque::clear);
    }

    /// A look at it.
    pub(crate) fn show(&mut self, snapshot: &Snapshot, now: Instant) {
        let before = self.looked_at.replace((now, snapshot.acquisitions));
        self.rate = before.and_then(|(then, acquisitions)| {
            let seconds = now.saturating_duration_since(then).as_secs_f64();
            (seconds > 0.0)
                .then(|| snapshot.acquisitions.saturating_sub(acquisitions) as f64 / seconds)
        });
        for (pcpu, history) in self.history.iter_mut().enumerate() {
            if history.len() == REMEMBERED {
                history.pop_front();
            }
            history.push_back(on(snapshot, pcpu).map(|vcpu| vcpu.vcpu));
        }
        self.snapshot = snapshot.clone();
    }

    /// It is over.
    pub(crate) fn end(&mut self, record: &Record) {
        self.done += 1;
        if let Some(row) = self.locks.get_mut(self.lock_index) {
            row.finished.push(Finished {
                point: self.point,
                per_s: record.throughput_per_s,
                longest_wait_ns: record.wait_ns.max,
                calls: record.hypercalls_per_acquisition,
            });
        }
    }

    /// How long the rest takes, if it goes on like that.
    pub(crate) fn left(&self) -> Option<Duration> {
        let share = (self.done > 0).then(|| self.runs as f64 / self.done as f64 - 1.0)?;
        Some(self.elapsed.mul_f64(share.max(0.0)))
    }

    /// The vCPUs that name a target: each followed by its target, as far as that leads.
    pub(crate) fn chains(&self) -> Vec<Vec<usize>> {
        let to = |cpu: usize| {
            let vcpu = self.snapshot.vcpus.get(cpu)?;
            vcpu.waiting_for.map(|cpu| cpu.index())
        };
        let count = self.snapshot.vcpus.len();
        // A chain begins with a vCPU that is no target.
        let awaited: Vec<usize> = (0..count).filter_map(to).collect();
        (0..count)
            .filter(|cpu| to(*cpu).is_some() && !awaited.contains(cpu))
            .map(|first| {
                let chain = core::iter::successors(Some(first), |&cpu| to(cpu));
                // It was not read at one instant, so it may go in circles.
                chain.take(count).collect()
            })
            .collect()
    }
}

impl LockRow {
    /// Its runs at that point.
    pub(crate) fn at(&self, point: (usize, Section)) -> Option<SoFar> {
        let runs: Vec<&Finished> = (self.finished.iter())
            .filter(|finished| finished.point == point)
            .collect();
        let mean = |of: fn(&Finished) -> f64| {
            runs.iter().map(|finished| of(finished)).sum::<f64>() / runs.len() as f64
        };
        Some(SoFar {
            runs: runs.len(),
            per_s: mean(|finished| finished.per_s),
            longest_wait_ns: runs.iter().map(|finished| finished.longest_wait_ns).max()?,
            calls: mean(|finished| finished.calls),
        })
    }
}

/// Who is on a pCPU.
pub(crate) fn on(snapshot: &Snapshot, pcpu: usize) -> Option<&VcpuSnapshot> {
    (snapshot.vcpus.iter())
        .find(|vcpu| vcpu.state == pvqspin_abi::RunState::Running && vcpu.pcpu == Some(pcpu as u32))
}
