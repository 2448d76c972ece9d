//! The event loop: it always handles the pCPU whose next event is the earliest, ties by number.
//!
//! Every step of a guest takes place at one instant, one step after the other. So memory is
//! sequentially consistent, and a run is the same every time. After each step of a guest and each
//! event of the host, the spinners that may see something new evaluate their conditions again:
//!
//! ```text
//!   a step of a guest        writes the memory of its own VM          spinners of that VM
//!   an event of the host     writes the pages of vCPUs that it        spinners of their VMs
//!                            takes off, puts on or wakes
//!                            changes the pressure                     all spinners
//! ```
//!
//! The cost of an event depends on what happens in it alone. vCPUs that sleep or wait for a pCPU
//! cost nothing, and what goes on in one VM costs nothing for another VM. What does cost is each
//! vCPU of the same VM that spins on a pCPU: one condition (docs/scale.md).

use pvqspin_driver_common::What;

use crate::caller::TOLD_EVERY;
use crate::error::SimError;
use crate::machine::{Machine, pcpu};
use crate::pcpu::Phase;
use crate::request::Request;
use crate::vcpu::{Activity, Spin};

/// More events than this at one instant mean that time stands still.
const MOST_EVENTS_AT_ONCE: u64 = 1_000_000;

impl Machine<'_> {
    /// Runs until that time, or until every vCPU has ended.
    pub(crate) fn run_until(&mut self, deadline: u64) -> Result<(), SimError> {
        while !self.all_ended() {
            let Some((at, p)) = self.agenda.earliest() else {
                return Err(SimError::AllAsleep(self.dump()));
            };
            if at >= deadline {
                break;
            }
            debug_assert!(at >= self.now(), "an event was missed");
            self.events_now = if at == self.now() {
                self.events_now + 1
            } else {
                0
            };
            if self.events_now > MOST_EVENTS_AT_ONCE {
                return Err(SimError::Standstill(at, self.dump()));
            }
            self.shared.now.set(at);
            self.events += 1;
            if self.events.is_multiple_of(TOLD_EVERY) {
                self.caller.tell(at)?;
            }
            self.handle(p);
            if let Some(limit) = self.shared.broken.take() {
                return Err(self.broken(limit));
            }
            if at >= self.next_check_ns {
                self.check()?;
            }
        }
        self.shared.now.set(deadline.max(self.now()));
        self.settle_all();
        Ok(())
    }

    fn handle(&mut self, p: usize) {
        let now = self.now();
        self.shared.pcpu.set(p);
        match self.pcpus[p].phase {
            Phase::Idle => self.interrupted(p),
            Phase::Entering(_) => self.entered(p),
            Phase::Calling(call, _) => self.call(p, call),
            Phase::Guest => {
                self.settle(p);
                let due = |at: Option<u64>| at.is_some_and(|at| at <= now);
                if due(self.pcpus[p].run.until) || due(self.pcpus[p].poked_at) {
                    self.interrupted(p);
                } else {
                    self.step(p);
                }
            }
        }
    }

    fn step(&mut self, p: usize) {
        let Some(id) = self.pcpus[p].run.vcpu else {
            return;
        };
        let vcpu = id.index();
        if matches!(self.vcpus[vcpu].activity, Activity::Spin(_)) && !self.spin_is_over(vcpu) {
            self.refresh(p);
            return;
        }
        self.shared.current.set(vcpu);
        let request = self.vcpus[vcpu].step();
        let now = self.now();
        match request {
            Some(Request::Compute(ns)) => {
                self.vcpus[vcpu].activity = Activity::Compute { left: ns };
            }
            Some(Request::Spin(condition, budget)) => {
                self.vcpus[vcpu].activity = Activity::Spin(Spin {
                    condition,
                    left: budget.map(u64::from),
                    sees_at: None,
                });
            }
            Some(Request::Call(call)) => {
                self.vcpus[vcpu].activity = Activity::Away;
                let half = u64::from(self.shared.costs.hypercall_ns / 2);
                self.pcpus[p].phase = Phase::Calling(call, now + half);
            }
            Some(Request::Lose) => {
                self.vcpus[vcpu].activity = Activity::Away;
                self.recheck_after_step(p, vcpu);
                let run = self.event(|host, now| host.preempt(now, pcpu(p)).run);
                self.follow(p, run, 0);
                return;
            }
            None => {
                self.vcpus[vcpu].activity = Activity::Ended;
                self.ended += 1;
                self.shared.record(Some(vcpu), What::Done);
                self.recheck_after_step(p, vcpu);
                let run = self.event(|host, now| host.exit(now, pcpu(p)).run);
                self.follow(p, run, 0);
                return;
            }
        }
        self.recheck_after_step(p, vcpu);
    }

    fn recheck_after_step(&mut self, p: usize, vcpu: usize) {
        self.refresh(p);
        self.recheck(self.shared.guests[vcpu].vm, p);
        debug_assert!(self.all_rechecked(), "a condition reads another VM");
    }
}
