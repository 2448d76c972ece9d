//! What is behind the lock of one group.

use alloc::vec::Vec;

use pvqspin_abi::Cpu;

use super::GroupVm;
use crate::config::{ConfigError, VmConfig};
use crate::host::Host;
use crate::ids::{VcpuId, VmId};
use crate::moving::Moved;
use crate::pages::GuestPages;

/// How long a VM stays in a group after it came there, in slices: a move costs it a pause.
const REST_SLICES: u64 = 8;

/// How many VMs are looked at for one that may be stolen.
const MOST_LOOKS: usize = 16;

/// A VM that is to leave.
#[derive(Clone, Copy, Debug)]
struct Leaving {
    id: VmId,
    to: usize,
}

/// What the groups know about a VM, by its number in this group's host.
#[derive(Clone, Copy, Debug, Default)]
struct Resident {
    vm: u32,
    /// Until when it stays here, in nanoseconds.
    stays_until: u64,
}

/// One group: what is behind its lock.
#[derive(Debug)]
pub struct Shard<P> {
    pub(super) host: Host<P>,
    residents: Vec<Resident>,
    leaving: Option<Leaving>,
    /// Where the search for a VM to be stolen goes on.
    cursor: usize,
}

impl<P: GuestPages> Shard<P> {
    pub(super) const fn new(host: Host<P>) -> Self {
        Self {
            host,
            residents: Vec::new(),
            leaving: None,
            cursor: 0,
        }
    }

    pub(super) fn add(&mut self, vm: u32, size: VmConfig, pages: P) -> Result<VmId, ConfigError> {
        let id = self.host.add_vm(size, pages)?;
        self.note(id, vm, 0);
        Ok(id)
    }

    fn note(&mut self, id: VmId, vm: u32, stays_until: u64) {
        if id.index() >= self.residents.len() {
            self.residents.resize(id.index() + 1, Resident::default());
        }
        self.residents[id.index()] = Resident { vm, stays_until };
    }

    /// A vCPU by the name that it has in all groups.
    pub(super) fn name(&self, vcpu: VcpuId) -> Option<(GroupVm, Cpu)> {
        let (id, cpu) = self.host.locate(vcpu)?;
        Some((GroupVm(self.residents.get(id.index())?.vm), cpu))
    }

    // --- leaving -------------------------------------------------------------------------------

    /// Where the VM that is to leave can go now: no pCPU runs it any more.
    pub(super) fn leaves(&self) -> Option<usize> {
        let leaving = self.leaving?;
        self.host.is_off(leaving.id).then_some(leaving.to)
    }

    /// Chooses a VM to leave for another group that has `apart` vCPUs less that run or wait, and pauses it: the
    /// largest of a few that makes both closer. Not while another one is to leave.
    pub(super) fn choose(&mut self, now: u64, to: usize, apart: usize) {
        let vms = self.host.vms.len();
        if self.leaving.is_some() || vms == 0 {
            return;
        }
        let first = self.cursor % vms;
        self.cursor = first + MOST_LOOKS.min(vms);
        let looks = (0..MOST_LOOKS.min(vms)).map(|by| (first + by) % vms);
        let fits = |&at: &usize| {
            let vm = &self.host.vms[at];
            let rests = now < self.residents[at].stays_until;
            vm.pages.is_some() && (1..apart).contains(&vm.active) && !rests
        };
        let best = looks
            .filter(fits)
            .max_by_key(|&at| self.host.vms[at].active);
        let Some(id) = best.map(|at| VmId::new(at as u32)) else {
            return;
        };
        if !self.host.is_bound(id) {
            self.leaving = Some(Leaving { id, to });
            self.host.pause_vm(now, id);
        }
    }

    /// A VM does not leave, if it was to.
    pub(super) fn stay(&mut self, now: u64, id: VmId) {
        if self.leaving.is_some_and(|leaving| leaving.id == id) {
            self.leaving = None;
            self.host.resume_vm(now, id);
        }
    }

    /// Takes the VM that is to leave for a group, if no pCPU runs it: its number, itself, and how many vCPUs it has.
    pub(super) fn take(&mut self, now: u64, to: usize) -> Option<(u32, Moved<P>, usize)> {
        let leaving = self.leaving.filter(|leaving| leaving.to == to)?;
        let vm = self.residents[leaving.id.index()].vm;
        let vcpus = self.host.ids_of(leaving.id).count();
        let moved = self.host.take_vm(now, leaving.id)?;
        self.leaving = None;
        Some((vm, moved, vcpus))
    }

    /// A VM comes from another group. `None`: there is no number left for it, and it is gone.
    pub(super) fn put(&mut self, now: u64, vm: u32, moved: Moved<P>) -> Option<VmId> {
        let id = self.host.put_vm(now, moved).ok()?;
        let rest_ns = REST_SLICES * self.host.config.slice_ns;
        self.note(id, vm, now.saturating_add(rest_ns));
        Some(id)
    }
}
