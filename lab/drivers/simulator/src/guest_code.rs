//! Guests that are no workload of the catalogue: any code, on every vCPU of one VM.

use pvqspin_abi::Cpu;
use pvqspin_load::{Control, Guest};

use crate::config::SimConfig;
use crate::error::SimError;
use crate::guest_env::SimEnv;
use crate::run::simulate;
use crate::snapshots::Snapshots;
use crate::vcpu::Body;
use crate::wait_limits::WaitLimits;

/// What a guest does, whatever machine it runs on.
pub trait GuestCode {
    /// What one virtual CPU does, from start to end.
    fn run_vcpu<E: Guest>(&self, cpu: Cpu);

    /// A number that grows for as long as the guest gets anything done.
    fn progress(&self) -> u64;
}

/// Simulates a VM whose vCPUs all run `code`, and returns how often an armed fault took one off its
/// pCPU.
///
/// Machine, host, faults and patience are those of `config`. Its lock, workload, neighbour and limits
/// on waits play no part, and its warm-up and duration only say how long the run may take before the guests are
/// expected to end by themselves.
///
/// # Errors
///
/// If the configuration makes no sense, or if the guest gets nothing done for too long, or loses a
/// wake-up.
///
/// ```
/// use std::cell::Cell;
///
/// use pvqspin_abi::Cpu;
/// use pvqspin_simulator::{GuestCode, SimConfig, run_code};
/// use pvqspin_load::Guest;
///
/// struct Computes(Cell<u64>);
///
/// impl GuestCode for Computes {
///     fn run_vcpu<E: Guest>(&self, _: Cpu) {
///         E::compute(1_000);
///         self.0.set(self.0.get() + 1);
///     }
///     fn progress(&self) -> u64 {
///         self.0.get()
///     }
/// }
///
/// let code = Computes(Cell::new(0));
/// run_code(&SimConfig::default().with(|sim| sim.run.vcpus = 8), &code)?;
/// assert_eq!(code.progress(), 8);
/// # Ok::<(), pvqspin_simulator::SimError>(())
/// ```
pub fn run_code<C: GuestCode>(config: &SimConfig, code: &C) -> Result<u64, SimError> {
    let config = config.clone().with(|sim| {
        sim.vms = 1;
        sim.run.neighbour = None;
        sim.wait_limits = WaitLimits::default();
    });
    config.validate()?;
    let body: Box<Body<'_>> = Box::new(|cpu| code.run_vcpu::<SimEnv>(cpu));
    let progress = || code.progress();
    let measured = simulate(
        &config,
        (&Control::new(), None, Snapshots::default()),
        &[body],
        &[],
        (&progress, &mut |_| true),
    )?;
    Ok(measured.faults_fired)
}
