//! When a run has gone wrong, and how everything stood.

use pvqspin_abi::RunState;
use pvqspin_host::VcpuId;

use crate::error::{Dump, SimError, VcpuDump};
use crate::guest_side::GuestSide;
use crate::machine::{Machine, Patience};
use crate::shared::SHOWN;
use crate::vcpu::Vcpu;
use crate::wait_limits::BrokenLimit;

impl Machine<'_> {
    /// Looks for halts without end, and for the absence of any progress.
    pub(crate) fn check(&mut self) -> Result<(), SimError> {
        let now = self.now();
        let Patience {
            stall_after_ns,
            halt_timeout_ns,
        } = self.patience;
        self.next_check_ns = now + stall_after_ns.min(halt_timeout_ns) / 4;
        let too_long =
            |since: Option<u64>| since.is_some_and(|since| now - since > halt_timeout_ns);
        if let Some(limit) = self.shared.overdue() {
            return Err(self.broken(limit));
        }
        if let Some(lost) = self.lost(now) {
            let cpu = self.shared.guests[lost].cpu;
            return Err(SimError::Lost(cpu, self.dump()));
        }
        if let Some(asleep) = self.vcpus.iter().position(|v| too_long(v.halted_since)) {
            let cpu = self.shared.guests[asleep].cpu;
            return Err(SimError::LostWakeUp(cpu, self.dump()));
        }
        let (since, before) = self.progress_before;
        let progress = (self.progress)();
        if progress != before {
            self.progress_before = (now, progress);
        } else if now - since > stall_after_ns {
            return Err(SimError::Stalled(now - since, self.dump()));
        }
        Ok(())
    }

    /// A vCPU that could run, and has not been put on a pCPU for as long as patience lasts.
    fn lost(&self, now: u64) -> Option<usize> {
        self.vcpus.iter().enumerate().position(|(index, vcpu)| {
            let off = vcpu
                .off_since
                .is_some_and(|since| now - since > self.patience.stall_after_ns);
            off && self.host.run_state(VcpuId::new(index as u32)) == Some(RunState::Preempted)
        })
    }

    /// The error that a broken limit is.
    #[cold]
    pub(crate) fn broken(&self, limit: BrokenLimit) -> SimError {
        let limits = &self.shared.limits;
        match limit {
            BrokenLimit::Longest { vcpu, ns } => SimError::WaitTooLong {
                cpu: self.shared.guests[vcpu].cpu,
                ns,
                limit_ns: limits.longest_ns.unwrap_or_default(),
                dump: self.dump(),
            },
            BrokenLimit::Overtakers { vcpu, count } => SimError::Overtaken {
                cpu: self.shared.guests[vcpu].cpu,
                count,
                limit: limits.overtakers.unwrap_or_default(),
                dump: self.dump(),
            },
        }
    }

    /// How everything stands.
    pub(crate) fn dump(&self) -> Box<Dump> {
        let vcpus = self.shared.guests.iter().zip(&self.vcpus).enumerate();
        let of = |(index, (guest, vcpu)): (usize, (&GuestSide, &Vcpu<'_>))| {
            let page = guest.memory.page(guest.cpu);
            let id = VcpuId::new(index as u32);
            VcpuDump {
                vm: guest.vm,
                cpu: guest.cpu,
                state: self.host.run_state(id).unwrap_or(RunState::Idle),
                generation: page.run().generation().get(),
                waits_for: page.waiting_for(),
                joined_ns: guest.wait.joined_ns.get(),
                activity: vcpu.activity.to_string(),
            }
        };
        Box::new(Dump {
            lock: self.lock,
            seed: self.seed,
            at_ns: self.now(),
            vcpus: vcpus.map(of).collect(),
            events: self.shared.trace.borrow().last(SHOWN),
        })
    }
}
