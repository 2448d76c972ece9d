//! pCPUs that are taken away and come back, and pages that do.
//!
//! ```text
//!                 offline: the vCPU here waits, and keeps its place
//!   +--------+ ------------------------------------------------------> +---------+
//!   | online |                                                         | offline |
//!   +--------+ <------------------------------------------------------ +---------+
//!                 online: idle, and poked if a vCPU waits
//! ```
//!
//! No vCPU has to be moved: those that wait, wait for the pCPUs that are left. What was meant for the one
//! that goes (a buddy, a reservation) is forgotten; the vCPU that it named is queued in any case.

use crate::host::Host;
use crate::ids::{Pcpu, VmId};
use crate::loan::Why;
use crate::pages::GuestPages;

impl<P: GuestPages> Host<P> {
    /// A pCPU goes away: an event of that pCPU, after the registers of the vCPU on it are saved. That
    /// vCPU waits from now on, as if it had been displaced: it keeps its place.
    ///
    /// False, and nothing done, if it has gone already, does not exist, or is the last one: some pCPU
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
        let left = self.running(p).map(|(current, _)| current);
        self.end_slice(p, left.map(|_| Why::Displaced));
        let state = &mut self.pcpus[p];
        (state.reserved, state.buddy) = (None, None);
        (state.preempt, state.poked) = (false, false);
        (state.recalled, state.expelled) = (false, false);
        state.offline = true;
        self.offline_pcpus += 1;
        self.pokes.remove(p);
        self.held_back.forget(p);
        self.show(p);
        self.idle.remove(p);
        self.idle_unpoked.remove(p);
        if let Some(left) = left
            && !self.has_idle_pcpu_for(left)
        {
            self.preempt_for(left);
        }
        self.finish();
        true
    }

    /// A pCPU comes back, and has nothing to run: it is poked as soon as a vCPU waits. False, and
    /// nothing done, if it was never away, or does not exist.
    pub fn online(&mut self, now: u64, pcpu: Pcpu) -> bool {
        self.advance(now);
        let Some(state) = self.pcpus.get_mut(pcpu.index()) else {
            return false;
        };
        if !core::mem::take(&mut state.offline) {
            return false;
        }
        self.offline_pcpus -= 1;
        self.idle.insert(pcpu.index());
        self.idle_unpoked.insert(pcpu.index());
        self.finish();
        true
    }

    /// How many pCPUs there are to run guests on.
    pub(crate) fn online_pcpus(&self) -> usize {
        self.pcpus.len() - self.offline_pcpus
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
        let all = self.pressure();
        let Some(state) = self.vms.get_mut(vm.index()) else {
            return Err(pages);
        };
        let pressure = all || state.held_back > 0;
        if state.pages.is_none() {
            return Err(pages);
        }
        pages.vm().set_pressure(pressure);
        state.told_pressure = pressure;
        let Some(old) = state.pages.replace(pages) else {
            unreachable!("it has pages")
        };
        for vcpu in state.ids() {
            self.publish(vcpu);
        }
        Ok(old)
    }
}
