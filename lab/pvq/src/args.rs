//! The command line and its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_load::NeighbourKind;

use crate::common_args::{OutputArgs, RunArgs, WorkArgs};
use crate::kvm_args::{self, KvmArgs};
use crate::manual;
use crate::outputs::Wanted;
use crate::parse::{self, LockChoice};
use crate::report_args::{REPORT_EXAMPLES, ReportArgs};
use crate::sweep_args::{STUDY_EXAMPLES, SWEEP_EXAMPLES, StudyArgs, SweepArgs};
use crate::thread_args::{self, ThreadsArgs};
use crate::trace_args::{EXPLAIN_EXAMPLES, ExplainArgs, TRACE_EXAMPLES, TraceArgs};
use crate::validate_args::{CALIBRATE_EXAMPLES, CalibrateArgs, VALIDATE_EXAMPLES, ValidateArgs};

const EXAMPLES: &str = "\
Examples:
  pvq                                      compare twelve locks, in about a minute
  pvq compare --quick                      the same in 10 seconds, with more noise
  pvq compare --lock fifo,unfair-hinted --overcommit 4 --repeats 9
  pvq compare --inside 5us --outside 30us --yields hint
  pvq compare --workload hash-table        something else than one hot lock
  pvq trace --lock linux-pv --overcommit 4 a file for Perfetto, and the longest wait
  pvq explain holder                       what a preempted holder does, step by step
  pvq compare --watch                      compare, and see it happen
  pvq simulate --pcpus 64 --overcommit 8   the same on a machine that is not there
  pvq kvm                                  the same in virtual machines, on KVM
  pvq sweep lab/sweep/grids/example.toml             many such points, over all cores
  pvq uncontended                          what a lock costs without contention
  pvq threads                              ordinary threads, beside other crates' mutexes
  pvq report results/compare-latest.json   the HTML page of results; of several files, side by side
  pvq report before.json after.json        what changed, and what is noise
  pvq doctor                               what this machine can and cannot do
  pvq list                                 every name that can be given

Exit codes: 0 done, 1 a run failed, 2 something asked for cannot be done (nothing ran),
130 interrupted (what was finished is kept).";

const COMPARE_EXAMPLES: &str = "\
Examples:
  pvq compare                              about a minute; files in results/
  pvq compare --quick --no-files           10 seconds, nothing written
  pvq compare --full --targets             about 10 minutes, and the list of targets
  pvq compare --lock pvqspin,unfair-hinted --overcommit 1,2,4
  pvq compare --inside 1us,50us --outside 2us,500us --distribution exponential
  pvq compare --scheduling fair --yields hint --slice 1ms
  pvq compare --json /tmp/today.json --seed 7

Times are numbers with ns, us, ms or s; without a unit they are ns. Every run is one lock at
one point; runs are interleaved and repeated, so that other work on the machine hits all
locks alike.

With --watch, q or Ctrl-C stops after the run at hand, and keeps what was finished; once more stops at
once. Drawing takes some time from the CPUs that are measured (docs/tracing.md says how much): figures to
publish come without it.";

const SIMULATE_EXAMPLES: &str = "\
Examples:
  pvq simulate                             twelve locks on 2 pCPUs, in seconds
  pvq simulate --pcpus 64 --overcommit 1,4 --lock pvqspin,unfair-hinted --outside 60us
  pvq simulate --profile server-2x32 --overcommit 16 --vms 16 --lock pvqspin,test-and-set
  pvq simulate --lock fifo --longest       and what happened around the longest wait
  pvq simulate --lock pvqspin --torture 100000
  pvq simulate --lock fifo --replay 1229   one of those schedules again, event by event

The same locks, workload and host in virtual time: no noise, no clock, and costs that are a model
(--profile). A schedule of --torture has short slices, and
preemptions and delays drawn from its seed.";

