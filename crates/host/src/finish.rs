//! The end of every event: idle pCPUs are poked, and the guests concerned learn of pressure.

use crate::host::{Host, Run};
use crate::ids::{Pcpu, VmId};
use crate::pages::GuestPages;

impl<P: GuestPages> Host<P> {
    /// The frame of a pCPU's event ends: what it does now.
    #[inline]
    pub(crate) fn leave(&mut self, p: usize) -> Run {
        self.show(p);
        let pcpu = &self.pcpus[p];
        let mut run = pcpu.slice.as_ref().map_or(Run::IDLE, |slice| {
            let end = slice.end();
            let protected = slice.protected_until(self.clock).filter(|_| pcpu.preempt);
            Run {
                vcpu: Some(slice.current()),
                until: Some(protected.map_or(end, |until| end.min(until))),
            }
        });
        if !self.held_back.is_empty() {
            run.until = self.keep_time(p, run.until);
        }
        self.finish();
        self.tell_on(p);
        run
    }

    /// Pokes idle pCPUs until there is one for each vCPU that waits, as far as they go.
    #[inline]
    pub(crate) fn finish(&mut self) {
        if !self.held_back.is_empty() {
            self.appoint_keeper();
        }
        if !self.idle.is_empty() && self.ready > 0 {
            self.poke_idle();
        }
        #[cfg(debug_assertions)]
        self.check_invariants();
    }

    fn poke_idle(&mut self) {
        let wanted = if self.policy.is_strict() {
            self.waiting_in_turn()
        } else {
            // A pCPU that may run none of them would find nothing, and be poked again and again.
            self.queues.unrestricted() + self.free_lenders()
        };
        let wanted = wanted.min(self.idle.len());
        let mut poked = self.idle.len() - self.idle_unpoked.len();
        // Those that may run on some pCPUs only first: the others take what is left.
        while let Some(p) = self.idle_for_restricted() {
            self.poke(p);
            poked += 1;
        }
        while poked < wanted {
            let Some(p) = self.idle_unpoked.first() else {
                break;
            };
            self.poke(p);
            poked += 1;
        }
    }

    /// How many lenders wait that may run anywhere.
    fn free_lenders(&self) -> usize {
        if self.queues.is_plain() {
            return self.lent.len();
        }
        let lenders = self.lent.iter().filter_map(|p| self.pcpus[p].slice);
        let free = |owner: usize| self.queues.pcpus(self.vcpus[owner].class).is_none();
        lenders.filter(|slice| free(slice.owner().index())).count()
    }

    /// An idle pCPU for vCPUs that may run on some pCPUs only.
    fn idle_for_restricted(&self) -> Option<usize> {
        let mut sets = self.queues.restricted();
        sets.find_map(|pcpus| self.idle_unpoked.first_also_in(pcpus))
    }

    /// Queues a poke, unless one is on its way. Returns whether it did.
    pub(crate) fn poke(&mut self, p: usize) -> bool {
        let new = !core::mem::replace(&mut self.pcpus[p].poked, true);
        if new {
            self.pokes.insert(p);
            self.idle_unpoked.remove(p);
        }
        new
    }

    /// Whether vCPUs wait for which there is no idle pCPU.
    #[inline]
    pub(crate) fn pressure(&self) -> bool {
        if self.idle.is_empty() || self.ready == 0 {
            return self.ready > 0;
        }
        let served = if self.policy.is_strict() {
            self.waiting_in_turn().min(self.idle.len())
        } else {
            self.idle.len()
        };
        self.ready > served
    }

    /// Tells a VM whether there is pressure. Only the VM that an event concerns is told at once; others
    /// are when they have an event of their own, at the latest at the end of their slice.
    #[inline]
    pub(crate) fn tell(&mut self, vm: VmId) {
        let all = self.pressure();
        let vm = &mut self.vms[vm.index()];
        let pressure = all || vm.held_back > 0;
        if let Some(pages) = &vm.pages
            && core::mem::replace(&mut vm.told_pressure, pressure) != pressure
        {
            pages.vm().set_pressure(pressure);
        }
    }

    /// Tells the VM on a pCPU.
    #[inline]
    pub(crate) fn tell_on(&mut self, p: usize) {
        if let Some(vcpu) = self.pcpus[p].current() {
            self.tell(self.vcpus[vcpu.index()].vm);
        }
    }

    /// Whether there is an idle pCPU left for a vCPU that is about to wake, once all that wait
    /// already have theirs.
    pub(crate) fn has_idle_pcpu_for(&self, vcpu: crate::ids::VcpuId) -> bool {
        let state = &self.vcpus[vcpu.index()];
        match self.queues.pcpus(state.class) {
            _ if self.idle.is_empty() || !self.policy.is_its_turn(&state.account) => false,
            _ if state.budget.is_limited() && self.is_spent(vcpu) => false,
            Some(pcpus) => self.idle_unpoked.first_also_in(pcpus).is_some(),
            None => self.waiting_in_turn() < self.idle.len(),
        }
    }

    /// Whether a pCPU exists and was not taken away.
    #[must_use]
    pub fn is_online(&self, pcpu: Pcpu) -> bool {
        (self.pcpus.get(pcpu.index())).is_some_and(|pcpu| !pcpu.offline)
    }
}
