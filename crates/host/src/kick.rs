//! Waking: kicks, devices, and who has to make room.
//!
//! Where a kicked vCPU runs, in this order:
//!
//! ```text
//!   an idle pCPU                                      both modes
//!   a pCPU whose current one only spins, same VM      contract
//!   the kicker's own pCPU                             contract
//!   first in line where it ran last                   hint
//!   the end of the run order                          contract, not ordered
//! ```

use pvqspin_abi::{Cpu, Status};

use crate::config::{Scheduling, YieldMode};
use crate::host::Host;
use crate::ids::{VcpuId, VmId};
use crate::order::Place;
use crate::pages::GuestPages;
use crate::pcpu::Occupant;
use crate::vcpu::State;

impl<P: GuestPages> Host<P> {
    /// `KICK` by the current one of a pCPU.
    pub(crate) fn kick(&mut self, p: usize, occupant: &Occupant, cpu: Cpu) -> Status {
        let caller = occupant.current;
        let status = match self.sibling(caller, cpu) {
            None => Status::Refused,
            Some(target) => self.kick_sibling(p, occupant, target),
        };
        self.vcpus[caller.index()].stats.kicks.add(status);
        status
    }

    fn kick_sibling(&mut self, p: usize, occupant: &Occupant, target: VcpuId) -> Status {
        match self.vcpus[target.index()].state {
            State::Ended => return Status::Refused,
            State::Halted => {}
            State::Idle | State::Waiting | State::Running(_) => {
                self.vcpus[target.index()].kick_pending = true;
                return Status::AlreadyRunning;
            }
        }
        let idle_pcpu = self.has_idle_pcpu_for(target);
        self.wake(target);
        if idle_pcpu {
            // The end of this event pokes it.
            return Status::Ran;
        }
        if self.config.yields == YieldMode::Hint {
            let home = self.home_of(target, p);
            self.pcpus[home].buddy = Some(target);
            self.preempt_for(target);
            return Status::Refused;
        }
        if !self.config.ordered {
            // As a scheduler that does not know why it was kicked: behind all who wait already.
            return Status::Refused;
        }
        if self.displace_spinner(p, target) {
            return Status::Ran;
        }
        self.hand_over(p, occupant, target)
    }

    /// Puts a vCPU that slept into the run order.
    pub(crate) fn wake(&mut self, vcpu: VcpuId) {
        self.activate(vcpu);
        self.vcpus[vcpu.index()].boosted = self.vcpus[vcpu.index()].account.credit > 0;
        self.enqueue(vcpu, Place::Tail);
        self.publish(vcpu);
    }

    /// Whether there is an idle pCPU left for a vCPU that is about to wake, once all who wait
    /// already have theirs.
    pub(crate) fn has_idle_pcpu_for(&self, vcpu: VcpuId) -> bool {
        self.idle_pcpus > 0 && self.is_its_turn(vcpu) && self.waiting_in_turn() < self.idle_pcpus
    }

    // --- making room for a kicked one ----------------------------------------------------------

    /// Reserves the rest of the slice of a vCPU that only spins.
    fn displace_spinner(&mut self, p: usize, target: VcpuId) -> bool {
        let vm = self.vcpus[target.index()].vm;
        let spinner = (0..self.pcpus.len())
            .filter(|&q| q != p && self.pcpus[q].reserved.is_none())
            .filter_map(|q| self.spinner_on(q, vm).map(|end| (end, q)))
            .max_by_key(|&(end, q)| (end, core::cmp::Reverse(q)));
        let Some((_, q)) = spinner else {
            return false;
        };
        self.pcpus[q].reserved = Some(target);
        self.poke(q);
        true
    }

    /// When the slice on a pCPU ends, if a vCPU of this VM spins there on its own slice.
    ///
    /// The VM is checked because a page that says "I only spin" is no reason to take time from
    /// another VM's slice, and a loan is checked because it was promised.
    fn spinner_on(&self, q: usize, vm: VmId) -> Option<u64> {
        let occupant = self.pcpus[q].occupant?;
        let vcpu = &self.vcpus[occupant.current.index()];
        let spins = vcpu.vm == vm
            && matches!(vcpu.state, State::Running(_))
            && !occupant.is_loan()
            && self.can_lend(&occupant.slice)
            && (self.vms[vcpu.vm.index()].pages.vcpu(vcpu.cpu))
                .waiting_for()
                .is_some();
        spins.then_some(occupant.slice.end)
    }

    /// Lets the reserved vCPU have what is left on a pCPU. Not if the spinner has stopped
    /// spinning meanwhile: it may hold the lock by now.
    pub(crate) fn honour_reservation(&mut self, p: usize) -> bool {
        let Some(target) = self.pcpus[p].reserved.take() else {
            return false;
        };
        let state = &self.vcpus[target.index()];
        state.state == State::Waiting
            && self.spinner_on(p, state.vm).is_some()
            && self.lend(p, target, Some(Place::Tail))
    }

    // --- making room for one that a device woke ------------------------------------------------

    /// Pokes the pCPU that a woken vCPU may take at once under the scheduling policy, if any.
    pub(crate) fn preempt_for(&mut self, woken: VcpuId) {
        let Some(p) = self.pcpu_to_preempt(woken) else {
            return;
        };
        self.pcpus[p].preempt = true;
        self.poke(p);
    }

    fn pcpu_to_preempt(&mut self, woken: VcpuId) -> Option<usize> {
        let policy = self.config.scheduling;
        if !matches!(policy, Scheduling::Fair | Scheduling::Credit) {
            return None;
        }
        let mut worst = None;
        for p in 0..self.pcpus.len() {
            self.charge(p);
            let Some(occupant) = self.pcpus[p].occupant else {
                continue;
            };
            if self.goes_before(woken, &occupant) {
                let rank = match policy {
                    Scheduling::Credit => u128::from(self.running_class(occupant.current)),
                    _ => self.vcpus[occupant.current.index()].account.vruntime,
                };
                // The first of equals, so that the choice does not depend on the direction.
                if worst.is_none_or(|(most, _)| rank > most) {
                    worst = Some((rank, p));
                }
            }
        }
        worst.map(|(_, p)| p)
    }

    /// Whether a waiting vCPU is so much better placed than a running one that it need not wait
    /// for the end of its slice. Never against a loan.
    pub(crate) fn goes_before(&self, waiting: VcpuId, running: &Occupant) -> bool {
        if running.is_loan() {
            return false;
        }
        let account = &self.vcpus[waiting.index()].account;
        match self.config.scheduling {
            Scheduling::Fair => {
                // A quarter of a slice of advantage, or everybody would preempt everybody.
                let step = crate::accounting::weighted(self.config.slice_ns / 4, account.weight);
                let current = self.vcpus[running.current.index()].account.vruntime;
                account.vruntime + step < current
            }
            Scheduling::Credit => self.key_of(waiting).class < self.running_class(running.current),
            Scheduling::RoundRobin | Scheduling::CoScheduled => false,
        }
    }
}
