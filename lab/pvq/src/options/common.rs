//! Options that several commands have: what is run, for how long, and where results go.

use std::path::PathBuf;

use clap::Args;
use pvqspin_load::Distribution;
use pvqspin_load::catalog::Entry as Workload;

use crate::options::offered;
use crate::options::parse;
use crate::options::report::ChangeArgs;
use crate::output::results::Wanted;

/// What is done inside and outside the lock.
#[derive(Debug, Args)]
pub(crate) struct WorkArgs {
    /// What guests or threads do: one of `pvq list`
    #[arg(long, value_name = "NAME", default_value = "hot-lock")]
    #[arg(value_parser = offered::workload(), hide_possible_values = true)]
    pub(crate) workload: &'static Workload,

    /// Spread of the section lengths: fixed, uniform (50 % up and down), exponential
    #[arg(long, value_name = "NAME", default_value = "uniform")]
    #[arg(value_parser = offered::distribution(), hide_possible_values = true)]
    pub(crate) distribution: Distribution,

    /// Seed of the section lengths
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = parse::whole(0, u64::MAX))]
    pub(crate) seed: u64,
}

/// Which sections, how often, and for how long.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Mean time inside the lock, a list that pairs up with --outside [default: the workload's;
    /// for hot-lock 1us, of `compare` also 20us]
    #[arg(long, value_name = "TIMES", value_delimiter = ',', value_parser = parse::section)]
    pub(crate) inside: Vec<u32>,

    /// Mean time outside the lock, a list that pairs up with --inside [default: the workload's;
    /// for hot-lock 2us, of `compare` also 20us]
    #[arg(long, value_name = "TIMES", value_delimiter = ',', value_parser = parse::section_or_zero)]
    pub(crate) outside: Vec<u32>,

    /// Repeats of every run [default: 3]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    pub(crate) repeats: Option<usize>,

    /// Measured time of each run [default: what a minute in all allows]
    #[arg(long, value_name = "TIME", value_parser = parse::time)]
    pub(crate) duration: Option<u64>,
}

/// Where results go.
#[derive(Debug, Args)]
pub(crate) struct OutputArgs {
    /// Where the results go; CSV, the HTML page and its pictures go beside it. `-` is standard output
    /// [default: in results/, named by the time]
    #[arg(long, value_name = "FILE", conflicts_with = "save")]
    pub(crate) json: Option<PathBuf>,

    /// Where the CSV goes [default: beside the JSON]
    #[arg(long, value_name = "FILE")]
    pub(crate) csv: Option<PathBuf>,

    /// Save the results as a baseline: results/NAME.json, which must not be there yet
    #[arg(long, value_name = "NAME", conflicts_with = "csv")]
    pub(crate) save: Option<String>,

    /// Also tell what changed since the results that were saved under this name
    #[arg(long, value_name = "NAME")]
    pub(crate) baseline: Option<String>,

    /// What counts as a change since then.
    #[command(flatten)]
    pub(crate) change: ChangeArgs,

    /// Write no page and no pictures (`pvq report` makes them from the JSON)
    #[arg(long)]
    pub(crate) no_page: bool,

    /// Write no files
    #[arg(long, conflicts_with_all = ["json", "csv", "save"])]
    pub(crate) no_files: bool,
}

impl OutputArgs {
    /// Where its results are wanted, of the command of this name.
    pub(crate) fn wanted<'a>(&'a self, command: &'a str) -> Wanted<'a> {
        Wanted {
            json: self.json.as_deref(),
            csv: self.csv.as_deref(),
            save: self.save.as_deref(),
            no_page: self.no_page,
            no_files: self.no_files,
            command,
        }
    }
}
