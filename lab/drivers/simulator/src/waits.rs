//! Waits for a lock: how long they are, who was overtaken, and whether that breaks a limit.
//!
//! ```text
//!   Joined ------------------------------------------> Taken
//!     |  others that wait take the lock: each overtakes  |
//!     |<------------------- the wait ------------------->|
//! ```

use core::cell::Cell;

use crate::stage::Stage;

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
    taken_before: Cell<u64>,
    /// Whether it goes on.
    goes_on: Cell<bool>,
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

impl Stage {
    /// The running vCPU has joined a queue.
    pub(crate) fn wait_begins(&self) {
        let me = self.me();
        me.wait.joined_ns.set(self.now.get());
        me.wait.taken_before.set(self.vms[me.vm].taken.get());
        me.wait.goes_on.set(true);
    }

    /// The running vCPU has the lock.
    pub(crate) fn wait_ends(&self) {
        let me = self.me();
        // If nobody has joined since the last time, this acquisition did not wait.
        if !me.wait.goes_on.replace(false) || me.interrupts.depth.get() > 0 {
            return;
        }
        let vcpu = self.current.get();
        let taken = &self.vms[me.vm].taken;
        let count = taken.get() - me.wait.taken_before.get();
        taken.set(taken.get() + 1);
        let (joined_ns, ended_ns) = (me.wait.joined_ns.get(), self.now.get());
        let ns = ended_ns - joined_ns;
        if ns > self.longest_wait.get().ns {
            self.longest_wait.set(LongestWait { ns, ended_ns, vcpu });
            self.record_mine(pvqspin_driver_common::What::LongWait(ns));
        }
        if self.limits.longest_ns.is_some_and(|limit| ns > limit) {
            self.broken.set(Some(BrokenLimit::Longest { vcpu, ns }));
        }
        if self.limits.overtakers.is_some_and(|limit| count > limit) {
            self.broken
                .set(Some(BrokenLimit::Overtakers { vcpu, count }));
        }
    }

    /// The first wait that goes on and is over its limit already.
    pub(crate) fn overdue(&self) -> Option<BrokenLimit> {
        let limit = self.limits.longest_ns?;
        let now = self.now.get();
        self.guests.iter().enumerate().find_map(|(vcpu, guest)| {
            let ns = now.saturating_sub(guest.wait.joined_ns.get());
            let over = guest.wait.goes_on.get() && ns > limit;
            over.then_some(BrokenLimit::Longest { vcpu, ns })
        })
    }
}
