//! A pCPU in virtual time: what it is about, and when that changes.
//!
//! ```text
//!            +------------------------- event -------------------------+
//!            v                                                         |
//!   [host] what does host say? -- nothing --> IDLE until poked --------+
//!            |                                                         |
//!            v a vCPU                                                  |
//!       ENTERING: half a hypercall, a switch                           |
//!            v                                                         |
//!          GUEST: steps, computes, spins -- slice end, poke, fault ----+
//!            |                                                         |
//!            +--- hypercall --> CALLING: the other half ---------------+
//! ```

use pvqspin_abi::Hypercall;
use pvqspin_host::{Run, VcpuId};

use crate::vcpu::Activity;

/// What a pCPU is about.
#[derive(Clone, Copy)]
pub(crate) enum Phase {
    /// It waits for a poke.
    Idle,
    /// It will be in its guest at that time.
    Entering(u64),
    /// Its guest's call will reach the host at that time.
    Calling(Hypercall, u64),
    /// It runs its guest.
    Guest,
}

/// One pCPU.
pub(crate) struct Pcpu {
    pub(crate) phase: Phase,
    /// Up to when its guest's own time has been accounted for.
    pub(crate) settled_ns: u64,
    pub(crate) run: Run,
    pub(crate) poked_at: Option<u64>,
    /// The vCPU that it ran last.
    pub(crate) last: Option<VcpuId>,
    /// The VM whose lock's word its guest polls.
    pub(crate) polls_word_of: Option<usize>,
}

impl Pcpu {
    pub(crate) fn new(now: u64) -> Self {
        Self {
            phase: Phase::Idle,
            settled_ns: now,
            run: Run::IDLE,
            // Every pCPU asks once, at boot.
            poked_at: Some(now),
            last: None,
            polls_word_of: None,
        }
    }

    /// When something changes here next, if nothing comes from outside.
    pub(crate) fn next_event(&self, activity: impl FnOnce(VcpuId) -> Option<u64>) -> Option<u64> {
        let interrupt = earlier(self.run.until, self.poked_at);
        match self.phase {
            Phase::Entering(at) | Phase::Calling(_, at) => Some(at),
            Phase::Idle => interrupt.map(|at| at.max(self.settled_ns)),
            Phase::Guest => {
                let step = self.run.vcpu.and_then(activity);
                earlier(interrupt, step).map(|at| at.max(self.settled_ns))
            }
        }
    }

    /// When a vCPU that is about this makes its next step here.
    pub(crate) fn step_time(&self, activity: &Activity) -> Option<u64> {
        match activity {
            Activity::Ready | Activity::Away => Some(self.settled_ns),
            Activity::Compute { left } => Some(self.settled_ns + left),
            Activity::Spin(spin) => {
                earlier(spin.left.map(|left| self.settled_ns + left), spin.sees_at)
            }
            Activity::Ended => None,
        }
    }
}

/// The earlier of two instants, either of which may never come.
pub(crate) fn earlier(a: Option<u64>, b: Option<u64>) -> Option<u64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, None) => one,
        (None, other) => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_poke_that_came_too_early_does_not_turn_back_time() {
        // Poked at 10, while it was on its way out of a call that left it idle at 30.
        let pcpu = Pcpu {
            settled_ns: 30,
            poked_at: Some(10),
            ..Pcpu::new(0)
        };
        assert_eq!(pcpu.next_event(|_| None), Some(30));
    }
}
