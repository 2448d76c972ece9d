//! Puts the shards of a sweep together.

use std::fs;
use std::path::{Path, PathBuf};

use pvqspin_report::figures::counted;
use pvqspin_report::files;
use pvqspin_sweep::journal;
use pvqspin_sweep::merge::{Merged, merge};

use crate::output::failure::{Done, Failure, note, print};
use crate::output::file_lock::OutputLock;
use crate::sweep::files as sweep_files;

/// Runs `pvq sweep --merge`.
pub(crate) fn run(out: &Path, parts: &[PathBuf]) -> Done {
    // The output comes first on the command line, where a list of all shards may slip.
    if let Some(part) = parts.iter().find(|part| is_same(part, out)) {
        return Err(Failure::bad_input(format!(
            "{} would be overwritten: it is one of the shards; name the output first",
            part.display()
        )));
    }
    if journal::read(out).is_ok() {
        return Err(Failure::bad_input(format!(
            "{} is a shard of a sweep, and would be overwritten; name the output first",
            out.display()
        )));
    }
    files::check_writable(out).map_err(Failure::BadInput)?;
    let _lock = OutputLock::take(out).map_err(Failure::BadInput)?;
    let Merged { rows, failed } = merge(parts).map_err(Failure::BadInput)?;
    let is_json = out.extension().is_some_and(|ending| ending == "json");
    let points = rows.len();
    let written = if is_json {
        sweep_files::write_json(rows, points + failed.len(), out)
    } else {
        sweep_files::write_csv(&rows, out)
    };
    written.map_err(Failure::Failed)?;
    let out = out.display();
    print(&format!(
        "{} of {}: {out}\n",
        counted(points, "point"),
        counted(parts.len(), "shard")
    ))?;
    for why in failed.values() {
        note(&format!("FAILED: {why}"));
    }
    sweep_files::ensure_none_failed(failed.len(), points + failed.len())
}

fn is_same(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}
