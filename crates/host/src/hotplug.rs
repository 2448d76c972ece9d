//! pCPUs that are taken away and come back, and pages that do.
//!
//! ```text
//!                 offline: who ran here waits, and keeps its place
//!   +--------+ ------------------------------------------------------> +---------+
//!   | online |                                                         | offline |
//!   +--------+ <------------------------------------------------------ +---------+
//!                 online: idle, and poked if a vCPU waits
//! ```
//!
//! There is one run order for the whole host, so no vCPU has to be moved: each waits for the
//! pCPUs that are left. What was meant for the one that goes (a buddy, a reservation) is forgotten;
//! whom it named stands in the run order in any case.

use crate::host::Host;
use crate::ids::{Pcpu, VmId};
use crate::pages::GuestPages;

impl<P: GuestPages> Host<P> {
    /// A pCPU goes away: an event of that pCPU, after the registers of the vCPU on it are saved. That
    /// vCPU waits from now on, as if it had been displaced: it keeps its place.
    ///
    /// False, and nothing done, if it has gone already, does not exist, or is the last one: somebody
    /// has to run the guests. Until [`online`](Self::online) it has nothing to run, whatever it asks, and
    /// calls from it are refused.
    pub fn offline(&mut self, now: u64, pcpu: Pcpu) -> bool {
        let Some(p) = self.enter(now, pcpu) else {
            return false;
        };
        let others = self.online_pcpus() - usize::from(!self.pcpus[p].offline);
        if self.pcpus[p].offline || others == 0 {
            self.finish();
            return false;
        }
        self.vacate(p);
        let state = &mut self.pcpus[p];
        (state.reserved, state.buddy) = (None, None);
        (state.preempt, state.poked) = (false, false);
        state.offline = true;
        self.pokes.retain(|&poked| poked != pcpu);
        self.idle_pcpus -= 1;
        self.finish();
        true
    }

    /// A pCPU comes back, and has no vCPU to run: it is poked as soon as one waits. False, and
    /// nothing done, if it was never away, or does not exist.
    pub fn online(&mut self, now: u64, pcpu: Pcpu) -> bool {
        self.advance(now);
        let Some(state) = self.pcpus.get_mut(pcpu.index()) else {
            return false;
        };
        if !core::mem::take(&mut state.offline) {
            return false;
        }
        self.idle_pcpus += 1;
        self.finish();
        true
    }

    /// Whether a pCPU exists and was not taken away.
    #[must_use]
    pub fn is_online(&self, pcpu: Pcpu) -> bool {
        (self.pcpus.get(pcpu.index())).is_some_and(|pcpu| !pcpu.offline)
    }

    /// How many pCPUs there are to run guests on.
    pub(crate) fn online_pcpus(&self) -> usize {
        self.pcpus.iter().filter(|pcpu| !pcpu.offline).count()
    }

    /// Puts other pages in the place of a VM's, and returns the old ones, which the host does not
    /// touch again: because the guest has moved them, or because it has unmapped them and the driver
    /// gives it some that it cannot see. The new ones say at once what its vCPUs do.
    ///
    /// Wait-for edges are what the new pages say: without any, hints are taken as they are.
    ///
    /// # Errors
    ///
    /// The new pages come back if there is no such VM.
    pub fn replace_pages(&mut self, vm: VmId, pages: P) -> Result<P, P> {
        let Some(state) = self.vms.get_mut(vm.index()) else {
            return Err(pages);
        };
        let old = core::mem::replace(&mut state.pages, pages);
        state.pages.vm().set_pressure(self.pressure);
        let vcpus = state.base..state.base + state.vcpus as u32;
        for vcpu in vcpus.map(crate::ids::VcpuId::new) {
            self.publish(vcpu);
        }
        Ok(old)
    }

    /// Takes the vCPU on a pCPU off it.
    fn vacate(&mut self, p: usize) {
        let Some(occupant) = self.pcpus[p].occupant else {
            return;
        };
        // One that was killed is gone.
        let place = self
            .running(p)
            .map(|occupant| self.place_when_displaced(&occupant));
        self.settle_slice(&occupant, place);
        if let Some(place) = place {
            self.enqueue(occupant.current, place);
        }
        self.install(p, None);
        if place.is_some() && !self.has_idle_pcpu_for(occupant.current) {
            self.preempt_for(occupant.current);
        }
    }
}
