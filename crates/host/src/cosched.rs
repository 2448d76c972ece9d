//! Strict co-scheduling: gangs that own all pCPUs together.
//!
//! ```text
//!           gang 0 of vm0      gang 1 of vm0      gang of vm1
//!   pcpu0   vcpu0              vcpu2              vcpu3
//!   pcpu1   vcpu1              (idle)             vcpu4
//! ```
//!
//! A gang is a run of at most as many neighbouring vCPUs of one VM as there are pCPUs. The first
//! pCPU that finds the gang's slice over, or all of it asleep, chooses the next gang and pokes
//! the others. A pCPU with nothing to do in a gang stays idle, whatever waits: that is what makes
//! it strict. Gangs take turns by weighted time, so weights hold for gangs as they do for vCPUs.

use alloc::vec::Vec;

use crate::accounting::weighted;
use crate::config::Scheduling;
use crate::host::Host;
use crate::ids::{Pcpu, VcpuId};
use crate::pages::GuestPages;
use crate::vcpu::State;

#[derive(Debug)]
struct Gang {
    first: u32,
    len: u32,
    weight: u32,
    /// How many members run or wait.
    active: usize,
    vruntime: u128,
}

impl Gang {
    fn members(&self) -> impl Iterator<Item = VcpuId> + use<> {
        (self.first..self.first + self.len).map(VcpuId::new)
    }
}

/// All gangs, and whose turn it is.
#[derive(Debug, Default)]
pub(crate) struct Gangs {
    list: Vec<Gang>,
    on: Option<usize>,
    since: u64,
    end: u64,
    /// Counts switches: a pCPU whose slice is of an older epoch has one to catch up with.
    epoch: u64,
    floor: u128,
}

impl Gangs {
    /// Adds a gang and returns its number.
    pub(crate) fn add(&mut self, first: u32, len: u32, weight: u32) -> usize {
        self.list.push(Gang {
            first,
            len,
            weight,
            active: 0,
            vruntime: 0,
        });
        self.list.len() - 1
    }

    pub(crate) fn member_woke(&mut self, gang: usize) {
        let gang = &mut self.list[gang];
        if gang.active == 0 {
            gang.vruntime = gang.vruntime.max(self.floor);
        }
        gang.active += 1;
    }

    pub(crate) fn member_slept(&mut self, gang: usize) {
        self.list[gang].active -= 1;
    }

    /// The gang whose turn it is, unless all of it sleeps.
    fn awake(&self) -> Option<usize> {
        self.on.filter(|&gang| self.list[gang].active > 0)
    }

    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Chooses again if the turn is over. Returns whether another gang is on now.
    fn rotate(&mut self, now: u64, slice_ns: u64) -> bool {
        if self.awake().is_some() && now < self.end {
            return false;
        }
        if let Some(gang) = self.on.map(|gang| &mut self.list[gang]) {
            gang.vruntime += weighted(now.saturating_sub(self.since), gang.weight);
        }
        self.since = now;
        let next = (self.list.iter().enumerate())
            .filter(|(_, gang)| gang.active > 0)
            .min_by_key(|&(index, gang)| (gang.vruntime, index))
            .map(|(index, _)| index);
        let Some(next) = next else {
            self.on = None;
            return false;
        };
        self.end = now.saturating_add(slice_ns);
        self.floor = self.floor.max(self.list[next].vruntime);
        let switched = self.on != Some(next);
        self.on = Some(next);
        self.epoch += u64::from(switched);
        switched
    }
}

impl<P: GuestPages> Host<P> {
    /// The gang whose turn it is hands out its next vCPU for a pCPU.
    pub(crate) fn pick_from_gang(&mut self, p: usize) -> Option<VcpuId> {
        if self.gangs.rotate(self.clock, self.config.slice_ns) {
            for other in (0..self.pcpus.len()).filter(|&other| other != p) {
                if !self.pcpus[other].offline {
                    self.poke(other);
                }
            }
        }
        let gang = &self.gangs.list[self.gangs.on?];
        // Each member has a pCPU of its own if it can, so that it finds its cache warm.
        let own = gang.members().nth(p);
        let is_waiting = |vcpu: &VcpuId| self.vcpus[vcpu.index()].state == State::Waiting;
        if self.online_pcpus() < self.pcpus.len() {
            // Too few for everybody: by turns, or those whose pCPU is gone would never run.
            let turn = |vcpu: &VcpuId| self.vcpus[vcpu.index()].turn;
            return gang.members().filter(is_waiting).min_by_key(turn);
        }
        own.filter(is_waiting)
            .or_else(|| gang.members().find(is_waiting))
    }

    /// Whether a vCPU may have an unused pCPU.
    pub(crate) fn is_its_turn(&self, vcpu: VcpuId) -> bool {
        self.config.scheduling != Scheduling::CoScheduled
            || self
                .gangs
                .awake()
                .is_none_or(|gang| self.vcpus[vcpu.index()].gang == Some(gang))
    }

    /// How many of those who wait may have an unused pCPU.
    pub(crate) fn waiting_in_turn(&self) -> usize {
        if self.config.scheduling != Scheduling::CoScheduled {
            return self.order.len();
        }
        let Some(gang) = self.gangs.awake() else {
            return self.order.len();
        };
        self.gangs.list[gang]
            .members()
            .filter(|vcpu| self.vcpus[vcpu.index()].state == State::Waiting)
            .count()
    }

    /// Groups the vCPUs of a new VM into gangs; `None` for all without co-scheduling.
    pub(crate) fn gangs_for(&mut self, base: u32, vcpus: usize, weight: u32) -> Vec<Option<usize>> {
        if self.config.scheduling != Scheduling::CoScheduled {
            return alloc::vec![None; vcpus];
        }
        let size = self.pcpus.len();
        let mut of_vcpu = Vec::with_capacity(vcpus);
        while of_vcpu.len() < vcpus {
            let len = size.min(vcpus - of_vcpu.len());
            let first = base + of_vcpu.len() as u32;
            let gang = self.gangs.add(first, len as u32, weight);
            of_vcpu.resize(of_vcpu.len() + len, Some(gang));
        }
        of_vcpu
    }

    /// Queues a poke, unless one is on its way.
    pub(crate) fn poke(&mut self, p: usize) {
        if !self.pcpus[p].poked {
            self.pcpus[p].poked = true;
            self.pokes.push_back(Pcpu::new(p as u32));
        }
    }
}
