//! The options of `pvq compare`, and those that other commands share with it.

use clap::Args;
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_load::NeighbourKind;

use crate::options::common::{OutputArgs, RunArgs, WorkArgs};
use crate::options::offered;
use crate::options::parse::{self, LockChoice};
use crate::output::results::Wanted;

/// How long, how much, and where to.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// 10 seconds in all: one section length, two overcommits, 3 repeats
    #[arg(long, conflicts_with = "full")]
    pub(crate) quick: bool,

    /// About 10 minutes: more section lengths, more overcommits, 5 repeats
    #[arg(long)]
    pub(crate) full: bool,

    /// Locks by name, or `default` (12 of them), `all`, `pvqspin`, `rivals` [default: default]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    #[arg(value_parser = offered::locks(), hide_possible_values = true)]
    pub(crate) lock: Vec<LockChoice>,

    /// vCPUs for each pCPU, a list [default: 1,2,4,8]
    #[arg(long, value_name = "LIST", value_delimiter = ',', value_parser = parse::overcommit)]
    pub(crate) overcommit: Vec<f64>,

    /// Sections and repeats.
    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// The workload and the host.
    #[command(flatten)]
    pub(crate) setup: SetupArgs,

    /// Also print the project's targets, each with the figure that was reached
    #[arg(long)]
    pub(crate) targets: bool,

    /// Where the results go.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What is the same for `compare` and `trace`.
#[derive(Debug, Args)]
pub(crate) struct SetupArgs {
    /// What is done inside and outside the lock.
    #[command(flatten)]
    pub(crate) work: WorkArgs,

    /// Also run a lock-free VM beside it, as many vCPUs as pCPUs: busy (computes, and what is left
    /// for it is measured) or halted (sleeps for good) [without a name: busy]
    #[arg(long, value_name = "KIND", num_args = 0..=1, default_missing_value = "busy")]
    #[arg(value_parser = offered::neighbour(), hide_possible_values = true)]
    pub(crate) neighbour: Option<NeighbourKind>,

    /// Physical CPUs: each a pinned thread [default: all], or simulated [default: the profile's, or 2]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    pub(crate) pcpus: Option<usize>,

    /// How the host shares its CPUs: round-robin, fair, credit, co-scheduled [default: fair]
    #[arg(long, value_name = "NAME")]
    #[arg(value_parser = offered::scheduling(), hide_possible_values = true)]
    pub(crate) scheduling: Option<Scheduling>,

    /// What a directed yield is: contract (the target runs now, on the caller's slice) or hint
    /// (the target is only preferred, as by stock Linux) [default: contract]
    #[arg(long, value_name = "KIND")]
    #[arg(value_parser = offered::yields(), hide_possible_values = true)]
    pub(crate) yields: Option<YieldMode>,

    /// How long a vCPU runs before the next one's turn [default: 3ms]
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(crate) slice: Option<u64>,

    /// The least time that a directed yield gives its target [default: 100us]
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(crate) min_loan: Option<u64>,

    /// Extra cost of a hypercall, so that it resembles a VM exit [default: 1us, or of a simulation the
    /// profile's]
    #[arg(long, value_name = "TIME", value_parser = parse::time_or_zero)]
    pub(crate) hypercall_cost: Option<u64>,

    /// Give up a run that makes no progress for so long; in a simulation, virtual time [default: 5s,
    /// or of a simulation what its overcommit may take]
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(crate) watchdog: Option<u64>,
}

impl CompareArgs {
    /// Where its results are wanted.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        self.output.wanted("compare")
    }
}

impl SetupArgs {
    /// The section lengths that were asked for, or else those of the workload.
    pub(crate) fn section(&self, inside: Option<u32>, outside: Option<u32>) -> (u32, u32) {
        (
            inside.unwrap_or(self.work.workload.inside_ns),
            outside.unwrap_or(self.work.workload.outside_ns),
        )
    }
}
