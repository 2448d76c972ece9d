//! What the host knows about one virtual CPU.

use pvqspin_abi::{Cpu, Generation, RunState};

use crate::accounting::Account;
use crate::ids::{Pcpu, VmId};
use crate::order::Key;
use crate::stats::VcpuStats;

/// What a vCPU does. The crate's front page has the diagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Never started, or blocked.
    Idle,
    /// Could run, and stands in the run order.
    Waiting,
    /// On this pCPU.
    Running(Pcpu),
    /// In a halt, until a kick.
    Halted,
    /// Gone for good.
    Ended,
}

impl State {
    /// How the guest sees it.
    pub(crate) const fn published(self) -> RunState {
        match self {
            Self::Idle | Self::Ended => RunState::Idle,
            Self::Waiting => RunState::Preempted,
            Self::Running(_) => RunState::Running,
            Self::Halted => RunState::Halted,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Vcpu {
    pub(crate) vm: VmId,
    pub(crate) cpu: Cpu,
    pub(crate) state: State,
    pub(crate) generation: Generation,
    /// A kick came while it was not halted: its next halt ends at once.
    pub(crate) kick_pending: bool,
    /// Where it ran last.
    pub(crate) home: Option<Pcpu>,
    /// Its place in the run order; exact while it is `Waiting`.
    pub(crate) key: Key,
    /// The turn it drew last.
    pub(crate) turn: u64,
    /// Credit: it woke with credit left, and has not been picked since.
    pub(crate) boosted: bool,
    pub(crate) account: Account,
    /// Co-scheduled: which gang it belongs to.
    pub(crate) gang: Option<usize>,
    pub(crate) stats: VcpuStats,
}

impl Vcpu {
    pub(crate) fn new(vm: VmId, cpu: Cpu, account: Account, gang: Option<usize>) -> Self {
        Self {
            vm,
            cpu,
            state: State::Idle,
            generation: Generation::default(),
            kick_pending: false,
            home: None,
            key: Key::default(),
            turn: 0,
            boosted: false,
            account,
            gang,
            stats: VcpuStats::default(),
        }
    }

    /// Whether it has a pCPU or waits for one.
    pub(crate) const fn is_active(&self) -> bool {
        matches!(self.state, State::Waiting | State::Running(_))
    }
}
