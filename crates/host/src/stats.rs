//! What the host counts for each vCPU.

use pvqspin_abi::Status;

/// How often a call came back with each status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct StatusCounts {
    /// [`Status::Ran`].
    pub ran: u64,
    /// [`Status::AlreadyRunning`].
    pub already_running: u64,
    /// [`Status::Stale`].
    pub stale: u64,
    /// [`Status::Refused`].
    pub refused: u64,
}

impl StatusCounts {
    /// All of them. Some drivers fill this in with what a guest says, which may be anything: what
    /// does not fit is the highest number.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.ran
            .saturating_add(self.already_running)
            .saturating_add(self.stale)
            .saturating_add(self.refused)
    }

    pub(crate) fn add(&mut self, status: Status) {
        let count = match status {
            Status::Ran => &mut self.ran,
            Status::AlreadyRunning => &mut self.already_running,
            Status::Stale => &mut self.stale,
            Status::Refused => &mut self.refused,
        };
        *count += 1;
    }
}

/// One vCPU's account, complete up to the last event of the pCPU that it runs on.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct VcpuStats {
    /// Time on a pCPU, at any cost, in nanoseconds.
    pub ran_ns: u64,
    /// Time of slices that it owned, used by any vCPU, in nanoseconds. Of time in which no vCPU waited
    /// nothing counts for its share.
    pub charged_ns: u64,
    /// Time that it could have run and had no pCPU, in nanoseconds, up to its latest run: what a guest counts as
    /// stolen.
    pub waited_ns: u64,
    /// Time that it could have run and was held back by its cap, in nanoseconds, up to its latest run; not in
    /// `waited_ns`. A guest may count both as stolen.
    pub held_back_ns: u64,
    /// How often it was put on a pCPU.
    pub runs: u64,
    /// How often it was put on a pCPU on another vCPU's slice.
    pub loans: u64,
    /// Its directed yields, by what became of them.
    pub yields: StatusCounts,
    /// Its kicks of others, by what became of them. `already_running` counts those that were
    /// remembered because the target had not halted.
    pub kicks: StatusCounts,
    /// How often it halted.
    pub halts: u64,
    /// Halts that a remembered kick ended before they began; not in `halts`.
    pub halts_avoided: u64,
    /// The hints of its halts, by what became of them.
    pub halt_hints: StatusCounts,
    /// The hints of its yields and halts from which a wait-for chain was followed.
    pub chains: u64,
    /// The hops of all those chains; 0 for a hint that already named the end.
    pub chain_hops: u64,
    /// The longest wait-for chain that was followed for one of its hints, in hops.
    pub longest_chain: u64,
    /// Halts that only the driver's safety net ended: each is a bug, in a guest or here.
    pub halt_timeouts: u64,
}
