//! What the host knows about one physical CPU: who is on it, and on whose slice.
//!
//! ```text
//!   started                                 planned_end      limit
//!      |------------ slice of `owner` -----------|---- min_loan --|
//!      |  owner runs    | owner yields: `current` runs, owner pays|
//!                                            end moves up to `limit`, if a loan began so late
//! ```

use crate::ids::VcpuId;

/// A stretch of time on a pCPU, charged to its owner whichever vCPU runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    pub(crate) owner: VcpuId,
    /// When it ends, loans at its end included.
    pub(crate) end: u64,
    /// When it was to end when it began.
    pub(crate) planned_end: u64,
    /// Beyond this no loan can stretch it.
    pub(crate) limit: u64,
    /// Up to when it is charged.
    pub(crate) charged_until: u64,
    /// Co-scheduled: the gang switch it belongs to.
    pub(crate) epoch: u64,
}

/// Who is on a pCPU.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Occupant {
    pub(crate) current: VcpuId,
    pub(crate) slice: Slice,
}

impl Occupant {
    /// Whether it runs on a borrowed slice.
    pub(crate) fn is_loan(&self) -> bool {
        self.current != self.slice.owner
    }
}

#[derive(Debug, Default)]
pub(crate) struct PcpuState {
    pub(crate) occupant: Option<Occupant>,
    /// A kicked vCPU that shall take the rest of the slice from a current that only spins.
    pub(crate) reserved: Option<VcpuId>,
    /// Hint mode: the vCPU that a yield or a kick asked to run here next.
    pub(crate) buddy: Option<VcpuId>,
    /// A vCPU woke that may go before the current one, or a buddy was set from elsewhere.
    pub(crate) preempt: bool,
    /// Poked, and has not called `reschedule` since.
    pub(crate) poked: bool,
    /// Taken away: no vCPU runs here, and none is to.
    pub(crate) offline: bool,
}

impl PcpuState {
    /// Whether a vCPU could run here and none does.
    pub(crate) fn is_idle(&self) -> bool {
        self.occupant.is_none() && !self.offline
    }
}
