//! The command line of `pvq threads` and its help.

use std::path::PathBuf;

use clap::Args;
use pvqspin_workload::Distribution;
use pvqspin_workload::catalog::Entry as Workload;

use crate::outputs::Wanted;
use crate::parse::{self, ThreadLockChoice};

/// Shown under its help.
pub(crate) const EXAMPLES: &str = "\
Examples:
  pvq threads                              about a minute; files in results/
  pvq threads --quick --no-files           10 seconds, nothing written
  pvq threads --lock ours,std,parking-lot --overcommit 1,4 --repeats 9
  pvq threads --inside 50us --outside 500us
  pvq threads --lock all --overcommit 8    with those that hardly move then

Here the operating system schedules, and tells no lock whom it preempted. Waits count from the
call. The lock in your own program: docs/threads.md.";

/// What to run on ordinary threads.
#[derive(Debug, Args)]
pub(crate) struct ThreadsArgs {
    /// 10 seconds in all: one repeat
    #[arg(long)]
    pub(crate) quick: bool,

    /// Locks by name, or `all`, `ours`, `peers` [default: all]
    #[arg(long, value_name = "NAMES", value_delimiter = ',', value_parser = parse::thread_lock)]
    pub(crate) lock: Vec<ThreadLockChoice>,

    /// Threads for each CPU, a list
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "1,2,4,8"
    )]
    #[arg(value_parser = parse::overcommit, allow_negative_numbers = true)]
    pub(crate) overcommit: Vec<f64>,

    /// Mean time inside the lock, a list that pairs up with --outside [default: the workload's;
    /// for hot-lock 1us]
    #[arg(long, value_name = "TIMES", value_delimiter = ',', value_parser = parse::section)]
    pub(crate) inside: Vec<u32>,

    /// Mean time outside the lock, a list that pairs up with --inside [default: the workload's;
    /// for hot-lock 2us]
    #[arg(long, value_name = "TIMES", value_delimiter = ',', value_parser = parse::section_or_zero)]
    pub(crate) outside: Vec<u32>,

    /// Repeats of every run [default: 3]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    pub(crate) repeats: Option<usize>,

    /// Measured time of each run [default: what a minute in all allows]
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(crate) duration: Option<u64>,

    /// What the threads do: one of `pvq list`
    #[arg(long, value_name = "NAME", default_value = "hot-lock", value_parser = parse::workload)]
    pub(crate) workload: &'static Workload,

    /// Spread of the section lengths: fixed, uniform (50 % up and down), exponential
    #[arg(long, value_name = "NAME", default_value = "uniform", value_parser = parse::distribution)]
    pub(crate) distribution: Distribution,

    /// Seed of the section lengths
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub(crate) seed: u64,

    /// Where the results go; CSV goes beside it [default: results/threads.json]
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Where the CSV goes [default: beside the JSON]
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,

    /// Write no files
    #[arg(long, conflicts_with_all = ["json", "csv"])]
    pub(crate) no_files: bool,
}

impl ThreadsArgs {
    /// Where its results are wanted.
    pub(crate) fn wanted(&self) -> Wanted<'_> {
        Wanted {
            json: self.json.as_deref(),
            csv: self.csv.as_deref(),
            no_files: self.no_files,
            default_json: "results/threads.json",
            picture: false,
        }
    }
}
