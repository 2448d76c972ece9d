//! What each repeat of a lock at a point gave, and which of them may be judged.
//!
//! A repeat that other work disturbed says more about that work than about a lock, so nothing is
//! judged by it. Runs of one repeat stand beside each other in time: a machine that is slower for
//! a while is slower for all of them, so two locks are compared repeat by repeat.

pub use crate::estimate::Evidence;
use crate::schema::Record;

/// One repeat of a lock at a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Repeat {
    /// Which one, from 0.
    pub number: u32,
    /// Whether other work disturbed it, or a pause of the process or the machine.
    pub disturbed: bool,
    /// How long was measured, in ns.
    pub duration_ns: u64,
    /// Critical sections for each second.
    pub throughput_per_s: f64,
    /// Throughput over the most that any lock could do.
    pub over_bound: f64,
    /// Jain's index.
    pub jain: f64,
    /// 99.99th percentile of the wait, in ns.
    pub wait_p9999_ns: f64,
    /// The longest wait, in ns.
    pub wait_max_ns: f64,
    /// Waits longer than the slice.
    pub waits_over_slice: u64,
    /// Hypercalls for each acquisition.
    pub hypercalls_per_acquisition: f64,
}

impl Repeat {
    pub(crate) fn of(record: &Record) -> Self {
        Self {
            number: record.repeat,
            disturbed: record.is_disturbed(),
            duration_ns: record.duration_ns,
            throughput_per_s: record.throughput_per_s,
            over_bound: record.throughput_over_bound,
            jain: record.jain,
            wait_p9999_ns: record.wait_ns.p9999 as f64,
            wait_max_ns: record.wait_ns.max as f64,
            waits_over_slice: record.waits_over_slice,
            hypercalls_per_acquisition: record.hypercalls_per_acquisition,
        }
    }
}

/// A figure of a repeat.
pub type Figure = fn(&Repeat) -> f64;
