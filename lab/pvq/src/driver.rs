//! The one place that talks to the embedded hypervisor.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::Result;
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_hypervisor as hypervisor;
use pvqspin_load::{Distribution, NeighbourKind, NeighbourVm, Section, WorkloadConfig, WorkloadId};
use pvqspin_report::Machine;
use pvqspin_rivals::catalog::LockId;

use crate::args::SetupArgs;
use crate::failure::Failure;
use crate::plan;

/// The name of this driver in results.
pub(crate) const NAME: &str = "hypervisor";

/// What bounds a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// CPUs that this process may use.
    pub(crate) cpus: usize,
    /// vCPUs that a lock word can name.
    pub(crate) vcpus_in_word: usize,
}

impl Limits {
    /// The limits of this process.
    pub(crate) fn here() -> Self {
        Self {
            cpus: usable_cpus(),
            vcpus_in_word: pvqspin::MAX_CPUS,
        }
    }
}

/// CPUs that this process may be pinned to.
pub(crate) fn usable_cpus() -> usize {
    rustix::thread::sched_getaffinity(None).map_or(1, |set| set.count() as usize)
}

/// The host and the workload's spread: all that is the same in every run of a command.
#[derive(Clone, Debug)]
pub(crate) struct HostSettings {
    pub(crate) pcpus: usize,
    pub(crate) scheduling: Scheduling,
    pub(crate) yields: YieldMode,
    pub(crate) slice_ns: u64,
    pub(crate) min_loan_ns: u64,
    pub(crate) hypercall_ns: u64,
    pub(crate) watchdog: Duration,
    pub(crate) neighbour: Option<NeighbourKind>,
    pub(crate) distribution: Distribution,
    pub(crate) seed: u64,
}

impl HostSettings {
    /// What the options ask for, with the hypervisor's own defaults for the rest.
    ///
    /// # Errors
    ///
    /// If there are not so many CPUs.
    pub(crate) fn new(setup: &SetupArgs, limits: &Limits) -> Result<Self> {
        let default = hypervisor::RunConfig::default();
        Ok(Self {
            pcpus: plan::pcpus(setup, limits)?,
            scheduling: setup.scheduling.unwrap_or(Scheduling::RoundRobin),
            yields: setup.yields.unwrap_or(YieldMode::Contract),
            slice_ns: setup.slice.unwrap_or(default.slice_ns),
            min_loan_ns: setup.min_loan.unwrap_or(default.min_loan_ns),
            hypercall_ns: setup.hypercall_cost.unwrap_or(default.hypercall_ns),
            watchdog: setup
                .watchdog
                .map_or(default.watchdog, Duration::from_nanos),
            neighbour: setup.neighbour,
            distribution: setup.work.distribution,
            seed: setup.work.seed,
        })
    }

    /// For the report's `options`.
    pub(crate) fn options(&self) -> BTreeMap<String, serde_json::Value> {
        let watchdog_ns = u64::try_from(self.watchdog.as_nanos()).unwrap_or(u64::MAX);
        BTreeMap::from(
            [
                ("pcpus", self.pcpus.into()),
                ("scheduling", self.scheduling.name().into()),
                ("yields", self.yields.name().into()),
                ("slice_ns", self.slice_ns.into()),
                ("min_loan_ns", self.min_loan_ns.into()),
                ("hypercall_cost_ns", self.hypercall_ns.into()),
                ("watchdog_ns", watchdog_ns.into()),
                ("neighbour", self.neighbour.is_some().into()),
                (
                    "neighbour_kind",
                    self.neighbour.map(NeighbourKind::name).into(),
                ),
                (
                    "distribution",
                    pvqspin_sweep::words::distribution_name(self.distribution).into(),
                ),
            ]
            .map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value)),
        )
    }
}

/// What one run needs beside the host's settings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub(crate) lock: LockId,
    pub(crate) workload: WorkloadId,
    pub(crate) vcpus: usize,
    pub(crate) section: plan::Section,
    /// Which repeat: each has section lengths of its own, the same for every lock.
    pub(crate) repeat: u32,
    /// Measured time, without the warm-up.
    pub(crate) duration: Duration,
    pub(crate) trace: bool,
    /// How many marks of each vCPU are kept then.
    pub(crate) trace_marks: Option<usize>,
}

/// The hypervisor's configuration of a run.
pub(crate) fn config(host: &HostSettings, run: &Run) -> hypervisor::RunConfig {
    let section = |mean_ns: u32| Section {
        mean_ns,
        distribution: host.distribution,
    };
    hypervisor::RunConfig {
        lock: run.lock,
        workload: WorkloadConfig {
            id: run.workload,
            inside: section(run.section.0),
            outside: section(run.section.1),
            seed: host.seed.wrapping_add(u64::from(run.repeat)),
        },
        pcpus: host.pcpus,
        vcpus: run.vcpus,
        scheduling: host.scheduling,
        yields: host.yields,
        slice_ns: host.slice_ns,
        min_loan_ns: host.min_loan_ns,
        hypercall_ns: host.hypercall_ns,
        duration: run.duration,
        watchdog: host.watchdog,
        trace: run.trace,
        trace_marks: run
            .trace_marks
            .unwrap_or(hypervisor::RunConfig::default().trace_marks),
        neighbour: host.neighbour.map(|kind| NeighbourVm {
            kind,
            // As many as there are pCPUs, each as heavy as one of the others: a plain guest.
            vcpus: host.pcpus,
            weight: hypervisor::RunConfig::default().weight,
        }),
        ..hypervisor::RunConfig::default()
    }
}

impl HostSettings {
    /// How long the hypervisor warms up so many vCPUs.
    pub(crate) fn warmup(&self, vcpus: usize) -> Duration {
        let run = Run {
            lock: LockId::Fifo,
            workload: WorkloadId::HotLock,
            vcpus,
            section: (1, 1),
            repeat: 0,
            duration: Duration::from_millis(1),
            trace: false,
            trace_marks: None,
        };
        config(self, &run).warmup()
    }
}

/// The machine as it describes itself, with what the hypervisor measured.
pub(crate) fn describe(machine: &hypervisor::Machine) -> Machine {
    Machine {
        cpus_allowed: usable_cpus(),
        tsc_mhz: machine.tsc_mhz,
        compute_turn_ns: machine.compute_turn_ns,
        switch_ns: machine.switch_ns,
        hypercall_ns: machine.hypercall_ns,
        preemption_ns: machine.preemption_ns,
        poke_ns: machine.poke_ns,
        poke_send_ns: machine.poke_send_ns,
        poke_lost_ns: machine.poke_lost_ns,
        ..Machine::describe()
    }
}

/// Runs one run. A configuration that makes no sense is bad input, anything else a failure.
pub(crate) fn run(
    machine: &hypervisor::Machine,
    config: &hypervisor::RunConfig,
    name: &str,
) -> Result<hypervisor::RunResult, Failure> {
    hypervisor::run(machine, config).map_err(|error| failed(error, name))
}

/// The same, with a watcher.
pub(crate) fn run_watched(
    machine: &hypervisor::Machine,
    config: &hypervisor::RunConfig,
    name: &str,
    every: Duration,
    watcher: &mut dyn FnMut(&hypervisor::Snapshot),
) -> Result<hypervisor::RunResult, Failure> {
    hypervisor::run_watched(machine, config, every, watcher).map_err(|error| failed(error, name))
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
