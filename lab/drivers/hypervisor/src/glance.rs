//! A run from outside, while it goes on: for those who watch, and for the report of one that is stuck.
//!
//! All that is read is there anyway, in memory that the vCPUs and the host write for other reasons, so
//! being watched changes nothing in a guest. What it costs is the watcher's own time, and that it
//! moves a few dozen cache lines at each glance.

use core::fmt;

use pvqspin_abi::{Cpu, RunState};

/// A run, from outside.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Glance {
    /// Every vCPU.
    pub vcpus: Vec<VcpuGlance>,
    /// Acquisitions so far, the warm-up's too.
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

/// One vCPU, from outside, while it may move on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VcpuGlance {
    /// Its number on the host.
    pub vcpu: u32,
    /// Its number in its VM.
    pub cpu: Cpu,
    /// What it was doing, for the host.
    pub state: RunState,
    /// For whom it waited, as it said itself.
    pub waiting_for: Option<Cpu>,
    /// The pCPU that it ran on last; `None` if it never ran.
    pub pcpu: Option<u32>,
    /// For how long it had been in that state, in nanoseconds.
    pub since_ns: u64,
}

impl fmt::Display for VcpuGlance {
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
            None => write!(f, "waits for nobody that it names"),
        }
    }
}
