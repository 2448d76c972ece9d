//! What the host knows about one virtual CPU.

use pvqspin_abi::{Cpu, Generation, RunState};

use crate::budget::Budget;
use crate::ids::{Pcpu, VmId};
use crate::state::account::Account;
use crate::stats::VcpuStats;

/// What a vCPU does. The crate's front page has the diagram.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Never started, or blocked.
    Idle,
    /// Could run: in the queue, or its slice is lent.
    Waiting,
    /// On this pCPU.
    Running(Pcpu),
    /// Could run, and its cap does not let it: neither queued, nor the owner of a slice.
    HeldBack,
    /// In a halt, until it is kicked.
    Halted,
    /// Held from outside; what it does when it is released.
    Held(Then),
    /// Gone, until it is restarted.
    Ended,
}

/// What a vCPU does when it is released.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Then {
    Wait,
    Halt,
    Sleep,
}

impl State {
    /// How the guest sees it.
    pub(crate) const fn published(self) -> RunState {
        match self {
            Self::Idle | Self::Ended | Self::Held(Then::Sleep) => RunState::Idle,
            Self::Waiting | Self::HeldBack | Self::Held(Then::Wait) => RunState::Preempted,
            Self::Running(_) => RunState::Running,
            Self::Halted | Self::Held(Then::Halt) => RunState::Halted,
        }
    }

    /// Whether it could run and has no pCPU: a slice can be lent to it.
    pub(crate) const fn could_run(self) -> bool {
        matches!(self, Self::Waiting | Self::HeldBack)
    }

    /// Whether it has a pCPU or waits for one.
    pub(crate) const fn is_active(self) -> bool {
        matches!(self, Self::Waiting | Self::Running(_))
    }
}

#[derive(Debug)]
pub(crate) struct Vcpu {
    pub(crate) vm: VmId,
    pub(crate) cpu: Cpu,
    pub(crate) state: State,
    pub(crate) generation: Generation,
    /// The pCPU of the slice that it owns.
    pub(crate) owns: Option<usize>,
    /// Which queue it waits in: its affinity.
    pub(crate) class: u32,
    /// A kick came while it was not halted: its next halt ends at once.
    pub(crate) kick_pending: bool,
    /// An interrupt came while it was not asleep: its next halt or block ends at once.
    pub(crate) interrupt_pending: bool,
    /// It was held back by its cap when it began to borrow.
    pub(crate) over_cap: bool,
    /// It is to be held as soon as its pCPU comes.
    pub(crate) hold: bool,
    /// Where it ran last.
    pub(crate) home: Option<Pcpu>,
    /// Since when it waits, in nanoseconds.
    pub(crate) waits_since: u64,
    pub(crate) account: Account,
    pub(crate) budget: Budget,
    pub(crate) stats: VcpuStats,
}

impl Vcpu {
    pub(crate) fn new(vm: VmId, cpu: Cpu, account: Account) -> Self {
        Self {
            vm,
            cpu,
            state: State::Idle,
            generation: Generation::default(),
            owns: None,
            class: 0,
            kick_pending: false,
            interrupt_pending: false,
            over_cap: false,
            hold: false,
            home: None,
            waits_since: 0,
            account,
            budget: Budget::default(),
            stats: VcpuStats::default(),
        }
    }
}
