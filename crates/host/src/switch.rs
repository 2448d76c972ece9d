//! Putting vCPUs on pCPUs and taking them off: the only place where a vCPU changes pCPU.
//!
//! ```text
//!                    pick from the run order              charged to
//!   fresh_pick   -------------------------> new slice     the one picked
//!   lend         named by a call            same slice    the slice's owner, as before
//!   give_back    the owner, if it waits     same slice    itself
//! ```

use crate::config::{Scheduling, YieldMode};
use crate::host::Host;
use crate::ids::{Pcpu, VcpuId};
use crate::order::Place;
use crate::pages::GuestPages;
use crate::pcpu::{Occupant, Slice};
use crate::vcpu::State;
use pvqspin_abi::RunSample;

impl<P: GuestPages> Host<P> {
    // --- the run order -------------------------------------------------------------------------

    pub(crate) fn enqueue(&mut self, vcpu: VcpuId, place: Place) {
        self.vcpus[vcpu.index()].state = State::Waiting;
        if place == Place::Tail {
            self.vcpus[vcpu.index()].turn = self.order.next_turn();
            self.forfeit_unused(vcpu);
        }
        let key = self.key_of(vcpu);
        self.vcpus[vcpu.index()].key = key;
        self.order.insert(key, vcpu);
    }

    fn dequeue(&mut self, vcpu: VcpuId) {
        self.order.remove(self.vcpus[vcpu.index()].key, vcpu);
    }

    // --- choosing ------------------------------------------------------------------------------

    /// Ends the slice on a pCPU and begins one of the next vCPU. The one that ran goes back
    /// into the run order, if it can still run.
    pub(crate) fn fresh_pick(&mut self, p: usize, requeue: Option<Place>) {
        if let Some(occupant) = self.pcpus[p].occupant {
            self.settle_slice(&occupant, requeue);
            if let Some(place) = requeue {
                self.enqueue(occupant.current, place);
            }
        }
        let next = self.pick(p).map(|vcpu| {
            self.dequeue(vcpu);
            self.vcpus[vcpu.index()].boosted = false;
            Occupant {
                current: vcpu,
                slice: self.new_slice(vcpu),
            }
        });
        self.install(p, next);
    }

    fn pick(&mut self, p: usize) -> Option<VcpuId> {
        // A buddy is asked for once, whatever comes of it.
        let buddy = self.pcpus[p].buddy.take();
        match self.config.scheduling {
            Scheduling::CoScheduled => {
                let by_turn = self.pick_from_gang(p);
                buddy.filter(|&vcpu| self.may_jump(vcpu)).or(by_turn)
            }
            _ if buddy.is_some_and(|vcpu| self.may_jump(vcpu)) => buddy,
            scheduling => {
                let (key, vcpu) = self.order.first()?;
                if scheduling == Scheduling::Fair {
                    self.ledger.floor = self.ledger.floor.max(key.rank);
                }
                Some(vcpu)
            }
        }
    }

    /// Whether a buddy may go before its turn.
    pub(crate) fn may_jump(&self, buddy: VcpuId) -> bool {
        self.vcpus[buddy.index()].state == State::Waiting
            && self.is_its_turn(buddy)
            && self.is_eligible(buddy)
    }

    fn new_slice(&mut self, owner: VcpuId) -> Slice {
        let now = self.clock;
        let (end, limit) = if self.config.scheduling == Scheduling::CoScheduled {
            // No loan may hold up the whole gang's switch.
            (self.gangs.end(), self.gangs.end())
        } else {
            let end = now.saturating_add(self.take_slice_length(owner));
            (end, end.saturating_add(self.config.min_loan_ns))
        };
        Slice {
            owner,
            end,
            planned_end: end,
            limit,
            charged_until: now,
            epoch: self.gangs.epoch(),
        }
    }

    // --- loans ---------------------------------------------------------------------------------

    /// Where the current one of a pCPU goes if it has to leave: borrowed time costs no place.
    pub(crate) fn place_after(occupant: &Occupant) -> Place {
        if occupant.is_loan() {
            Place::Kept
        } else {
            Place::Tail
        }
    }

    /// Whether a slice is over.
    pub(crate) fn is_over(&self, slice: &Slice) -> bool {
        self.clock >= slice.end || slice.epoch != self.gangs.epoch()
    }

    /// Whether a slice can still be lent from.
    pub(crate) fn can_lend(&self, slice: &Slice) -> bool {
        self.config.yields == YieldMode::Contract
            && self.clock < slice.limit
            && slice.epoch == self.gangs.epoch()
    }

