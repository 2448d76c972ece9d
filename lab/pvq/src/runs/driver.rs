//! The one place that talks to the embedded hypervisor.

use std::time::Duration;

use pvqspin_hypervisor as hypervisor;
use pvqspin_report::Machine;

use crate::output::failure::Failure;
use crate::runs::settings::usable_cpus;

/// The name of this driver in results.
pub(crate) const NAME: &str = "hypervisor";

/// The machine as it describes itself, with what the hypervisor measured.
pub(crate) fn describe(probe: &hypervisor::Probe) -> Machine {
    Machine {
        cpus_allowed: usable_cpus(),
        costs: probe.costs,
        ..Machine::describe()
    }
}

/// Runs one run. A configuration that makes no sense is bad input, anything else a failure.
pub(crate) fn run(
    probe: &hypervisor::Probe,
    config: &hypervisor::HvConfig,
    name: &str,
) -> Result<hypervisor::RunResult, Failure> {
    hypervisor::run(probe, config).map_err(|error| failed(error, name))
}

/// The same, with a watcher.
pub(crate) fn run_watched(
    probe: &hypervisor::Probe,
    config: &hypervisor::HvConfig,
    name: &str,
    every: Duration,
    watcher: &mut dyn FnMut(&hypervisor::Snapshot),
) -> Result<hypervisor::RunResult, Failure> {
    hypervisor::run_watched(probe, config, every, watcher).map_err(|error| failed(error, name))
}

fn failed(error: hypervisor::RunError, name: &str) -> Failure {
    match error {
        hypervisor::RunError::Config(problem) => Failure::bad_input(problem),
        hypervisor::RunError::Stuck(stuck) if stuck.may_be_starved() => {
            Failure::Starved(anyhow::anyhow!(
                "{name} failed: {stuck}\nOther work on this machine had its CPUs for {:.1} s meanwhile; \
                 repeat this on an idle one",
                stuck.lost_ns as f64 / 1e9
            ))
        }
        other => Failure::failed(format!("{name} failed: {other}")),
    }
}

/// This machine cannot run the embedded hypervisor: nothing that was asked for can be done.
pub(crate) fn unsupported(error: hypervisor::Unsupported) -> Failure {
    Failure::bad_input(format!(
        "the embedded hypervisor cannot run here: {error}; `pvq doctor` tells more"
    ))
}
