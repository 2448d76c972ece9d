//! The command line of `pvq threads` and its help.

use clap::Args;

use crate::options::common::{OutputArgs, RunArgs, WorkArgs};
use crate::options::offered;
use crate::options::parse::{self, ThreadLockChoice};
use crate::output::results::Wanted;

/// Shown under its help.
pub(crate) const THREADS_EXAMPLES: &str = "\
Examples:
  pvq threads                              about a minute; files in results/
  pvq threads --quick --no-files           10 seconds, nothing written
  pvq threads --lock pvqspin,std,parking-lot --overcommit 1,4 --repeats 9
  pvq threads --inside 50us --outside 500us
  pvq threads --overcommit 8 --duration 1s more threads than CPUs, and longer runs

Here the operating system schedules, and tells no lock which thread it preempted. Waits count from the \
call. Times are numbers with ns, us, ms or s; without a unit they are ns. The lock in your own program: \
docs/threads.md.";

/// What to run on ordinary threads.
#[derive(Debug, Args)]
pub(crate) struct ThreadsArgs {
    /// 10 seconds in all: 3 repeats
    #[arg(long)]
    pub(crate) quick: bool,

    /// Locks by name, or `all`, `pvqspin`, `rivals` [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    #[arg(value_parser = offered::thread_locks(), hide_possible_values = true)]
    pub(crate) lock: Vec<ThreadLockChoice>,

    /// Threads for each CPU, a list
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "1,2,4,8"
    )]
    #[arg(value_parser = parse::overcommit)]
    pub(crate) overcommit: Vec<f64>,

    /// Sections and repeats.
    #[command(flatten)]
    pub(crate) run: RunArgs,

    /// What the threads do.
    #[command(flatten)]
    pub(crate) work: WorkArgs,

    /// Where the results go.
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl ThreadsArgs {
    /// Where its results are wanted.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        self.output.wanted("threads")
    }
}
