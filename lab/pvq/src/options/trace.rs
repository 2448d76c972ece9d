//! The command line of `trace` and `explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use pvqspin_rivals::catalog::Entry;

use crate::options::compare::SetupArgs;
use crate::options::offered;
use crate::options::parse;
use crate::output::terminal::Characters;

/// Shown by `pvq trace --help`.
pub(crate) const TRACE_EXAMPLES: &str = "\
Examples:
  pvq trace                                fifo at overcommit 4; a file in results/ for a viewer
  pvq trace --lock test-and-set --overcommit 2 --duration 50ms
  pvq trace --driver simulator --pcpus 16  the same in virtual time
  pvq trace --lock native-queued --ascii   the last preempted holder, as lanes and words
  pvq trace --lock fifo --all > events.txt everything that was recorded
  pvq trace --picture event.svg            one event without and with the hint, side by side

The file opens at https://ui.perfetto.dev (it stays in your browser). \
docs/tracing.md tells how to read it, and what recording costs. Times are numbers with ns, us, ms or s; \
without a unit they are ns.";

/// Shown by `pvq explain --help`.
pub(crate) const EXPLAIN_EXAMPLES: &str = "\
Examples:
  pvq explain holder                       a preempted holder, with the default lock
  pvq explain waiter --lock fifo-halt      a preempted waiter, and a lock that sleeps
  pvq explain holder --lock native-queued  what it looks like without the hint
  pvq explain holder --step                stop after each step, until Enter

Everything is taken from a simulated run of the very lock code: the same every time.";

/// Who runs the guests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Driver {
    /// This machine: real time, real preemption
    Hypervisor,
    /// Virtual time: the same every time, and recording costs nothing in it
    Simulator,
}

/// Which event.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Which {
    /// The last one
    Last,
    /// The longest one
    Longest,
}

/// One run, recorded.
#[derive(Debug, Args)]
pub(crate) struct TraceArgs {
    /// The lock
    #[arg(long, value_name = "NAME", default_value = "fifo")]
    #[arg(value_parser = offered::one_lock(), hide_possible_values = true)]
    pub(crate) lock: &'static Entry,

    /// Who runs it
    #[arg(long, value_name = "NAME", value_enum, default_value = "hypervisor")]
    pub(crate) driver: Driver,

    /// vCPUs for each pCPU
    #[arg(long, value_name = "N", default_value = "4", value_parser = parse::overcommit)]
    pub(crate) overcommit: f64,

    /// Mean time inside the lock [default: the workload's; for hot-lock 1us]
    #[arg(long, value_name = "TIME", value_parser = parse::section)]
    pub(crate) inside: Option<u32>,

    /// Mean time outside the lock [default: the workload's; for hot-lock 2us]
    #[arg(long, value_name = "TIME", value_parser = parse::section_or_zero)]
    pub(crate) outside: Option<u32>,

    /// Measured time
    #[arg(long, value_name = "TIME", default_value = "50ms", value_parser = parse::time)]
    pub(crate) duration: u64,

    /// The workload and the host.
    #[command(flatten)]
    pub(crate) setup: SetupArgs,

    /// Where the trace goes [default: in results/, named by the time, unless --ascii or --all is given]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Write no file
    #[arg(long, conflicts_with = "out")]
    pub(crate) no_files: bool,

    /// How many marks are kept at most: of each vCPU (hypervisor) [default: 131072], or together with all
    /// events (simulator) [default: 4194304]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    pub(crate) keep: Option<usize>,

    /// Show the last (or the longest) event in which a holder was preempted, or a free lock waited for
    /// a sleeper: lanes, and what happened in words
    #[arg(long, value_name = "WHICH", num_args = 0..=1, default_missing_value = "last")]
    #[arg(value_enum, conflicts_with = "all")]
    pub(crate) ascii: Option<Which>,

    /// How wide --ascii may be [default: the terminal, or else 100]
    #[arg(long, value_name = "COLUMNS", requires = "ascii")]
    pub(crate) width: Option<u16>,

    /// What --ascii is drawn with
    #[arg(long, value_name = "SET", value_enum, default_value = "auto")]
    pub(crate) characters: Characters,

    /// Print every event that was recorded, not only those around the longest wait
    #[arg(long)]
    pub(crate) all: bool,

    /// Instead: draw one event without and with the hint, from simulated runs of one schedule
    #[arg(long, value_name = "FILE", exclusive = true)]
    pub(crate) picture: Option<PathBuf>,
}

/// What to explain.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Topic {
    /// The holder of the lock loses its pCPU
    Holder,
    /// A waiter loses its pCPU, and then it is its turn
    Waiter,
}

/// One event, step by step.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Who loses its pCPU
    #[arg(value_enum)]
    pub(crate) topic: Topic,

    /// The lock: one of pvqspin, or native-queued
    #[arg(long, value_name = "NAME", default_value = "fifo")]
    #[arg(value_parser = offered::one_lock(), hide_possible_values = true)]
    pub(crate) lock: &'static Entry,

    /// Stop after each step until Enter. Without a terminal nothing stops
    #[arg(long)]
    pub(crate) step: bool,

    /// The first seed to try: from it on, the first run in which such an event happens is taken
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse::whole(0, u64::MAX))]
    pub(crate) seed: u64,
}
