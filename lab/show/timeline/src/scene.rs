//! Who was where and did what: a trace as spans of time.
//!
//! A vCPU's span says two things that change independently: what it does with locks (it is outside,
//! it waits, it holds one), and where it is (on a pCPU, preempted, halted).

use pvqspin_abi::Status;

/// What a vCPU does with locks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Doing {
    /// It neither holds nor awaits one.
    Outside,
    /// It waits for one.
    Waits,
    /// It holds one.
    Holds,
}

/// Why a vCPU that could run is off its pCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Why {
    /// It has not run yet.
    New,
    /// Its slice was over.
    SliceEnd,
    /// The pCPU was poked for another vCPU.
    Poked,
    /// It lent its pCPU in a call.
    Lent,
    /// An armed fault or jitter took it off.
    Forced,
    /// It had halted and was woken.
    Woken,
}

/// Where a vCPU is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// The trace begins later.
    Unknown,
    /// On this pCPU.
    Running(u32),
    /// Off, although it could run.
    Preempted(Why),
    /// Off until it is kicked.
    Halted,
    /// It has returned.
    Ended,
}

impl Place {
    /// Whether it is on a pCPU.
    #[must_use]
    pub const fn runs(self) -> bool {
        matches!(self, Self::Running(_))
    }

    /// Whether it is off its pCPU, for whatever reason, and will be back.
    #[must_use]
    pub const fn is_off(self) -> bool {
        matches!(self, Self::Preempted(_) | Self::Halted)
    }
}

/// A stretch of time in which nothing changed for a vCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Span {
    /// From when, in nanoseconds on the clock of the run.
    pub from_ns: u64,
    /// To when.
    pub to_ns: u64,
    /// What it did.
    pub doing: Doing,
    /// Where it was.
    pub place: Place,
    /// The lock that it took last of those that it holds, by number.
    pub lock: Option<u32>,
}

/// All spans of a vCPU, without gaps.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Lane {
    /// Its VM.
    pub vm: u32,
    /// Its number in the VM.
    pub cpu: u32,
    /// Its spans, in order.
    pub spans: Vec<Span>,
}

impl Lane {
    /// The span at that time; the later one of two that meet there.
    #[must_use]
    pub fn at(&self, at_ns: u64) -> Option<&Span> {
        let after = self.spans.partition_point(|span| span.from_ns <= at_ns);
        let span = &self.spans[..after].last()?;
        (at_ns <= span.to_ns).then_some(span)
    }

    /// The spans that overlap a stretch of time.
    pub fn between(&self, from_ns: u64, to_ns: u64) -> impl Iterator<Item = &Span> {
        let start = self.spans.partition_point(|span| span.to_ns <= from_ns);
        self.spans[start..]
            .iter()
            .take_while(move |span| span.from_ns < to_ns)
    }
}

/// A vCPU on a pCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stay {
    /// From when.
    pub from_ns: u64,
    /// To when.
    pub to_ns: u64,
    /// Which vCPU, by its number on the host.
    pub vcpu: u32,
}

/// What a vCPU called the hypervisor for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CallKind {
    /// To halt.
    Halt,
    /// To kick.
    Kick,
    /// To lend its pCPU.
    YieldTo,
}

/// A hypercall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Call {
    /// When.
    pub at_ns: u64,
    /// Whose, by number on the host.
    pub by: u32,
    /// What for.
    pub kind: CallKind,
    /// The vCPU that it named.
    pub named: Option<u32>,
    /// What it came to.
    pub status: Status,
    /// The vCPU that was put on a pCPU by it, and when. The host may follow the chain, so it need
    /// not be the one that was named.
    pub ran: Option<(u32, u64)>,
}

/// A number that changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Level {
    /// When.
    pub at_ns: u64,
    /// From then on.
    pub count: usize,
}

/// A whole trace.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Scene {
    /// From when on it is complete.
    pub from_ns: u64,
    /// When it ends.
    pub to_ns: u64,
    /// Events that there was no room for.
    pub dropped: u64,
    /// How many locks it names, over all VMs.
    pub locks: usize,
    /// One for each vCPU, by number on the host.
    pub lanes: Vec<Lane>,
    /// For each pCPU, who was on it.
    pub stays: Vec<Vec<Stay>>,
    /// Hypercalls, in order.
    pub calls: Vec<Call>,
    /// For each VM, how many of its vCPUs waited for a lock.
    pub waiting: Vec<Vec<Level>>,
    /// How many vCPUs waited for a pCPU.
    pub runnable: Vec<Level>,
}

impl Scene {
    /// The name of a vCPU: its number in its VM, with the VM if there are several.
    #[must_use]
    pub fn name(&self, vcpu: u32) -> String {
        match self.lanes.get(vcpu as usize) {
            Some(lane) if self.waiting.len() > 1 => format!("vm{}.cpu{}", lane.vm, lane.cpu),
            Some(lane) => format!("cpu{}", lane.cpu),
            None => format!("vcpu{vcpu}"),
        }
    }

    /// The vCPUs of a VM, with their numbers on the host.
    pub fn lanes_of(&self, vm: u32) -> impl Iterator<Item = (u32, &Lane)> {
        (0..)
            .zip(&self.lanes)
            .filter(move |(_, lane)| lane.vm == vm)
    }
}
