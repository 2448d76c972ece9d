//! The files that sweeps leave: CSV, the JSON of every driver, and a page.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Result;
use pvqspin_report::figures::counted;
use pvqspin_report::load::Source;
use pvqspin_report::{Machine, Report, files, schema};
use pvqspin_sweep::output;
use pvqspin_sweep::point::Row;

use crate::output::begun;
use crate::output::failure::{Done, Failure};
use crate::output::page_files::PageFiles;

/// Where the results of a whole sweep go.
#[derive(Debug)]
pub(crate) struct SweepFiles<'a> {
    pub(crate) csv: &'a Path,
    pub(crate) json: Option<&'a Path>,
    pub(crate) page: Option<PageFiles>,
}

impl SweepFiles<'_> {
    /// Makes sure that they can be written.
    ///
    /// # Errors
    ///
    /// Says what is in the way.
    pub(crate) fn check(&self) -> Result<()> {
        files::check_writable(self.csv)?;
        self.json.map_or(Ok(()), files::check_writable)?;
        self.page.as_ref().map_or(Ok(()), PageFiles::check)
    }

    /// Writes them: the rows that there are, of so many points.
    ///
    /// # Errors
    ///
    /// At the first that cannot be written.
    pub(crate) fn write(&self, rows: Vec<Row>, planned: usize) -> Result<()> {
        write_csv(&rows, self.csv)?;
        let report = report(rows, planned);
        if let Some(json) = self.json {
            files::write_atomically(json, |to| schema::write_json(&report, to))?;
        }
        let Some(page) = &self.page else {
            return Ok(());
        };
        let label = self.csv.file_stem().unwrap_or_default().display();
        page.write(vec![Source::of_report(&report, &label.to_string())?])
    }

    /// Every file, the page last.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let results = [self.csv].into_iter().chain(self.json);
        results.chain(self.page.iter().flat_map(PageFiles::paths))
    }
}

/// Writes rows as CSV: the same bytes wherever and however they were simulated.
pub(crate) fn write_csv(rows: &[Row], path: &Path) -> Result<()> {
    files::write_atomically(path, |to| output::write_csv(rows, to))
}

/// Writes rows as the JSON of every driver, with what a sweep knows about each added to it.
pub(crate) fn write_json(rows: Vec<Row>, planned: usize, path: &Path) -> Result<()> {
    files::write_atomically(path, |to| schema::write_json(&report(rows, planned), to))
}

fn report(rows: Vec<Row>, planned: usize) -> Report<Row> {
    // Each row has its own.
    let seed = rows.first().map_or(0, |row| row.facts.seed);
    let options = BTreeMap::new();
    Report {
        complete: rows.len() == planned,
        results: rows,
        ..begun::report("simulator", Machine::describe(), seed, options, planned)
    }
}

/// Whether every point gave a row.
///
/// # Errors
///
/// Says how many did not.
pub(crate) fn ensure_none_failed(failed: usize, planned: usize) -> Done {
    match failed {
        0 => Ok(()),
        failed => Err(Failure::failed(format!(
            "{failed} of {} failed, and the rows of the others are kept",
            counted(planned, "point")
        ))),
    }
}