const UNCONTENDED_EXAMPLES: &str = "\
Examples:
  pvq uncontended                          some seconds; back to back, and with work between
  pvq uncontended --gap 0 --rounds 1001    back to back only, more rounds
  pvq uncontended --json -                 the figures for another program

The locks take turns, round by round. `to native` and `over native` are medians over the rounds
of the comparison with our native lock in the same round, so they bear noise that a time of its
own does not.";

/// Compare spinlocks under vCPU overcommit, with real preemption, on this machine.
///
/// Virtual CPUs run on pinned threads and are preempted by timers anywhere, also while they
/// hold a lock. Each lock does the same work at each overcommit; the tables show what is left
/// of its throughput, who had to wait how long, and what a fair lock gains by telling the
/// hypervisor which vCPU to run.
#[derive(Debug, Parser)]
#[command(name = "pvq", version, after_help = EXAMPLES, max_term_width = 100)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Cli {
    /// What to do; `compare` if nothing is said.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,

    /// The options of `compare`.
    #[command(flatten)]
    pub(crate) compare: CompareCommand,
}

/// `compare`, and how it is looked at.
#[derive(Debug, Args)]
pub(crate) struct CompareCommand {
    /// Draw what happens on the terminal: which vCPU is on which pCPU, the queue, throughput so far
    #[arg(long)]
    pub(crate) watch: bool,

    /// What is compared.
    #[command(flatten)]
    pub(crate) compare: CompareArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the locks at each overcommit, and show them side by side (the default)
    #[command(after_help = COMPARE_EXAMPLES)]
    Compare(CompareCommand),
    /// Record one run of one lock: a file for Perfetto, and what happened around its longest wait
    #[command(after_help = TRACE_EXAMPLES)]
    Trace(TraceArgs),
    /// Walk through a preempted holder or waiter, step by step
    #[command(after_help = EXPLAIN_EXAMPLES)]
    Explain(ExplainArgs),
    /// The same comparison in virtual time: any number of CPUs, the same figures every time
    #[command(after_help = SIMULATE_EXAMPLES)]
    Simulate(SimulateArgs),
    /// The same comparison in real virtual machines, on KVM
    #[command(after_help = kvm_args::EXAMPLES)]
    Kvm(KvmArgs),
    /// Simulate a grid of points over all cores: resumable, and in shards for batch systems
    #[command(after_help = SWEEP_EXAMPLES)]
    Sweep(SweepArgs),
    /// What `cargo xtask study` runs
    #[command(hide = true, after_help = STUDY_EXAMPLES)]
    WriteStudy(StudyArgs),
    /// Run the same in the simulator and on this machine, and show where they differ
    #[command(after_help = VALIDATE_EXAMPLES)]
    Validate(ValidateArgs),
    /// Measure what this machine costs, as a profile for the simulator
    #[command(after_help = CALIBRATE_EXAMPLES)]
    Calibrate(CalibrateArgs),
    /// Measure lock plus unlock on one thread, beside the locks of other crates
    #[command(after_help = UNCONTENDED_EXAMPLES)]
    Uncontended(UncontendedArgs),
    /// Compare the lock with user-space mutexes on ordinary threads, without any hypervisor
    #[command(after_help = thread_args::EXAMPLES)]
    Threads(ThreadsArgs),
    /// Make an HTML page, with pictures, from results files
    #[command(after_help = REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// Tell what this machine can and cannot do, and what to do about it
    Doctor,
    /// List the locks, policies, word formats, host policies and workloads
    List,
    /// Print completions for a shell, to be sourced by it
    #[command(after_help = manual::COMPLETIONS_EXAMPLES)]
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page, or write one for each command into a folder
    #[command(after_help = manual::MAN_EXAMPLES)]
    Man {
        /// The folder, which must be there
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
}

/// How long, how much, and where to.
#[derive(Debug, Args)]
pub(crate) struct CompareArgs {
    /// 10 seconds in all: one section length, two overcommits, 3 repeats
    #[arg(long, conflicts_with = "full")]
    pub(crate) quick: bool,