    /// Runs a waiting vCPU on what is left of the slice on a pCPU. `requeue`: where the current
    /// one goes, if it can still run. False, and nothing done, if there is nothing left to lend.
    pub(crate) fn lend(&mut self, p: usize, target: VcpuId, requeue: Option<Place>) -> bool {
        let Some(Occupant { current, mut slice }) = self.pcpus[p].occupant else {
            return false;
        };
        if !self.can_lend(&slice) {
            return false;
        }
        let at_least = self.clock.saturating_add(self.config.min_loan_ns);
        slice.end = slice.end.max(at_least.min(slice.limit));
        if let Some(place) = requeue {
            self.enqueue(current, place);
        }
        self.dequeue(target);
        self.vcpus[target.index()].stats.loans += u64::from(target != slice.owner);
        let current = target;
        self.install(p, Some(Occupant { current, slice }));
        true
    }

    /// The current one has left. If it was on a loan and the owner of the slice waits, the owner
    /// has the rest of it back; otherwise a vCPU is picked.
    pub(crate) fn give_back(&mut self, p: usize) {
        let owner = (self.pcpus[p].occupant)
            .filter(|_| self.config.ordered)
            .filter(|occupant| occupant.is_loan() && !self.is_over(&occupant.slice))
            .map(|occupant| occupant.slice.owner)
            .filter(|owner| self.vcpus[owner.index()].state == State::Waiting);
        match owner {
            Some(owner) if self.lend(p, owner, None) => {}
            _ => self.fresh_pick(p, None),
        }
    }

    // --- the switch itself ---------------------------------------------------------------------

    /// Makes `next` the occupant of a pCPU, and tells the guests.
    pub(crate) fn install(&mut self, p: usize, next: Option<Occupant>) {
        let prev = core::mem::replace(&mut self.pcpus[p].occupant, next);
        match (prev.is_some(), next.is_some()) {
            (true, false) => self.idle_pcpus += 1,
            (false, true) => self.idle_pcpus -= 1,
            _ => {}
        }
        let (prev, next) = (prev.map(|o| o.current), next.map(|o| o.current));
        let pcpu = Pcpu::new(p as u32);
        if let Some(vcpu) = next {
            self.vcpus[vcpu.index()].state = State::Running(pcpu);
        }
        if prev == next {
            // It never left: no new generation, and nothing that a guest could see.
            return;
        }
        if let Some(vcpu) = prev {
            self.publish(vcpu);
        }
        if let Some(vcpu) = next {
            let state = &mut self.vcpus[vcpu.index()];
            let next = state.generation.next();
            state.generation = next;
            state.home = Some(pcpu);
            state.stats.runs += 1;
            self.publish(vcpu);
        }
    }

    /// Writes a vCPU's state where its guest sees it.
    pub(crate) fn publish(&self, vcpu: VcpuId) {
        let vcpu = &self.vcpus[vcpu.index()];
        let sample = RunSample::new(vcpu.state.published(), vcpu.generation);
        self.vms[vcpu.vm.index()]
            .pages
            .vcpu(vcpu.cpu)
            .set_run(sample);
    }

    // --- at the end of every event -------------------------------------------------------------

    /// Pokes idle pCPUs until there is one for everybody who waits, as far as they go; then
    /// tells the guests whether anybody still has to wait.
    pub(crate) fn finish(&mut self) {
        let served = if self.idle_pcpus == 0 || self.order.len() == 0 {
            0
        } else {
            let served = self.waiting_in_turn().min(self.idle_pcpus);
            self.poke_idle(served);
            served
        };
        let pressure = self.order.len() > served;
        if pressure != self.pressure {
            self.pressure = pressure;
            for vm in &self.vms {
                vm.pages.vm().set_pressure(pressure);
            }
        }
    }

    /// Makes sure that so many idle pCPUs are poked, those that are already included.
    fn poke_idle(&mut self, count: usize) {
        let poked = (self.pcpus.iter())
            .filter(|pcpu| pcpu.is_idle() && pcpu.poked)
            .count();
        let mut missing = count.saturating_sub(poked);
        for p in 0..self.pcpus.len() {
            if missing == 0 {
                break;
            }
            if self.pcpus[p].is_idle() && !self.pcpus[p].poked {
                self.poke(p);
                missing -= 1;
            }
        }
    }
}
