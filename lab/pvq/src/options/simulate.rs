//! The options of `pvq simulate`.

use clap::Args;

use crate::options::common::OutputArgs;
use crate::options::compare::SetupArgs;
use crate::options::offered;
use crate::options::parse::{self, LockChoice};

pub(crate) const SIMULATE_EXAMPLES: &str = "\
Examples:
  pvq simulate                             twelve locks on 2 pCPUs, in seconds
  pvq simulate --pcpus 64 --overcommit 1,4 --lock pvqspin,unfair-hinted --outside 60us
  pvq simulate --profile server-2x32 --overcommit 16 --vms 16 --lock pvqspin,test-and-set
  pvq simulate --lock fifo --longest       and what happened around the longest wait
  pvq simulate --lock pvqspin --torture 100000
  pvq simulate --lock fifo --replay 1229   one of those schedules again, event by event

The same locks, workload and host in virtual time: no noise, no clock, and costs that are a model \
(--profile). A schedule of --torture has short slices, and \
preemptions and delays drawn from its seed. Times are numbers with ns, us, ms or s; without a unit they \
are ns.

Ctrl-C cuts the run at hand, and keeps those that are finished.";

/// What the seed of a random schedule decides, and results that it does not have: an option that says
/// otherwise would have no effect.
const DRAWN_BY_TORTURE: [&str; 23] = [
    "overcommit",
    "inside",
    "outside",
    "vms",
    "profile",
    "duration",
    "workload",
    "distribution",
    "neighbour",
    "pcpus",
    "scheduling",
    "yields",
    "slice",
    "min_loan",
    "hypercall_cost",
    "watchdog",
    "json",
    "csv",
    "save",
    "baseline",
    "fail_if",
    "margin",
    "longest",
];

/// What to simulate.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Locks by name, `ideal` among them, or `default` (12), `all`, `pvqspin`, `rivals` [default:
    /// default]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    #[arg(value_parser = offered::simulated_locks(), hide_possible_values = true)]
    pub(crate) lock: Vec<LockChoice>,

    /// vCPUs for each pCPU, a list
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "1,2,4,8"
    )]
    #[arg(value_parser = parse::overcommit)]
    pub(crate) overcommit: Vec<f64>,

    /// Mean time inside the lock [default: the workload's; for hot-lock 1us]
    #[arg(long, value_name = "TIME", value_parser = parse::section)]
    pub(crate) inside: Option<u32>,

    /// Mean time outside the lock [default: the workload's; for hot-lock 2us]
    #[arg(long, value_name = "TIME", value_parser = parse::section_or_zero)]
    pub(crate) outside: Option<u32>,

    /// VMs that do so, each with locks of its own; they share the vCPUs that the overcommit means
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse::at_least_one)]
    pub(crate) vms: usize,

    /// What the machine costs: a file, or flat, server-2x32, small (its pCPUs are the default of
    /// --pcpus) [default: flat]
    #[arg(long, value_name = "FILE|NAME")]
    pub(crate) profile: Option<String>,

    /// Measured virtual time
    #[arg(long, value_name = "TIME", default_value = "200ms", value_parser = parse::time)]
    pub(crate) duration: u64,

    /// The workload and the host.
    #[command(flatten)]
    pub(crate) setup: SetupArgs,

    /// Where the results go.
    #[command(flatten)]
    pub(crate) output: OutputArgs,

    /// Also show what happened around each lock's longest wait
    #[arg(long)]
    pub(crate) longest: bool,

    /// Instead: run so many random schedules of each lock, from --seed on
    #[arg(long, value_name = "N", conflicts_with_all = DRAWN_BY_TORTURE)]
    #[arg(value_parser = parse::whole(1, u64::MAX))]
    pub(crate) torture: Option<u64>,

    /// Instead: run the random schedule of this seed, and show all of it
    #[arg(long, value_name = "SEED", conflicts_with_all = DRAWN_BY_TORTURE)]
    #[arg(conflicts_with_all = ["torture", "seed"], value_parser = parse::whole(0, u64::MAX))]
    pub(crate) replay: Option<u64>,
}
