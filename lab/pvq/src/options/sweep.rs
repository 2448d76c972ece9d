//! The command line of sweeps, and of what checks and feeds the simulator.

use std::path::PathBuf;

use clap::Args;
use pvqspin_sweep::plan::Shard;

use crate::options::parse;

pub(crate) const SWEEP_EXAMPLES: &str = "\
Examples:
  pvq sweep lab/sweep/grids/example.toml   all cores; rows in results/example.csv
  pvq sweep big.toml --list                what would run, and for how long about
  pvq sweep big.toml --json big.json       the JSON of `compare` as well
  pvq sweep big.toml --shard 3/16 --out part-3.jsonl
  pvq sweep --merge big.csv part-*.jsonl   when all 16 parts are there

--merge refuses shards of different grids or builds of the program, a shard that is there twice, and shards \
that are missing or not finished; it says which.

Ctrl-C keeps what is finished, and the same command goes on from there. The rows are the same \
bytes whatever the number of threads or shards. docs/sweeps.md tells what a grid file can say, and \
how to run shards under Slurm and Kubernetes.";

/// What to sweep, and where to.
#[derive(Debug, Args)]
pub(crate) struct SweepArgs {
    /// The grid file; with --merge, the files of all shards
    #[arg(value_name = "GRID.toml", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Instead: put the shards of a sweep together into this file, CSV or JSON by its ending
    #[arg(long, value_name = "OUT")]
    #[arg(conflicts_with_all = ["out", "no_page", "json", "shard", "threads", "list", "restart"])]
    pub(crate) merge: Option<PathBuf>,

    /// Where the rows go, as CSV; of a shard, the file for --merge [default: results/GRID.csv]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Write no page and no pictures (`pvq report` makes them from the CSV)
    #[arg(long)]
    pub(crate) no_page: bool,

    /// Also write the JSON that `compare` writes
    #[arg(long, value_name = "FILE", conflicts_with = "shard")]
    pub(crate) json: Option<PathBuf>,

    /// Run one of several equal parts only, from 1: 1/8 to 8/8
    #[arg(long, value_name = "I/N")]
    pub(crate) shard: Option<Shard>,

    /// Simulations at once, each on a thread [default: as many as this process may use CPUs]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    pub(crate) threads: Option<usize>,

    /// Print the points and about how long they will take, and run nothing
    #[arg(long, alias = "dry-run")]
    pub(crate) list: bool,

    /// Throw away what an earlier call has finished
    #[arg(long)]
    pub(crate) restart: bool,
}

pub(crate) const STUDY_EXAMPLES: &str = "\
Examples:
  cargo xtask study                                 all grids, and the tables of docs/study.md
  cargo xtask study --check                         whether the document says what they give
  cargo xtask study --only variants --rows /tmp     one file's grids; its rows as CSV as well

Ctrl-C keeps what is finished (results/study-*.journal), and the same command goes on from there.";

/// Which grids, and which document.
#[derive(Debug, Args)]
pub(crate) struct StudyArgs {
    /// The folder of the study's grid files
    #[arg(long, value_name = "FOLDER", default_value = "lab/sweep/grids/study")]
    pub(crate) grids: PathBuf,

    /// The document whose tables are written
    #[arg(long, value_name = "FILE", default_value = "docs/study.md")]
    pub(crate) doc: PathBuf,

    /// Only these files of the folder, by their names without .toml: a list
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    pub(crate) only: Vec<String>,

    /// Write nothing; fail if the document does not say what the grids give
    #[arg(long)]
    pub(crate) check: bool,

    /// Throw away what an earlier call has finished
    #[arg(long)]
    pub(crate) restart: bool,

    /// Also write the rows as CSV, one file for each grid file, into this folder
    #[arg(long, value_name = "FOLDER")]
    pub(crate) rows: Option<PathBuf>,

    /// Simulations at once, each on a thread [default: as many as this process may use CPUs]
    #[arg(long, value_name = "N", value_parser = parse::at_least_one)]
    pub(crate) threads: Option<usize>,
}
