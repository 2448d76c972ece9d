//! Results files, read back: the JSON and the CSV of every driver, and the shards of a sweep.
//!
//! What a file is, its contents say, not its name. Nothing in it is trusted: a file from somewhere
//! else may hold anything, so every record must have the schema's types, its figures must be
//! possible ones, and characters that no text should have are replaced.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Serialize;
use serde_json::Value;

use crate::load_csv;
use crate::schema::{Report, SCHEMA};
pub use crate::source::{About, Source};
pub use crate::untrusted_row::Row;
use crate::untrusted_row::{clean, cleaned, row};

impl Source {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// If it cannot be read, is no results file, is one of another schema, or has no results: says
    /// which, and what would be right.
    pub fn read(path: &Path, label: &str) -> Result<Self> {
        let shown = path.display();
        let bytes = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
        let text = String::from_utf8(bytes)
            .map_err(|_| anyhow!("{shown} is not a results file of pvq: it is not text"))?;
        Self::parse(&text, label).with_context(|| format!("cannot use {shown}"))
    }

    /// Reads what stands in a file.
    ///
    /// # Errors
    ///
    /// As [`Source::read`].
    pub fn parse(text: &str, label: &str) -> Result<Self> {
        ensure!(!text.trim().is_empty(), "it is empty");
        let source = if is_journal(text) {
            of_shard(text, label)?
        } else {
            match serde_json::from_str(text) {
                Ok(value) => of_value(value, label)?,
                Err(error) if text.trim_start().starts_with('{') => {
                    return Err(error)
                        .context("it is not a results file of pvq: its JSON is damaged");
                }
                Err(_) => load_csv::parse(text, label)?,
            }
        };
        ensure!(
            !source.rows.is_empty(),
            "it has no results: the command that wrote it did not finish any run"
        );
        Ok(source)
    }

    /// Results that are not in a file yet. They may be none.
    ///
    /// # Errors
    ///
    /// If its rows are no records.
    pub fn of_report<R: Serialize>(report: &Report<R>, label: &str) -> Result<Self> {
        of_value(serde_json::to_value(report)?, label)
    }
}

fn of_value(mut value: Value, label: &str) -> Result<Source> {
    ensure!(
        value.is_object() && value.get("results").is_some(),
        "it is not a results file of pvq: a JSON object with `schema` and `results` is expected"
    );
    match value.get("schema").and_then(Value::as_u64) {
        Some(version) if version == u64::from(SCHEMA) => {}
        Some(version) => {
            bail!(
                "it has schema {version}, and this program reads {SCHEMA}; use the pvq that wrote it"
            )
        }
        None => bail!("it is not a results file of pvq: its `schema` is no number"),
    }
    ensure!(
        value["driver"] != "uncontended",
        "`pvq uncontended` wrote it, and it holds no comparison to draw or to put beside others"
    );
    clean(&mut value);
    let report: Report<Value> = serde_json::from_value(value).context("it is damaged")?;
    let rows = report.results.into_iter().enumerate();
    let rows: Result<Vec<Row>> = rows
        .map(|(i, value)| row(value).with_context(|| format!("results[{i}] is damaged")))
        .collect();
    let rows = rows?;
    Ok(Source {
        label: cleaned(label),
        about: About {
            command: Some(report.command),
            version: report.version,
            machine: Some(report.machine),
            seed: Some(report.seed),
            driver: report.driver,
            options: report.options,
            started_unix_s: Some(report.started_unix_s),
            complete: report.complete,
            runs: rows.len(),
            planned: Some(report.planned),
        },
        rows,
    })
}

/// Whether its first line is the head of a sweep's shard or journal.
fn is_journal(text: &str) -> bool {
    let first = text.lines().next().unwrap_or_default();
    serde_json::from_str::<Value>(first).is_ok_and(|head| head.get("journal").is_some())
}

