//! What can go wrong, in words for the user.

use core::fmt;
use std::io;
use std::time::Duration;

use pvqspin_real_time::ConfigProblem;

use crate::snapshot::VcpuSnapshot;
use pvqspin_driver_common::Trace;

/// This machine cannot run the embedded hypervisor.
#[derive(Debug, thiserror::Error)]
pub enum Unsupported {
    /// Neither Linux nor x86-64, or one of them only.
    #[error(
        "the embedded hypervisor needs Linux on x86-64; this is {} on {}",
        std::env::consts::OS,
        std::env::consts::ARCH
    )]
    Platform,
    /// The set of CPUs that this process may use cannot be read.
    #[error("cannot find out which CPUs this process may use: {0}")]
    Affinity(io::Error),
    /// A thread cannot be pinned to a CPU.
    #[error("cannot pin a thread to CPU {cpu}: {error}")]
    Pinning {
        /// Which CPU.
        cpu: usize,
        /// Why.
        error: io::Error,
    },
    /// No timer, no signal handler, or no thread.
    #[error("cannot set up per-thread timer signals: {0}")]
    Timers(io::Error),
    /// A timer was set, and its signal never came.
    #[error("per-thread timer signals can be set up here, but they do not arrive")]
    NoSignal,
    /// A first trial run did not work.
    #[error("a trial run of the embedded hypervisor failed: {0}")]
    Trial(String),
}

/// A run that gave no result.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// It was never possible here.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// It makes no sense.
    #[error(transparent)]
    Config(#[from] ConfigProblem),
    /// No memory for stacks, or no thread.
    #[error("cannot set up the virtual machine: {0}")]
    Setup(io::Error),
    /// The guest made no progress.
    #[error(transparent)]
    Stuck(Box<Stuck>),
}

/// A guest that made no progress: what each vCPU waited for, and the last events.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Stuck {
    /// How long nothing was acquired.
    pub patience: Duration,
    /// Every vCPU.
    pub vcpus: Vec<VcpuSnapshot>,
    /// The last events of each pCPU.
    pub trace: Trace,
    /// For how long other work on this machine had the pCPUs, in nanoseconds, summed over them.
    pub lost_ns: u64,
}

impl Stuck {
    /// Whether other work had a pCPU for so long that the guest need not be to blame.
    #[must_use]
    pub fn may_be_starved(&self) -> bool {
        u128::from(self.lost_ns) > self.patience.as_nanos() / 4
    }
}

impl std::error::Error for Stuck {}

impl fmt::Display for Stuck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "no progress for {:?}; stopped. What each vCPU waits for:",
            self.patience
        )?;
        for vcpu in &self.vcpus {
            writeln!(f, "  {vcpu}")?;
        }
        if self.trace.events.is_empty() {
            return write!(f, "No events were recorded.");
        }
        write!(f, "The last events:\n{}", self.trace)
    }
}
