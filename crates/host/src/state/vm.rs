//! What the host knows about one virtual machine.

use core::ops::Range;

use pvqspin_abi::Cpu;

use crate::ids::VcpuId;

#[derive(Debug)]
pub(crate) struct Vm<P> {
    /// `None` once it is removed.
    pub(crate) pages: Option<P>,
    /// The host-wide number of its first vCPU.
    pub(crate) base: u32,
    pub(crate) vcpus: usize,
    /// What its page says about pressure.
    pub(crate) told_pressure: bool,
    /// How many of its vCPUs are held back by their caps.
    pub(crate) held_back: usize,
    /// How many of its vCPUs have a pCPU or wait for one.
    pub(crate) active: usize,
    /// The first of the pCPUs that run its vCPUs.
    pub(crate) first_pcpu: Option<u32>,
}

impl<P> Vm<P> {
    pub(crate) fn range(&self) -> Range<usize> {
        self.base as usize..self.base as usize + self.vcpus
    }

    /// Whether a vCPU number is one of its own.
    pub(crate) fn owns_number(&self, number: usize) -> bool {
        self.range().contains(&number)
    }

    pub(crate) fn ids(&self) -> impl Iterator<Item = VcpuId> + use<P> {
        self.range().map(|index| VcpuId::new(index as u32))
    }

    pub(crate) fn vcpu(&self, cpu: Cpu) -> Option<VcpuId> {
        (self.pages.is_some() && cpu.index() < self.vcpus)
            .then(|| VcpuId::new(self.base + cpu.index() as u32))
    }

    /// Whether it is removed and no pCPU runs it any more: its numbers may be used again.
    pub(crate) fn is_gone(&self) -> bool {
        self.pages.is_none() && self.first_pcpu.is_none()
    }
}
