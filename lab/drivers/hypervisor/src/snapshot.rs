//! The state of a run from outside, while it goes on: for a viewer, and for the report of a run that
//! is stuck.
//!
//! Everything that a snapshot reads is in memory that the vCPUs and the host write for other
//! reasons, so watching changes nothing in a guest. It costs the viewer's own time, and moves a few
//! dozen cache lines for each snapshot.

use core::fmt;

use pvqspin_abi::{Cpu, RunState};

/// The state of a run.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Snapshot {
    /// Every vCPU.
    pub vcpus: Vec<VcpuSnapshot>,
    /// Acquisitions so far, with those of the warm-up.
    pub acquisitions: u64,
    /// The longest wait of what is being measured, in nanoseconds.
    pub longest_wait_ns: u64,
    /// Halts so far.
    pub halts: u64,
    /// Kicks so far.
    pub kicks: u64,
    /// Directed yields so far.
    pub yields: u64,
}

/// The state of one vCPU, which may have changed meanwhile.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VcpuSnapshot {
    /// Its number on the host.
    pub vcpu: u32,
    /// Its number in its VM.
    pub cpu: Cpu,
    /// Its state for the host.
    pub state: RunState,
    /// The vCPU that it waited for, from its page.
    pub waiting_for: Option<Cpu>,
    /// The pCPU that it ran on last; `None` if it never ran.
    pub pcpu: Option<u32>,
    /// For how long it had been in that state, in nanoseconds.
    pub since_ns: u64,
}

impl fmt::Display for VcpuSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            RunState::Running => "running",
            RunState::Preempted => "preempted",
            RunState::Halted => "halted",
            RunState::Idle => "idle",
        };
        write!(f, "vcpu{} (cpu {}): {state}", self.vcpu, self.cpu)?;
        match (self.state, self.pcpu) {
            (_, None) => write!(f, ", never ran")?,
            (RunState::Running, Some(pcpu)) => write!(f, " on pcpu{pcpu}")?,
            (_, Some(pcpu)) => write!(f, ", last on pcpu{pcpu}")?,
        }
        write!(f, " for {:.3} ms, ", self.since_ns as f64 / 1e6)?;
        match self.waiting_for {
            Some(cpu) => write!(f, "waits for cpu {cpu}"),
            None => write!(f, "names no CPU that it waits for"),
        }
    }
}
