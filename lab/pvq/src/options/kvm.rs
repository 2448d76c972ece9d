//! The command line of `pvq kvm`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use crate::options::compare::CompareArgs;
use crate::options::greedy::Strategy;
use crate::options::offered;

pub(crate) const KVM_EXAMPLES: &str = "\
Examples:
  pvq kvm                                  the comparison in real virtual machines: a minute
  pvq kvm --quick --no-files               10 seconds, nothing written
  pvq kvm --lock pvqspin,unfair-hinted --overcommit 1,2,4 --repeats 5
  pvq kvm --scheduling credit --yields hint another host
  pvq kvm --transport doorbell --cpl 3     instead of what the probe chooses
  pvq kvm --transport stock --overcommit 2,4 --hints yield,kick,off
  pvq kvm --transport stock --greedy circle,storm --overcommit 2
  pvq kvm --transport stock --greedy '50us yield preempted; 0 halt 1ms / 1ms'

The guest is built from the source tree when that is needed, or is what --image says. The options \
are those of `pvq compare`, but for --hypercall-cost: here an exit costs what it costs. With \
--transport stock Linux schedules the vCPUs, and --scheduling, --yields, --slice and --min-loan are \
refused. With --greedy no locks are compared: a VM that takes what it can runs beside one that computes, \
and the table says what is left for that one. Times are numbers with ns, us, ms or s; without a unit they are ns.";

/// What to run in virtual machines.
#[derive(Debug, Args)]
#[command(mut_arg("hypercall_cost", |cost| cost.hide(true)))]
pub(crate) struct KvmArgs {
    /// The plan.
    #[command(flatten)]
    pub(crate) compare: CompareArgs,

    /// The guest image [default: built from the source tree]
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,

    /// How the guest reaches its hypervisor [default: doorbell]
    #[arg(long, value_name = "NAME")]
    pub(crate) transport: Option<TransportName>,

    /// What the guest's lock tells KVM, with --transport stock: all, kick and halt only, or nothing;
    /// a list to compare them [default: yield]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) hints: Vec<HintsName>,

    /// Instead of locks, a VM that takes what it can beside one that computes, which has as many vCPUs as
    /// pCPUs: names, or programs, a list. `busy` comes along. Needs --transport stock
    #[arg(long, value_name = "STRATEGIES", value_delimiter = ',')]
    #[arg(value_parser = offered::greedy(), hide_possible_values = true)]
    #[arg(conflicts_with_all = OF_LOCKS)]
    pub(crate) greedy: Vec<Strategy>,

    /// The privilege level of guest code [default: 0, or 3 where 0 is emulated]
    #[arg(long, value_name = "N", value_parser = clap::builder::PossibleValuesParser::new(["0", "3"]))]
    pub(crate) cpl: Option<String>,
}

/// What says something of locks, of a host that is not Linux, or of the files that a comparison leaves.
const OF_LOCKS: [&str; 22] = [
    "quick",
    "full",
    "lock",
    "inside",
    "outside",
    "targets",
    "workload",
    "distribution",
    "neighbour",
    "scheduling",
    "yields",
    "slice",
    "min_loan",
    "hypercall_cost",
    "csv",
    "save",
    "baseline",
    "fail_if",
    "margin",
    "no_page",
    "hints",
    "cpl",
];

/// What the lock tells KVM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum HintsName {
    /// The vCPU to run; the vCPU to wake.
    Yield,
    /// The vCPU to wake. It still sees who is preempted.
    Kick,
    /// Nothing, and no vCPU is ever seen preempted.
    Off,
}

/// A transport by name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum TransportName {
    /// A port write to this program, which schedules the vCPUs itself.
    Doorbell,
    /// KVM's own hypercalls; Linux schedules the vCPUs.
    Stock,
}
