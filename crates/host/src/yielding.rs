//! Directed yields and halts: from a hint to the vCPU that runs next, by contract or as a mere hint.

use pvqspin_abi::chain::{self, End, Look};
use pvqspin_abi::{Cpu, Hint, Status};

use crate::config::YieldMode;
use crate::host::Host;
use crate::ids::VcpuId;
use crate::loan::Why;
use crate::pages::GuestPages;
use crate::state::vcpu::{State, Then};

impl<P: GuestPages> Host<P> {
    /// `YIELD_TO` by the current one of a pCPU.
    pub(crate) fn yield_to(&mut self, p: usize, caller: VcpuId, hint: Hint) -> Status {
        let status = match self.target_of(caller, hint) {
            Err(status) => status,
            Ok(target) => self.hand_over(p, target),
        };
        self.vcpus[caller.index()].stats.yields.add(status);
        status
    }

    /// `HALT` by the current one of a pCPU.
    pub(crate) fn halt(&mut self, p: usize, caller: VcpuId, hint: Option<Hint>) -> Status {
        let state = &mut self.vcpus[caller.index()];
        let kicked = core::mem::take(&mut state.kick_pending);
        if core::mem::take(&mut state.interrupt_pending) || kicked {
            state.stats.halts_avoided += 1;
            return Status::Ran;
        }
        state.stats.halts += 1;
        // The chain is followed while the caller still runs: it is the caller's hint.
        let target = hint.map(|hint| self.target_of(caller, hint));
        self.put_to_sleep(caller, State::Halted);
        let Some(target) = target else {
            self.give_back(p);
            return Status::Ran;
        };
        let status = match target {
            Ok(target) => self.hand_over_asleep(p, target),
            Err(status) => {
                self.give_back(p);
                status
            }
        };
        self.vcpus[caller.index()].stats.halt_hints.add(status);
        status
    }

    fn hand_over_asleep(&mut self, p: usize, target: VcpuId) -> Status {
        if self.config.yields == YieldMode::Hint {
            self.set_buddy(p, target);
        }
        if !self.lend(p, target, false) {
            self.fresh_pick(p, None);
        }
        self.taken_if_running(target)
    }

    /// Takes the current one of a pCPU into a state in which it does not want one.
    pub(crate) fn put_to_sleep(&mut self, vcpu: VcpuId, state: State) {
        let held = core::mem::take(&mut self.vcpus[vcpu.index()].hold);
        let state = match state {
            State::Idle if held => State::Held(Then::Sleep),
            State::Halted if held => State::Held(Then::Halt),
            state => state,
        };
        self.set_state(vcpu, state);
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
            State::HeldBack if self.config.yields == YieldMode::Contract => Ok(target),
            State::Running(_) => Err(Status::AlreadyRunning),
            _ => Err(Status::Refused),
        }
    }

    fn end_of_chain(&mut self, caller: VcpuId, first: VcpuId) -> Result<VcpuId, Status> {
        let vm = &self.vms[self.vcpus[caller.index()].vm.index()];
        let pages = vm.pages.as_ref().ok_or(Status::Refused)?;
        let base = vm.base as usize;
        let (end, hops) = chain::follow(
            vm.vcpus,
            caller.index() - base,
            first.index() - base,
            |index| {
                let vcpu = &self.vcpus[base + index];
                Look {
                    state: vcpu.state.published(),
                    waits_for: pages.vcpu(vcpu.cpu).waiting_for().map(Cpu::index),
                }
            },
        );
        let stats = &mut self.vcpus[caller.index()].stats;
        stats.chains += 1;
        stats.chain_hops += hops;
        stats.longest_chain = hops.max(stats.longest_chain);
        match end {
            End::Run(index) => {
                let target = VcpuId::new((base + index) as u32);
                // One that is held looks preempted, and cannot be run.
                let waits = self.vcpus[target.index()].state.could_run();
                waits.then_some(target).ok_or(Status::Refused)
            }
            End::Running => Err(Status::AlreadyRunning),
            End::NoTarget => Err(Status::Refused),
        }
    }

    /// Gives the pCPU of a caller that can still run to a waiting vCPU, as far as the mode goes.
    pub(crate) fn hand_over(&mut self, p: usize, target: VcpuId) -> Status {
        if self.config.yields == YieldMode::Hint {
            self.set_buddy(p, target);
        }
        if !self.may_run_on(target, p) {
            return Status::Refused;
        }
        if !self.lend(p, target, true) {
            // A mere hint, or a slice that is used up: the caller has had its time all the same.
            self.fresh_pick(p, Some(Why::Over));
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
