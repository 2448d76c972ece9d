//! The command line of `report`.

use std::path::PathBuf;

use clap::Args;

pub(crate) const REPORT_EXAMPLES: &str = "\
Examples:
  pvq report results/compare.json          results/compare.html, pictures in results/compare-charts/
  pvq report before.json after.json        both side by side, in report.html beside the first
  pvq report a/compare.json b/compare.json --label old --label new --out both.html
  pvq report big.csv --charts /tmp/pictures
  pvq report part-1.jsonl part-2.jsonl     shards of a sweep, as far as they are finished

Reads the JSON and CSV of every command, and the files of a sweep's shards. The page needs no network
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
}