    /// About 10 minutes: more section lengths, more overcommits, 5 repeats
    #[arg(long)]
    pub(crate) full: bool,

    /// Locks by name, or `default` (12 of them), `all`, `pvqspin`, `peers` [default: default]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse::lock)]
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
    #[arg(value_parser = parse::neighbour)]
    pub(crate) neighbour: Option<NeighbourKind>,

    /// Physical CPUs: each a pinned thread [default: all], or simulated [default: the profile's]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    pub(crate) pcpus: Option<usize>,

    /// How the host shares its CPUs: round-robin, fair, credit, co-scheduled [default: round-robin]
    #[arg(long, value_name = "NAME", value_parser = parse::scheduling)]
    pub(crate) scheduling: Option<Scheduling>,

    /// What a directed yield is: contract (the target runs now, on the caller's slice) or hint
    /// (the target is only preferred, as by stock Linux) [default: contract]
    #[arg(long, value_name = "KIND", value_parser = parse::yields)]
    pub(crate) yields: Option<YieldMode>,

    /// How long a vCPU runs before the next one's turn [default: 3ms]
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(crate) slice: Option<u64>,

    /// The least time that a directed yield gives its target
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(crate) min_loan: Option<u64>,

    /// Extra cost of a hypercall, so that it resembles a VM exit [default: 1us]
    #[arg(long, value_name = "TIME", value_parser = parse::time_or_zero)]
    pub(crate) hypercall_cost: Option<u64>,

    /// Give a run up that makes no progress for so long, in a simulation in virtual time
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

/// How to measure a lock without contention.
#[derive(Debug, Args)]
pub(crate) struct UncontendedArgs {
    /// Dependent multiplications between one pair and the next, about a ns each: a list
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "0,10,30"
    )]
    pub(crate) gap: Vec<u32>,

    /// Rounds of each lock
    #[arg(long, value_name = "N", default_value = "101", value_parser = parse::at_least_one)]
    pub(crate) rounds: usize,

    /// Lock plus unlock pairs in a round
    #[arg(long, value_name = "N", default_value = "100000")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) pairs: u32,

    /// Also write the figures as JSON; `-` is standard output [default: no file]
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
}

/// What the seed of a random schedule decides: an option that says otherwise would be overheard.
const DRAWN_BY_TORTURE: [&str; 19] = [
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
    "longest",
];

/// What to simulate.
#[derive(Debug, Args)]
pub(crate) struct SimulateArgs {
    /// Locks by name, `ideal` among them, or `default` (12), `all`, `pvqspin`, `peers` [default:
    /// default]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse::simulated_lock)]
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
    #[arg(value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) torture: Option<u64>,

    /// Instead: run the random schedule of this seed, and show all of it
    #[arg(long, value_name = "SEED", conflicts_with_all = DRAWN_BY_TORTURE)]
    #[arg(conflicts_with_all = ["torture", "seed"])]
    pub(crate) replay: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn compare_is_the_default() {
        let cli = Cli::try_parse_from(["pvq", "--quick"]).expect("options without a command");
        assert!(cli.command.is_none() && cli.compare.compare.quick);
        let cli = Cli::try_parse_from(["pvq", "compare", "--full"]).expect("with the command");
        assert!(matches!(cli.command, Some(Command::Compare(args)) if args.compare.full));
        assert!(Cli::try_parse_from(["pvq", "--quick", "--full"]).is_err());
    }

    #[test]
    fn lists_may_be_given_in_both_ways() {
        let line = [
            "pvq",
            "--lock",
            "fifo,ticket",
            "--lock",
            "bounded",
            "--overcommit",
            "1,2",
        ];
        let cli = Cli::try_parse_from(line).expect("well formed");
        assert_eq!(cli.compare.compare.lock.len(), 3);
        assert_eq!(cli.compare.compare.overcommit, [1.0, 2.0]);
    }
}
