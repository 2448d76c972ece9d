//! What is the same in every run of a command: the host, the neighbour, the spread of sections.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use pvqspin_driver_common::Run;
use pvqspin_host::Config;
use pvqspin_hypervisor::HvConfig;
use pvqspin_load::{Distribution, NeighbourKind, NeighbourVm, Section, WorkloadConfig, WorkloadId};
use pvqspin_real_time::config::STALL_AFTER;
use pvqspin_report::figures::counted;
use pvqspin_sweep::words::{self, distribution_name};

use crate::options::compare::SetupArgs;
use crate::runs::turns;

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

/// How many pCPUs to use.
///
/// # Errors
///
/// If this process may not use so many.
pub(crate) fn pcpus(setup: &SetupArgs, limits: &Limits) -> Result<usize> {
    match setup.pcpus {
        Some(wanted) if wanted > limits.cpus => bail!(
            "--pcpus {wanted}: this process may use {}; give {} at most, and see `pvq doctor`",
            counted(limits.cpus, "CPU"),
            limits.cpus
        ),
        Some(wanted) => Ok(wanted),
        None => Ok(limits.cpus),
    }
}

/// How many vCPUs an overcommit means.
pub(crate) fn vcpus(overcommit: f64, pcpus: usize, limits: &Limits) -> Result<usize> {
    words::vcpus(overcommit, pcpus, limits.vcpus_in_word)
        .map_err(|what| anyhow!("--overcommit {what}"))
}

/// All that is the same in every run of a command.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) host: Config,
    /// What the embedded hypervisor adds to a hypercall.
    pub(crate) hypercall_ns: u64,
    pub(crate) stall_after_ns: Option<u64>,
    pub(crate) neighbour: Option<NeighbourKind>,
    pub(crate) distribution: Distribution,
    pub(crate) seed: u64,
}

impl Settings {
    /// What the options ask for, with the defaults of a [`Run`] for the rest.
    ///
    /// # Errors
    ///
    /// If there are not so many CPUs.
    pub(crate) fn new(setup: &SetupArgs, limits: &Limits) -> Result<Self> {
        let default = HvConfig::default();
        let host = default.run.host;
        Ok(Self {
            host: Config {
                pcpus: pcpus(setup, limits)?,
                scheduling: setup.scheduling.unwrap_or(host.scheduling),
                yields: setup.yields.unwrap_or(host.yields),
                slice_ns: setup.slice.unwrap_or(host.slice_ns),
                min_loan_ns: setup.min_loan.unwrap_or(host.min_loan_ns),
                ..host
            },
            hypercall_ns: setup.hypercall_cost.unwrap_or(default.hypercall_ns),
            stall_after_ns: setup.watchdog,
            neighbour: setup.neighbour,
            distribution: setup.work.distribution,
            seed: setup.work.seed,
        })
    }

    /// The run that is asked for, with the default lock. Its seed is that of the first repeat.
    pub(crate) fn run(&self, workload: WorkloadId, section: turns::Section, vcpus: usize) -> Run {
        let length = |mean_ns: u32| Section {
            mean_ns,
            distribution: self.distribution,
        };
        let default = Run::default();
        Run {
            workload: WorkloadConfig {
                id: workload,
                inside: length(section.0),
                outside: length(section.1),
                seed: self.seed,
            },
            host: self.host,
            vcpus,
            neighbour: self.neighbour.map(|kind| NeighbourVm {
                kind,
                // As many as there are pCPUs, each as heavy as one of the others: a plain guest.
                vcpus: self.host.pcpus,
                weight: default.weight,
            }),
            stall_after_ns: self.stall_after_ns,
            ..default
        }
    }

    /// How long a driver in real time warms up so many vCPUs.
    pub(crate) fn warmup(&self, vcpus: usize) -> Duration {
        pvqspin_real_time::config::warmup(&self.run(WorkloadId::HotLock, (1, 1), vcpus))
    }

    /// For the report's `options`.
    pub(crate) fn options(&self) -> BTreeMap<String, serde_json::Value> {
        let default_ns = u64::try_from(STALL_AFTER.as_nanos()).unwrap_or(u64::MAX);
        BTreeMap::from(
            [
                ("pcpus", self.host.pcpus.into()),
                ("scheduling", self.host.scheduling.name().into()),
                ("yields", self.host.yields.name().into()),
                ("slice_ns", self.host.slice_ns.into()),
                ("min_loan_ns", self.host.min_loan_ns.into()),
                ("hypercall_cost_ns", self.hypercall_ns.into()),
                (
                    "watchdog_ns",
                    self.stall_after_ns.unwrap_or(default_ns).into(),
                ),
                ("neighbour", self.neighbour.is_some().into()),
                (
                    "neighbour_kind",
                    self.neighbour.map(NeighbourKind::name).into(),
                ),
                ("distribution", distribution_name(self.distribution).into()),
            ]
            .map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value)),
        )
    }
}
