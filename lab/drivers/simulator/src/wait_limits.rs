//! One wait for a lock, and the limits that a run can set on waits.

use core::cell::Cell;

/// What a run may expect of every wait. One that breaks a limit ends the run.
///
/// Waits in interrupt handlers are not judged.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct WaitLimits {
    /// The longest wait, in nanoseconds from joining the queue. `None`: no limit.
    pub longest_ns: Option<u64>,
    /// How many others may take the lock, after a wait of their own, while one waits. In strict
    /// order that is as many as there are vCPUs beside it. `None`: no limit.
    pub overtakers: Option<u64>,
}

/// A limit that a wait broke.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum BrokenLimit {
    /// This vCPU waited, or has been waiting, for so long.
    Longest { vcpu: usize, ns: u64 },
    /// So many took the lock while this vCPU waited.
    Overtakers { vcpu: usize, count: u64 },
}

/// The longest wait of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct LongestWait {
    /// How long, from joining the queue.
    pub ns: u64,
    /// When it ended.
    pub ended_ns: u64,
    /// Whose it was.
    pub vcpu: usize,
}

/// What is known about the wait of a vCPU: the one that it is in, or else its last one.
#[derive(Default)]
pub(crate) struct Wait {
    pub(crate) joined_ns: Cell<u64>,
    /// How often the lock had been taken by then.
    pub(crate) taken_before: Cell<u64>,
    /// Whether it goes on.
    pub(crate) goes_on: Cell<bool>,
}

impl Wait {
    /// Puts this wait aside while an interrupt handler runs.
    pub(crate) fn aside<R>(&self, handler: impl FnOnce() -> R) -> R {
        let joined_ns = self.joined_ns.get();
        let taken_before = self.taken_before.get();
        let goes_on = self.goes_on.get();
        let result = handler();
        self.joined_ns.set(joined_ns);
        self.taken_before.set(taken_before);
        self.goes_on.set(goes_on);
        result
    }
}
