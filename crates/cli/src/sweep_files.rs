//! The files that sweeps leave: CSV, and the JSON of every driver.

use std::collections::BTreeMap;
use std::env;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use pvqspin_report::{Machine, Report, SCHEMA, files, schema};
use pvqspin_sweep::output;
use pvqspin_sweep::point::Row;

/// Writes both.
pub(crate) fn write(rows: &[Row], csv: &Path, json: Option<&Path>) -> Result<()> {
    write_csv(rows, csv)?;
    json.map_or(Ok(()), |json| write_json(rows, json))
}

/// Writes rows as CSV: the same bytes wherever and however they were simulated.
pub(crate) fn write_csv(rows: &[Row], path: &Path) -> Result<()> {
    files::write_atomically(path, |to| output::write_csv(rows, to))
}

/// Writes rows as the JSON of every driver, with what a sweep knows about each added to it.
pub(crate) fn write_json(rows: &[Row], path: &Path) -> Result<()> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    let report = Report {
        schema: SCHEMA,
        command: env::args().collect::<Vec<_>>().join(" "),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine: Machine::describe(),
        // Each row has its own.
        seed: rows.first().map_or(0, |row| row.facts.seed),
        driver: "simulator".to_owned(),
        options: BTreeMap::new(),
        started_unix_s: since_1970.map_or(0, |since| since.as_secs()),
        complete: true,
        planned: rows.len() as u64,
        results: rows.to_vec(),
    };
    files::write_atomically(path, |to| schema::write_json(&report, to))
}

/// What was written, for people.
pub(crate) fn names(csv: &Path, json: Option<&Path>) -> String {
    let csv = csv.display().to_string();
    json.map_or(csv.clone(), |json| format!("{csv}, {}", json.display()))
}
