//! What a soak came to, as a table and as a file.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use comfy_table::{CellAlignment, Table, presets};
use pvqspin_report::files::write_atomically;
use serde::Serialize;

use crate::draw::{Driver, Turn};
use crate::figures::Figures;
use crate::turn::Report;

/// What all turns of a driver came to.
#[derive(Debug, Default, Serialize)]
struct Sums {
    turns: u64,
    failures: u64,
    #[serde(flatten)]
    figures: Figures,
    /// Why the driver does not run here, if so.
    skipped: Option<String>,
}

#[derive(Debug, Serialize)]
struct Failure {
    turn: String,
    replay: String,
    what: String,
    failure: String,
}

/// What a soak came to so far.
#[derive(Debug, Serialize)]
pub(crate) struct Summary {
    command: String,
    version: &'static str,
    seed: u64,
    seconds: f64,
    drivers: BTreeMap<Driver, Sums>,
    failures: Vec<Failure>,
}

impl Summary {
    /// Nothing so far.
    pub(crate) fn new(seed: u64, time: Duration) -> Self {
        let hours = time.as_secs_f64() / 3_600.0;
        Self {
            command: format!("cargo xtask soak --hours {hours} --seed {seed}"),
            version: env!("CARGO_PKG_VERSION"),
            seed,
            seconds: 0.0,
            drivers: Driver::ALL.map(|driver| (driver, Sums::default())).into(),
            failures: Vec::new(),
        }
    }

    /// Whether anything went wrong.
    pub(crate) fn failed(&self) -> bool {
        !self.failures.is_empty()
    }

    /// Adds a turn. Returns what to say about it, if it failed.
    pub(crate) fn add(&mut self, turn: Turn, report: Report, passed: Duration) -> Option<String> {
        self.seconds = passed.as_secs_f64();
        let sums = self.drivers.entry(turn.driver).or_default();
        sums.turns += 1;
        sums.figures.add(&report.figures);
        sums.skipped = report.skipped.or(sums.skipped.take());
        let failure = report.failure?;
        sums.failures += 1;
        let replay = format!("cargo xtask soak --replay {turn}");
        let said = format!("{turn} FAILED: {failure}\n{}\nagain: {replay}", report.what);
        self.failures.push(Failure {
            turn: turn.to_string(),
            replay,
            what: report.what,
            failure,
        });
        Some(said)
    }

    /// Writes it, or leaves what was there.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        write_atomically(path, |file| {
            serde_json::to_writer_pretty(&mut *file, self)?;
            writeln!(file)
        })
    }

    /// For a reader.
    pub(crate) fn text(&self) -> String {
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        let names = Figures::default().named().map(|(name, _)| name);
        let mut header = vec!["driver", "turns"];
        header.extend(names);
        header.push("failures");
        table.set_header(header);
        for (driver, sums) in &self.drivers {
            let mut row = vec![driver.name().to_owned(), sums.turns.to_string()];
            row.extend(sums.figures.named().map(|(_, count)| grouped(count)));
            row.push(sums.failures.to_string());
            table.add_row(row);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        let mut text = format!("{}\n{:.0} s\n\n{table}\n", self.command, self.seconds);
        for (driver, sums) in &self.drivers {
            if let Some(reason) = &sums.skipped {
                let _ = writeln!(text, "{} skipped: {reason}", driver.name());
            }
        }
        for failure in &self.failures {
            let _ = writeln!(text, "FAILED, again: {}", failure.replay);
        }
        text
    }
}

/// A count with its thousands apart.
fn grouped(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(failure: Option<&str>) -> Report {
        Report {
            what: "fifo".to_owned(),
            figures: Figures {
                schedules: 2,
                acquisitions: 1_234_567,
                ..Figures::default()
            },
            failure: failure.map(str::to_owned),
            skipped: None,
        }
    }

    #[test]
    fn turns_add_up_and_a_failure_tells_how_to_see_it_again() {
        let mut summary = Summary::new(7, Duration::from_secs(1_800));
        let turn = Turn::of_soak(7, 0);
        let second = Duration::from_secs(1);
        assert_eq!(summary.add(turn, report(None), second), None);
        assert!(!summary.failed());
        let said = summary.add(turn, report(Some("stuck")), second);
        let again = format!("cargo xtask soak --replay {turn}");
        assert!(said.is_some_and(|said| said.contains("stuck") && said.contains(&again)));
        assert!(summary.failed());
        let text = summary.text();
        for part in ["--hours 0.5 --seed 7", "2,469,134", &again] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}