fn of_shard(text: &str, label: &str) -> Result<Source> {
    let mut lines = text.lines().zip(1..);
    let head = lines.next().map_or("{}", |(line, _)| line);
    let mut head: Value = serde_json::from_str(head)?;
    ensure!(
        head["journal"] == SCHEMA,
        "it is a sweep's file of format {}, and this program reads {SCHEMA}",
        head["journal"]
    );
    clean(&mut head);
    let mut rows = Vec::new();
    // A process that is killed leaves half a line.
    let whole = text
        .rfind('\n')
        .map_or(0, |end| text[..end].lines().count());
    for (line, number) in lines.take_while(|(_, number)| *number <= whole) {
        let mut value: Value = serde_json::from_str(line)
            .with_context(|| format!("it is damaged in line {number}"))?;
        // A point that was tried and has no row.
        if value.get("failed").is_some() {
            continue;
        }
        clean(&mut value);
        rows.push(row(value).with_context(|| format!("it is damaged in line {number}"))?);
    }
    let planned = head["points"].as_u64();
    Ok(Source {
        label: cleaned(label),
        about: About {
            version: head["version"].as_str().unwrap_or_default().to_owned(),
            driver: "simulator".to_owned(),
            // A shard never is all of it.
            complete: planned == Some(rows.len() as u64),
            runs: rows.len(),
            planned,
            ..About::default()
        },
        rows,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::schema::Record;
    use crate::waits::Waits;
    use crate::{csv_rows, samples, schema};

    fn json(report: &Report) -> String {
        let mut bytes = Vec::new();
        schema::write_json(report, &mut bytes).expect("a vector takes everything");
        String::from_utf8(bytes).expect("text")
    }

    fn error(text: &str) -> String {
        format!("{:#}", Source::parse(text, "x").expect_err("bad input"))
    }

    #[test]
    fn json_reads_back_whole() {
        let report = samples::report();
        let source = Source::parse(&json(&report), "today").expect("our own file");
        let records: Vec<Record> = source.rows.into_iter().map(|row| row.record).collect();
        assert_eq!(records, report.results);
        assert_eq!(source.about.command.as_deref(), Some("pvq compare --quick"));
        assert!(source.about.complete);
    }

    #[test]
    fn csv_reads_back_but_for_what_it_leaves_out() {
        let mut report = samples::report();
        report.results[0].lock = "1, \"x\"\n".into();
        report.results[0].neighbour = Some(0.5);
        let mut bytes = Vec::new();
        csv_rows::write_csv(&report, &mut bytes).expect("a vector takes everything");
        let text = String::from_utf8(bytes).expect("text");
        let source = Source::parse(&text, "today").expect("our own file");
        for (row, record) in source.rows.iter().zip(&report.results) {
            let mut expected = record.clone();
            expected.lock = cleaned(&expected.lock);
            (expected.per_vcpu, expected.events) = (Vec::new(), BTreeMap::new());
            expected.wait_histogram = Waits::default();
            assert_eq!(row.record, expected);
        }
        assert_eq!(source.rows.len(), report.results.len());
        assert_eq!(source.about.driver, "hypervisor");
        assert!(source.about.complete && source.about.machine.is_none());
        let newer = text.replacen("\n1,", "\n2,", 1);
        assert!(error(&newer).contains("schema 2"), "{}", error(&newer));
    }

    #[test]
    fn a_shard_reads_back_without_its_last_half_line() {
        let mut value = serde_json::to_value(samples::record("fifo", 4, 100.0)).expect("JSON");
        value["grid"] = "policies".into();
        value["vms"] = 2.into();
        let head =
            "{\"journal\":1,\"plan\":\"91\",\"version\":\"0.1.0\",\"points\":3,\"shard\":null}";
        let text = format!("{head}\n{value}\n{value}\n{{\"grid\":\"poli");
        let source = Source::parse(&text, "part").expect("a shard");
        assert_eq!(source.rows.len(), 2);
        assert_eq!(source.rows[0].facts["grid"], "policies");
        assert_eq!(source.rows[0].facts["vms"], "2");
        assert!(!source.about.complete);
        assert!(error(&text.replacen("\"journal\":1", "\"journal\":9", 1)).contains("format 9"));
        assert!(error(&format!("{head}\nnonsense\n")).contains("line 2"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let good = json(&samples::report());
        let mut empty = samples::report();
        empty.results.clear();
        for (text, expected) in [
            ("{\"a\": 1".to_owned(), "its JSON is damaged"),
            (String::new(), "it is empty"),
            ("[]".to_owned(), "a JSON object with"),
            (" 7".to_owned(), "a JSON object with"),
            ("{\"a\": 1}".to_owned(), "`schema` and `results`"),
            ("a,b\n1,2\n".to_owned(), "no column `lock`"),
            (
                good.replacen("\"schema\": 1", "\"schema\": 2", 1),
                "schema 2, and this program reads 1",
            ),
            (
                good.replacen("\"schema\": 1", "\"schema\": \"1\"", 1),
                "its `schema` is no number",
            ),
            (
                good.replacen(
                    "\"driver\": \"hypervisor\"",
                    "\"driver\": \"uncontended\"",
                    1,
                ),
                "no comparison",
            ),
            (json(&empty), "no results"),
            (
                good.replacen("\"jain\": 0.99", "\"jain\": \"high\"", 1),
                "results[0] is damaged",
            ),
            (
                good.replacen("\"jain\": 0.99", "\"jain\": -1.0", 1),
                "`jain` is -1",
            ),
            (
                good.replacen("\"jain\": 0.99,", "", 1),
                "missing field `jain`",
            ),
            (
                good.replacen("\"wait_histogram\": \"H", "\"wait_histogram\": \"G", 1),
                "is no HdrHistogram",
            ),
            (
                good.replacen("\"pcpus\": 2", "\"pcpus\": 0", 1),
                "must be 1 or more",
            ),
        ] {
            let error = error(&text);
            assert!(error.contains(expected), "'{expected}' is not in: {error}");
        }
    }

    #[test]
    fn control_characters_do_not_get_in() {
        let mut report = samples::report();
        report.results[0].lock = "a\u{0}b\u{1b}[31m\u{202e}c".into();
        let source = Source::parse(&json(&report), "l\u{7}").expect("strange, but text");
        let name = &source.rows[0].record.lock;
        assert_eq!(name, "a\u{fffd}b\u{fffd}[31m\u{fffd}c");
        assert_eq!(source.label, "l\u{fffd}");
    }
}
