//! Events of the host: slice ends, pokes, hypercalls, and what the host decides.

use pvqspin_abi::{Hypercall, RunState};
use pvqspin_driver_common::{GuestMemory, What};
use pvqspin_host::{Host, Outcome, Pcpu as HostPcpu, Run, VcpuId};

use crate::machine::{Machine, pcpu};
use crate::pcpu::{Phase, earlier};
use crate::snapshots::HostSnapshot;
use crate::vcpu::Activity;

impl Machine<'_> {
    /// Slice end or poke: the pCPU asks the host.
    pub(crate) fn interrupted(&mut self, p: usize) {
        let now = self.now();
        let poked = self.pcpus[p].poked_at.is_some_and(|at| at <= now);
        if poked {
            self.pcpus[p].poked_at = None;
        }
        if matches!(self.pcpus[p].phase, Phase::Guest) {
            let vcpu = self.pcpus[p].run.vcpu.map(VcpuId::index);
            let why = if poked { What::Poked } else { What::SliceEnd };
            self.shared.record(vcpu, why);
            self.owed_ns += u64::from(self.shared.costs.interrupt_ns);
        }
        let run = self.event(|host, now| host.reschedule(now, pcpu(p)));
        self.follow(p, run, 0);
    }

    pub(crate) fn call(&mut self, p: usize, call: Hypercall) {
        let Some(caller) = self.pcpus[p].run.vcpu else {
            return;
        };
        let outcome: Outcome = self.event(|host, now| host.hypercall(now, pcpu(p), call));
        let vcpu = &mut self.vcpus[caller.index()];
        vcpu.reply.status = outcome.status;
        vcpu.calls.count(call, outcome.status);
        if self.host.run_state(caller) == Some(RunState::Halted) {
            vcpu.halted_since = Some(self.shared.now.get());
        }
        let what = match call {
            Hypercall::Halt(hint) => What::Halt(hint.map(|hint| hint.cpu), outcome.status),
            Hypercall::Kick(cpu) => What::Kick(cpu, outcome.status),
            Hypercall::YieldTo(hint) => What::YieldTo(hint.cpu, outcome.status),
        };
        self.shared.record(Some(caller.index()), what);
        let whole = u64::from(self.shared.costs.hypercall_ns);
        self.follow(p, outcome.run, whole - whole / 2);
    }

    /// Tells the host what happened, and pokes the pCPUs that it wants poked.
    pub(crate) fn event<R>(
        &mut self,
        tell: impl FnOnce(&mut Host<&'static GuestMemory>, u64) -> R,
    ) -> R {
        let now = self.now();
        let result = tell(&mut self.host, now);
        while let Some(poked) = self.host.next_poke() {
            self.poke(poked.index());
        }
        self.show_host();
        let pressure = self.pressure_now();
        if pressure != self.pressure {
            // Whether time is wasted depends on it: account for what passed before.
            self.settle_all();
            self.pressure = pressure;
            self.all_recheck = true;
        }
        result
    }

    fn poke(&mut self, p: usize) {
        let costs = &self.shared.costs;
        self.owed_ns += u64::from(costs.poke_send_ns);
        let mut at = self.now() + u64::from(costs.poke_ns);
        if let Some(pcpu) = self.pcpus.get_mut(p) {
            if matches!(pcpu.phase, Phase::Idle) {
                at += u64::from(costs.wake_ns);
            }
            pcpu.poked_at = earlier(pcpu.poked_at, Some(at));
            self.refresh(p);
        }
    }

    /// Does on a pCPU what the host says, after what that costs and what the pCPU owes.
    pub(crate) fn follow(&mut self, p: usize, run: Run, cost_ns: u64) {
        let now = self.now();
        let owed_ns = core::mem::take(&mut self.owed_ns);
        let slice_ns = self.host.config().slice_ns;
        let pcpu = &mut self.pcpus[p];
        let touched = [pcpu.run.vcpu, run.vcpu];
        if let Some(left) = pcpu.run.vcpu {
            self.vcpus[left.index()].off_since = Some(now);
        }
        pcpu.run = Run {
            until: (run.until)
                .map(|at| self.shared.timer_comes(at, slice_ns))
                .map(|at| self.shared.costs.noticed(at)),
            ..run
        };
        pcpu.settled_ns = now;
        if run.vcpu.is_none() {
            pcpu.phase = Phase::Idle;
            pcpu.last = None;
            self.shared.record(None, What::Idle);
        } else {
            let switch = if pcpu.last == run.vcpu {
                0
            } else {
                u64::from(self.shared.costs.switch_ns)
            };
            pcpu.last = run.vcpu;
            pcpu.phase = Phase::Entering(now + owed_ns + cost_ns + switch);
            if switch > 0 || cost_ns == 0 {
                let vcpu = run.vcpu.map(VcpuId::index);
                self.shared.record(vcpu, What::Enter);
            }
        }
        self.refresh(p);
        self.recheck_after_event(p, touched);
    }

    /// The host wrote to the pages of these vCPUs, and perhaps of others of the same VMs.
    fn recheck_after_event(&mut self, p: usize, touched: [Option<VcpuId>; 2]) {
        if core::mem::take(&mut self.all_recheck) {
            (0..self.shared.vms.len()).for_each(|vm| self.recheck(vm, p));
        } else {
            let mut before = None;
            for vm in touched.map(|id| id.map(|id| self.shared.guests[id.index()].vm)) {
                if vm != before
                    && let Some(vm) = vm
                {
                    self.recheck(vm, p);
                }
                before = vm;
            }
        }
        debug_assert!(self.all_rechecked(), "the host wrote to another VM");
    }

    /// The guest of a pCPU goes on.
    pub(crate) fn entered(&mut self, p: usize) {
        let now = self.now();
        let pcpu = &mut self.pcpus[p];
        pcpu.phase = Phase::Guest;
        pcpu.settled_ns = now;
        let Some(id) = pcpu.run.vcpu else { return };
        let vcpu = &mut self.vcpus[id.index()];
        vcpu.halted_since = None;
        vcpu.off_since = None;
        if let Activity::Spin(spin) = &mut vcpu.activity {
            spin.sees_at = None;
        }
        let guest = &self.shared.guests[id.index()];
        let generation = guest.memory.page(guest.cpu).run().generation().get();
        if core::mem::replace(&mut vcpu.generation, generation) != generation {
            guest.entered_ns.set(now);
            guest.ran_at.set(p);
        }
        self.refresh(p);
        self.recheck_on(p, self.shared.word_of(id.index()));
    }

    /// Shows those who look how the host stands.
    pub(crate) fn show_host(&self) {
        if self.shared.snapshots.wanted() {
            let number = |vcpu: VcpuId| vcpu.index() as u32;
            self.shared.snapshots.note_host(HostSnapshot {
                pcpus: (0..self.host.config().pcpus as u32)
                    .map(|p| self.host.current(HostPcpu::new(p)).map(number))
                    .collect(),
                queue: self.host.waiting().map(number).collect(),
            });
        }
    }
}
