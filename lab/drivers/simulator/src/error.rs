//! What can go wrong, with all that is needed to see why, and the seed to see it again.

use core::fmt;

use pvqspin_abi::{Cpu, RunState};

use crate::config_problem::ConfigProblem;
use crate::underway::Underway;
use pvqspin_driver_common::TraceEvent;

/// Why a simulation gave no result.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// It made no sense.
    #[error("{0}")]
    Config(#[from] ConfigProblem),
    /// The operating system has no memory for so many stacks.
    #[error("no memory for the stacks of so many vCPUs: {0}")]
    Stacks(std::io::Error),
    /// No vCPU took the lock for as long as patience lasts.
    #[error("no vCPU took the lock for {0} ns\n{1}")]
    Stalled(u64, Box<Dump>),
    /// Things go on happening, and no time passes: where everything is free, vCPUs that give their
    /// pCPUs to each other for ever.
    #[error("time stands still at {0} ns\n{1}")]
    Standstill(u64, Box<Dump>),
    /// Every vCPU sleeps, and nothing is going to wake any.
    #[error("every vCPU sleeps and nothing will wake any: a wake-up was lost\n{0}")]
    AllAsleep(Box<Dump>),
    /// One vCPU has been halted for far too long.
    #[error("{0:?} has been halted for too long: a wake-up was lost\n{1}")]
    LostWakeUp(Cpu, Box<Dump>),
    /// One vCPU could run, and no pCPU ran it.
    #[error("{0:?} can run and has not been on a pCPU for too long: it was lost\n{1}")]
    Lost(Cpu, Box<Dump>),
    /// A wait was over [its limit](crate::WaitLimits::longest_ns).
    #[error("{cpu:?} waited for {ns} ns, {limit_ns} ns is its bound\n{dump}")]
    WaitTooLong {
        /// Who waited.
        cpu: Cpu,
        /// How long.
        ns: u64,
        /// How long it may.
        limit_ns: u64,
        /// How everything stood.
        dump: Box<Dump>,
    },
    /// A wait was overtaken [too often](crate::WaitLimits::overtakers).
    #[error("{count} others took the lock while {cpu:?} waited, {limit} is its bound\n{dump}")]
    Overtaken {
        /// Who waited.
        cpu: Cpu,
        /// How many took the lock.
        count: u64,
        /// How many may.
        limit: u64,
        /// How everything stood.
        dump: Box<Dump>,
    },
    /// The caller of [`run_while`](crate::run_while()) did not want it to go on.
    #[error("stopped after {} ns of {} ns of virtual time", .0.passed_ns, .0.whole_ns)]
    Stopped(Underway),
    /// Two vCPUs were in the critical section at once.
    #[error("two vCPUs were in the critical section at once, {0} times\n{1}")]
    Exclusion(u64, Box<Dump>),
}

/// One vCPU in a [`Dump`].
#[derive(Clone, Debug)]
pub struct VcpuDump {
    /// Its VM, from 0.
    pub vm: usize,
    /// Its number there.
    pub cpu: Cpu,
    /// What the host says that it does.
    pub state: RunState,
    /// How often it was put on a pCPU.
    pub generation: u32,
    /// The CPU that it waits for, from its page.
    pub waits_for: Option<Cpu>,
    /// When it joined a queue last.
    pub joined_ns: u64,
    /// What the simulator says that it does.
    pub activity: String,
}

/// How everything stood when a simulation failed.
#[derive(Clone, Debug)]
pub struct Dump {
    /// The lock.
    pub lock: &'static str,
    /// The seed of the run's faults and jitter.
    pub seed: u64,
    /// When it failed.
    pub at_ns: u64,
    /// Every vCPU.
    pub vcpus: Vec<VcpuDump>,
    /// The last events.
    pub events: Vec<TraceEvent>,
}

impl fmt::Display for Dump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            lock, seed, at_ns, ..
        } = self;
        writeln!(f, "{lock}, seed {seed}, at {at_ns} ns")?;
        for vcpu in &self.vcpus {
            write!(
                f,
                "  vm {} {:?} {:?} run {}: {}",
                vcpu.vm, vcpu.cpu, vcpu.state, vcpu.generation, vcpu.activity
            )?;
            if let Some(other) = vcpu.waits_for {
                write!(f, ", waits for {other:?} (joined {} ns)", vcpu.joined_ns)?;
            }
            writeln!(f)?;
        }
        for event in &self.events {
            writeln!(f, "  {event}")?;
        }
        Ok(())
    }
}
