//! Waits for a lock: how long they are, who was overtaken, and whether that breaks a limit.
//!
//! ```text
//!   Joined ------------------------------------------> Taken
//!     |  others that wait take the lock: each overtakes  |
//!     |<------------------- the wait ------------------->|
//! ```

use pvqspin_driver_common::What;

use crate::shared::Shared;
use crate::wait_limits::{BrokenLimit, LongestWait};

impl Shared {
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
        // Without joining since the last time, this acquisition did not wait.
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
            self.record_mine(What::LongWait(ns));
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
