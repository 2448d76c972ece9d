//! The command line: which commands there are, and their help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::options::compare::CompareArgs;
use crate::options::kvm::{KVM_EXAMPLES, KvmArgs};
use crate::options::report::{REPORT_EXAMPLES, ReportArgs};
use crate::options::simulate::{SIMULATE_EXAMPLES, SimulateArgs};
use crate::options::sweep::{STUDY_EXAMPLES, SWEEP_EXAMPLES, StudyArgs, SweepArgs};
use crate::options::threads::{THREADS_EXAMPLES, ThreadsArgs};
use crate::options::trace::{EXPLAIN_EXAMPLES, ExplainArgs, TRACE_EXAMPLES, TraceArgs};
use crate::options::uncontended::{UNCONTENDED_EXAMPLES, UncontendedArgs};
use crate::options::validate::{
    CALIBRATE_EXAMPLES, CalibrateArgs, VALIDATE_EXAMPLES, ValidateArgs,
};

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
  pvq sweep GRID.toml                      many such points, over all cores
  pvq uncontended                          what a lock costs without contention
  pvq threads                              ordinary threads, beside other crates' mutexes
  pvq report results/compare-latest.json   the HTML page of results; of several files, side by side
  pvq report before.json after.json        what changed, and what is noise
  pvq doctor                               what this machine can and cannot do
  pvq list                                 every name that can be given

Exit codes: 0 done, 1 a run failed, 2 something asked for cannot be done (nothing ran), \
130 interrupted (what was finished is kept).";

const COMPARE_EXAMPLES: &str = "\
Examples:
  pvq compare                              about a minute; files in results/
  pvq compare --quick --no-files           10 seconds, nothing written
  pvq compare --full --targets             about 10 minutes, and the list of targets
  pvq compare --lock pvqspin,unfair-hinted --overcommit 1,2,4
  pvq compare --inside 1us,50us --outside 2us,500us --distribution exponential
  pvq compare --scheduling round-robin --yields hint --slice 1ms
  pvq compare --json /tmp/today.json --seed 7

Times are numbers with ns, us, ms or s; without a unit they are ns. Every run is one lock at \
one point; runs are interleaved and repeated, so that other work on the machine hits all \
locks alike.

With --watch, q or Ctrl-C stops after the run at hand, and keeps what was finished; once more stops at \
once. Drawing takes some time from the CPUs that are measured (docs/tracing.md says how much): figures to \
publish come without it.";

const DOCTOR_NOTES: &str = "\
`good` needs nothing, `note` may disturb or limit what is measured, `BAD` keeps `pvq compare` from running: the \
exit code is then 1. Nothing is changed, and nothing is built.";

const COMPLETIONS_EXAMPLES: &str = "\
Examples:
  pvq completions bash > ~/.local/share/bash-completion/completions/pvq
  pvq completions zsh > ~/.zfunc/_pvq
  pvq completions fish > ~/.config/fish/completions/pvq.fish";

const MAN_EXAMPLES: &str = "\
Examples:
  pvq man | man -l -                       read it
  pvq man --into ~/.local/share/man/man1   pvq.1, pvq-compare.1, ...";

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
    #[command(after_help = KVM_EXAMPLES)]
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
    #[command(after_help = THREADS_EXAMPLES)]
    Threads(ThreadsArgs),
    /// Make an HTML page, with pictures, from results files; of two, tell what changed
    #[command(after_help = REPORT_EXAMPLES)]
    Report(ReportArgs),
    /// Tell what this machine can and cannot do, and what to do about it
    #[command(after_help = DOCTOR_NOTES)]
    Doctor,
    /// List the locks, policies, word formats, host policies and workloads
    List,
    /// Print completions for a shell, to be sourced by it
    #[command(after_help = COMPLETIONS_EXAMPLES)]
    Completions {
        /// Which shell
        #[arg(value_enum)]
        shell: Shell,
    },
    /// Print the manual page, or write one for each command into a folder
    #[command(after_help = MAN_EXAMPLES)]
    Man {
        /// The folder, which must be there
        #[arg(long, value_name = "FOLDER")]
        into: Option<PathBuf>,
    },
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
