//! What happened, in the order of virtual time.

use core::fmt;
use std::collections::VecDeque;

use pvqspin::Point;
use pvqspin_abi::{Cpu, Status};

/// What an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The vCPU was put on the pCPU.
    Enter,
    /// The pCPU has nothing to run.
    Idle,
    /// The vCPU's time on the pCPU is over.
    SliceEnd,
    /// The pCPU was poked, and asks the host.
    Poked,
    /// It halted, with this hint.
    Halt(Option<Cpu>, Status),
    /// It kicked.
    Kick(Cpu, Status),
    /// It yielded to.
    YieldTo(Cpu, Status),
    /// It passed a point. Only in a detailed trace.
    Passed(Point),
    /// A fault took it off its pCPU.
    Fault(Point),
    /// Jitter took it off its pCPU.
    Jitter,
    /// It took the lock after so many nanoseconds, the longest wait so far.
    LongestWait(u64),
    /// It returned.
    Done,
}

/// One event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceEvent {
    /// When, in virtual nanoseconds.
    pub at_ns: u64,
    /// On which pCPU.
    pub pcpu: usize,
    /// Which vCPU, by its number on the host.
    pub vcpu: Option<usize>,
    /// What.
    pub what: What,
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>12} ns  pcpu{:<3}", self.at_ns, self.pcpu)?;
        match self.vcpu {
            Some(vcpu) => write!(f, " vcpu{vcpu:<4} ")?,
            None => write!(f, "          ")?,
        }
        match self.what {
            What::Halt(Some(cpu), status) => write!(f, "halt, hint {cpu:?}: {status:?}"),
            What::Halt(None, status) => write!(f, "halt: {status:?}"),
            What::Kick(cpu, status) => write!(f, "kick {cpu:?}: {status:?}"),
            What::YieldTo(cpu, status) => write!(f, "yield to {cpu:?}: {status:?}"),
            What::LongestWait(ns) => write!(f, "has the lock after {ns} ns, the longest wait"),
            other => write!(f, "{other:?}"),
        }
    }
}

/// How many events are kept when nobody asked for all.
const KEPT: usize = 60;

/// How many are shown of a failed run when somebody did.
const KEPT_OF_ALL: usize = 2_000;

/// The events of a run: all of them, or the last few.
#[derive(Debug)]
pub(crate) struct Trace {
    events: VecDeque<TraceEvent>,
    everything: bool,
}

impl Trace {
    pub(crate) fn new(everything: bool) -> Self {
        Self {
            events: VecDeque::with_capacity(KEPT),
            everything,
        }
    }

    pub(crate) fn push(&mut self, event: TraceEvent) {
        if !self.everything && self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(event);
    }

    pub(crate) fn is_detailed(&self) -> bool {
        self.everything
    }

    /// What is shown when a run failed: the last few, or many more if all were asked for.
    pub(crate) fn last(&self) -> Vec<TraceEvent> {
        let shown = if self.everything { KEPT_OF_ALL } else { KEPT };
        let skipped = self.events.len().saturating_sub(shown);
        self.events.iter().skip(skipped).copied().collect()
    }

    pub(crate) fn take(&mut self) -> Vec<TraceEvent> {
        core::mem::take(&mut self.events).into()
    }
}
