//! Leaving a pCPU of one's own will: halt, block, exit.

use pvqspin_abi::{Hint, Status};

use crate::config::YieldMode;
use crate::host::Host;
use crate::ids::VcpuId;
use crate::pages::GuestPages;
use crate::vcpu::State;

impl<P: GuestPages> Host<P> {
    /// `HALT` by the current one of a pCPU.
    pub(crate) fn halt(&mut self, p: usize, caller: VcpuId, hint: Option<Hint>) -> Status {
        let state = &mut self.vcpus[caller.index()];
        if core::mem::take(&mut state.kick_pending) {
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
        if !self.lend(p, target, None) {
            self.fresh_pick(p, None);
        }
        self.taken_if_running(target)
    }

    /// Takes an active vCPU off, into a state in which it does not want a pCPU.
    pub(crate) fn put_to_sleep(&mut self, vcpu: VcpuId, state: State) {
        self.deactivate(vcpu);
        self.vcpus[vcpu.index()].state = state;
    }
}
