//! The command line of `report`.

use std::path::PathBuf;

use anyhow::{Result, bail};
use clap::{Args, ValueEnum};

use crate::options::parse;

pub(crate) const REPORT_EXAMPLES: &str = "\
Examples:
  pvq report results/compare-latest.json   its page and pictures beside it
  pvq report before.json after.json        what changed, and both side by side, in report.html
  pvq report old.json new.json --no-page --fail-if slower   for CI: exit status 1 if so
  pvq report a/compare.json b/compare.json --label old --label new --out both.html
  pvq report big.csv --charts /tmp/pictures
  pvq report part-1.jsonl part-2.jsonl     shards of a sweep, as far as they are finished

Of two files it tells change from noise, lock by lock and point by point: three undisturbed repeats \
of both at least, intervals that all hold together with 95 %, and differences below --margin are none.

Reads the JSON and CSV of every command, and the files of a sweep's shards. The page needs no network \
and no server: open it from the disk. Pictures are the page's own, as SVG and as PNG.";

/// Results files, and where the page goes.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// Results files: JSON, CSV, JSONL
    #[arg(value_name = "FILE", required = true)]
    pub(crate) files: Vec<PathBuf>,

    /// Where the page goes [default: FILE.html; of several files, report.html beside the first]
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,

    /// Where the pictures go as SVG and PNG, a folder [default: PAGE-charts beside the page]
    #[arg(long, value_name = "FOLDER")]
    pub(crate) charts: Option<PathBuf>,

    /// Write the page only
    #[arg(long, conflicts_with = "charts")]
    pub(crate) no_charts: bool,

    /// What a file is called on the page; once for each file [default: their names]
    #[arg(long, value_name = "NAME")]
    pub(crate) label: Vec<String>,

    /// Also write the tables as Markdown, to a file or, as `-`, to standard output
    #[arg(long, value_name = "FILE")]
    pub(crate) markdown: Option<PathBuf>,

    /// Write no page and no pictures: only tell what changed
    #[arg(long, conflicts_with_all = ["out", "charts", "no_charts"])]
    pub(crate) no_page: bool,

    /// What counts as a change.
    #[command(flatten)]
    pub(crate) change: ChangeArgs,
}

/// What makes a comparison with earlier results fail.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum FailIf {
    /// A lock's throughput is lower
    Slower,
    /// A lock's p99.99 wait is longer
    LongerWaits,
    /// A lock or a point is there no more
    Missing,
    /// Something could not be judged: too few repeats, or disturbed ones
    NotJudged,
}

/// What counts as a change, and what to do about it.
#[derive(Debug, Args)]
pub(crate) struct ChangeArgs {
    /// End with exit status 1 if so: a list
    #[arg(long, value_name = "WHAT", value_delimiter = ',', value_enum)]
    pub(crate) fail_if: Vec<FailIf>,

    /// Differences below this many per cent count as none [default: 5]
    #[arg(long, value_name = "PERCENT", value_parser = parse::percent)]
    margin: Option<f64>,
}

impl ChangeArgs {
    /// The share below which differences count as none.
    pub(crate) fn margin(&self) -> f64 {
        self.margin.unwrap_or(5.0) / 100.0
    }

    /// Refuses what would have no effect without a comparison; `needs` says what makes one.
    ///
    /// # Errors
    ///
    /// If one of these options is given.
    pub(crate) fn refuse(&self, needs: &str) -> Result<()> {
        let given = match (self.fail_if.is_empty(), self.margin) {
            (false, _) => "--fail-if",
            (true, Some(_)) => "--margin",
            (true, None) => return Ok(()),
        };
        bail!("{given} is about what changed: {needs}")
    }
}
