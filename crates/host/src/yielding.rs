//! Directed yields: from a hint to the vCPU that runs next, by contract or as a mere hint.

use pvqspin_abi::chain::{self, End, Look};
use pvqspin_abi::{Cpu, Hint, Status};

use crate::config::YieldMode;
use crate::host::Host;
use crate::ids::VcpuId;
use crate::pages::GuestPages;
use crate::pcpu::Occupant;
use crate::vcpu::State;

impl<P: GuestPages> Host<P> {
    /// `YIELD_TO` by the current one of a pCPU.
    pub(crate) fn yield_to(&mut self, p: usize, occupant: &Occupant, hint: Hint) -> Status {
        let caller = occupant.current;
        let status = match self.target_of(caller, hint) {
            Err(status) => status,
            Ok(target) => self.hand_over(p, occupant, target),
        };
        self.vcpus[caller.index()].stats.yields.add(status);
        status
    }

    /// The waiting vCPU that a hint of `caller` comes to, or why there is none.
    pub(crate) fn target_of(&mut self, caller: VcpuId, hint: Hint) -> Result<VcpuId, Status> {
        let target = self.sibling(caller, hint.cpu).ok_or(Status::Refused)?;
        if target == caller {
            return Err(Status::Refused);
        }
        let current = self.vcpus[target.index()].generation;
        if current != hint.generation {
            return Err(Status::Stale);
        }
        if self.config.yields == YieldMode::Contract && self.config.follow_chain {
            return self.end_of_chain(caller, target);
        }
        match self.vcpus[target.index()].state {
            State::Waiting => Ok(target),
            State::Running(_) => Err(Status::AlreadyRunning),
            State::Idle | State::Halted | State::Ended => Err(Status::Refused),
        }
    }

    fn end_of_chain(&mut self, caller: VcpuId, first: VcpuId) -> Result<VcpuId, Status> {
        let vm = &self.vms[self.vcpus[caller.index()].vm.index()];
        let base = vm.base as usize;
        let (end, hops) = chain::follow(
            vm.vcpus,
            caller.index() - base,
            first.index() - base,
            |index| {
                let vcpu = &self.vcpus[base + index];
                Look {
                    state: vcpu.state.published(),
                    waits_for: vm.pages.vcpu(vcpu.cpu).waiting_for().map(Cpu::index),
                }
            },
        );
        let stats = &mut self.vcpus[caller.index()].stats;
        stats.chains += 1;
        stats.chain_hops += hops;
        stats.longest_chain = hops.max(stats.longest_chain);
        match end {
            End::Run(index) => Ok(VcpuId::new((base + index) as u32)),
            End::Running => Err(Status::AlreadyRunning),
            End::Nobody => Err(Status::Refused),
        }
    }

    /// Gives the pCPU of a caller that can still run to a waiting vCPU, as far as the mode goes.
    pub(crate) fn hand_over(&mut self, p: usize, occupant: &Occupant, target: VcpuId) -> Status {
        let place = Self::place_after(occupant);
        if self.config.yields == YieldMode::Hint {
            self.set_buddy(p, target);
        }
        if !self.lend(p, target, Some(place)) {
            // A mere hint, or a slice that is used up: the caller has had its time all the same.
            self.fresh_pick(p, Some(place));
        }
        self.taken_if_running(target)
    }

    pub(crate) fn taken_if_running(&self, target: VcpuId) -> Status {
        match self.vcpus[target.index()].state {
            State::Running(_) => Status::Ran,
            _ => Status::Refused,
        }
    }

    /// Marks a vCPU as the next to run where it ran last, for a yield from pCPU `p`.
    pub(crate) fn set_buddy(&mut self, p: usize, target: VcpuId) {
        let home = self.home_of(target, p);
        self.pcpus[home].buddy = Some(target);
        if home != p {
            self.pcpus[home].preempt = true;
            self.poke(home);
        }
    }

    /// The pCPU that a vCPU ran on last; `p` if it never ran, or if that one has gone.
    pub(crate) fn home_of(&self, vcpu: VcpuId, p: usize) -> usize {
        (self.vcpus[vcpu.index()].home)
            .filter(|&home| self.is_online(home))
            .map_or(p, crate::ids::Pcpu::index)
    }

    /// The vCPU that `caller` means by a number.
    pub(crate) fn sibling(&self, caller: VcpuId, cpu: Cpu) -> Option<VcpuId> {
        self.vcpu_id(self.vcpus[caller.index()].vm, cpu)
    }
}
