//! What the host knows about one physical CPU.

use crate::ids::VcpuId;
use crate::loan::Slice;

#[derive(Debug, Default)]
pub(crate) struct PcpuState {
    /// The slice that is used here, and by which vCPU.
    pub(crate) slice: Option<Slice<VcpuId>>,
    /// The vCPU that the guests were told runs here.
    pub(crate) shown: Option<VcpuId>,
    /// Co-scheduled: the gang switch that the slice belongs to.
    pub(crate) epoch: u64,
    /// A kicked vCPU that shall take the rest of the slice from a vCPU that only spins.
    pub(crate) reserved: Option<VcpuId>,
    /// Hint mode: the vCPU that a yield or a kick asked to run here next.
    pub(crate) buddy: Option<VcpuId>,
    /// The owner of the slice woke, and takes it back.
    pub(crate) recalled: bool,
    /// The vCPU here may not run here any more.
    pub(crate) expelled: bool,
    /// A vCPU woke that may go before the current one, or a buddy was set from elsewhere.
    pub(crate) preempt: bool,
    /// Poked, and has not called `reschedule` since.
    pub(crate) poked: bool,
    /// Taken away: nothing runs here, and nothing is to.
    pub(crate) offline: bool,
    /// The neighbours in the list of pCPUs that run vCPUs of one VM.
    pub(crate) vm_next: Option<u32>,
    pub(crate) vm_prev: Option<u32>,
}

impl PcpuState {
    /// The vCPU that is here.
    pub(crate) fn current(&self) -> Option<VcpuId> {
        self.slice.map(|slice| slice.current())
    }
}
