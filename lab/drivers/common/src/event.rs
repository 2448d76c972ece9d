//! The vocabulary: what can happen, as the host and the guests see it.
//!
//! The host's events say what became of pCPUs and calls; a guest's *marks* say where in a lock it
//! stands. A pCPU that asks the host (its slice is over, it was poked, its guest called) may go on with
//! the same vCPU: only an [`Enter`](What::Enter) of another one, or [`Idle`](What::Idle), says that the
//! vCPU has left.

use core::fmt;

use pvqspin::Point;
use pvqspin_abi::{Cpu, Status};

/// What an event is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// The vCPU was put on the pCPU.
    Enter,
    /// The pCPU has nothing to run.
    Idle,
    /// The vCPU's slice is over, and the pCPU asks the host.
    SliceEnd,
    /// The pCPU was poked, and asks the host.
    Poked,
    /// The pCPU told that pCPU to look at its queue.
    Poke(u32),
    /// The vCPU halted, with this hint.
    Halt(Option<Cpu>, Status),
    /// It kicked.
    Kick(Cpu, Status),
    /// It yielded to.
    YieldTo(Cpu, Status),
    /// It made a hypercall that makes no sense.
    BadCall,
    /// An armed fault took it off its pCPU: at this point, where the driver knows it.
    Fault(Option<Point>),
    /// Jitter took it off its pCPU.
    Jitter,
    /// It had halted, and no kick came in time.
    HaltTimeout,
    /// It returned.
    Done,
    /// A mark: it passed a point of the slow path.
    Passed(Point),
    /// A mark: it has this lock. Locks are numbered in the order of their first mark.
    Holds(u32),
    /// A mark: it has released that lock.
    Left(u32),
    /// A mark: it has the lock after so many nanoseconds from joining, longer than it waited before.
    LongWait(u64),
}

impl What {
    /// Whether a guest says so of itself, wherever it runs.
    #[must_use]
    pub const fn is_mark(self) -> bool {
        matches!(
            self,
            Self::Passed(_) | Self::Holds(_) | Self::Left(_) | Self::LongWait(_)
        )
    }
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Enter => f.write_str("enter"),
            Self::Idle => f.write_str("idle"),
            Self::SliceEnd => f.write_str("slice end"),
            Self::Poked => f.write_str("poked"),
            Self::Poke(pcpu) => write!(f, "poke pcpu{pcpu}"),
            Self::Halt(Some(cpu), status) => write!(f, "halt, hint {cpu:?} -> {status:?}"),
            Self::Halt(None, status) => write!(f, "halt -> {status:?}"),
            Self::Kick(cpu, status) => write!(f, "kick {cpu:?} -> {status:?}"),
            Self::YieldTo(cpu, status) => write!(f, "yield to {cpu:?} -> {status:?}"),
            Self::BadCall => f.write_str("senseless call"),
            Self::Fault(Some(point)) => write!(f, "armed fault at {point:?}"),
            Self::Fault(None) => f.write_str("armed fault"),
            Self::Jitter => f.write_str("jitter"),
            Self::HaltTimeout => f.write_str("halt timeout"),
            Self::Done => f.write_str("done"),
            Self::Passed(point) => write!(f, "passes {point:?}"),
            Self::Holds(lock) => write!(f, "holds lock {lock}"),
            Self::Left(lock) => write!(f, "has left lock {lock}"),
            Self::LongWait(ns) => write!(f, "has the lock after {:.3} us", ns as f64 / 1e3),
        }
    }
}

/// One event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceEvent {
    /// When, in nanoseconds on the clock of the run.
    pub at_ns: u64,
    /// On which pCPU; `None` for marks of a driver whose vCPUs do not know where they are.
    pub pcpu: Option<u32>,
    /// Which vCPU, by its number on the host.
    pub vcpu: Option<u32>,
    /// What.
    pub what: What,
}

impl TraceEvent {
    /// The event as a line of text, with the vCPU's name: a host may hold several VMs.
    #[must_use]
    pub fn line(&self, name: impl Fn(u32) -> String) -> String {
        let mut line = format!("{:>14.3} us", self.at_ns as f64 / 1e3);
        match self.pcpu {
            Some(pcpu) => line += &format!("  pcpu{pcpu:<3}"),
            None => line += "         ",
        }
        let name = self.vcpu.map(name).unwrap_or_default();
        line + &format!("  {name:<8}  {}", self.what)
    }
}

/// The vCPU's name is that of the only VM.
impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.line(|vcpu| format!("cpu{vcpu}")))
    }
}
