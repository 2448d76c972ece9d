//! An embedded hypervisor: virtual CPUs on pinned threads, with real preemption.
//!
//! It runs V virtual CPUs on P threads, each pinned to a CPU, and drives `pvqspin-host` in real
//! time. A timer signal takes a vCPU off *anywhere*, in a critical section too; hypercalls leave
//! for the host as VM exits do; vCPUs move between pCPUs when the host says so. What a lock
//! suffers in an overcommitted VM it suffers here, without hardware virtualisation and without
//! privileges.
//!
//! ```text
//!   vCPU stacks     [guest code]   [guest code]   [guest code]   ...     arena, vcb, vcpu_side, guest_env
//!                        | ^            ^
//!          leave, signal | | enter      |                                context, signal, pcpu_signal
//!                        v |            |
//!   pCPU threads     [ pcpu 0 ]     [ pcpu 1 ]                           pcpu, pcpu_loop
//!                        \             /
//!                         [   host   ]                                   host_lock, pvqspin-host
//! ```
//!
//! [`Probe::run`] finds out what this machine allows and costs; [`run()`] runs one lock under
//! one workload, and returns what was measured.
//!
//! # Limits
//!
//! Linux on x86-64 only. Elsewhere the crate compiles, and both functions return
//! [`Unsupported`].
//!
//! # Example
//!
//! ```no_run
//! use pvqspin_hypervisor::{HvConfig, Probe, Run, run};
//!
//! let machine = Probe::run()?;
//! println!("{machine}");
//! let asked = Run::default().with(|run| (run.host.pcpus, run.vcpus) = (2, 8));
//! let result = run(&machine, &HvConfig::from(asked))?;
//! println!("{} acquisitions", result.outcome.acquisitions);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![doc(test(attr(deny(warnings))))]
#![cfg_attr(
    not(all(target_os = "linux", target_arch = "x86_64")),
    expect(
        dead_code,
        reason = "what records events is there, and has nothing to record"
    )
)]

mod config;
mod error;
mod probed;
mod snapshot;

pub use config::HvConfig;
pub use error::{RunError, Stuck, Unsupported};
pub use probed::Probe;
pub use pvqspin_driver_common::{Run, Trace, TraceEvent, What};
pub use pvqspin_real_time::{ConfigProblem, MIN_SLICE_NS, Noise};
pub use snapshot::{Snapshot, VcpuSnapshot};

/// What one run gave.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// What was measured.
    pub outcome: pvqspin_load::Outcome,
    /// What happened. Holds only the last few events unless [`Run::trace`] was set.
    pub trace: Trace,
    /// How often an armed fault took a vCPU off its pCPU, warm-up included.
    pub faults_fired: u64,
    /// What this machine's own scheduler took from the pCPUs.
    pub noise: Noise,
}

/// Declares the modules that exist on the one supported platform only.
macro_rules! supported {
    ($($module:ident)*) => {
        $(
            #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
            mod $module;
        )*
    };
}

supported! {
    arena context guest_env host_lock marks pcpu pcpu_loop pcpu_signal probe run session
    signal vcb vcpu_side watchdog
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub use run::{run, run_watched};

/// Runs one lock under one workload: not on this platform.
///
/// # Errors
///
/// Always [`RunError::Unsupported`].
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn run(_machine: &Probe, _config: &HvConfig) -> Result<RunResult, RunError> {
    Err(RunError::Unsupported(Unsupported::Platform))
}

/// The same, with a watcher: not on this platform.
///
/// # Errors
///
/// Always [`RunError::Unsupported`].
#[cfg(not(all(target_os = "linux", target_arch = "x86_64")))]
pub fn run_watched(
    machine: &Probe,
    config: &HvConfig,
    _every: core::time::Duration,
    _watcher: &mut dyn FnMut(&Snapshot),
) -> Result<RunResult, RunError> {
    run(machine, config)
}

#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod fault_tests;
#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod session_rig;
#[cfg(all(test, target_os = "linux", target_arch = "x86_64"))]
mod session_tests;
