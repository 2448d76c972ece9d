//! The CSV file: one flat row for each record.
//!
//! Nested fields become `wait_ns_p50`, `hypercalls_halt` and so on. `per_vcpu`, `events` and
//! `wait_histogram` are left out: their length differs from row to row. Seed, version and whether every run was
//! finished stand in each row, so that rows of several files can be put together.

use std::io;

use crate::schema::{Latency, Record, Report};

/// Writes the results as CSV: a header, then the rows.
///
/// # Errors
///
/// Whatever the writer returns.
pub fn write_csv(report: &Report, to: impl io::Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(to);
    writer.write_record(header())?;
    for record in &report.results {
        writer.write_record(row(report, record))?;
    }
    writer.flush()
}

/// The names of a record's columns, without those of the file.
pub fn record_header() -> impl Iterator<Item = &'static str> {
    record_columns().map(|(name, _)| *name)
}

/// A record's cells, in the order of [`record_header`].
pub fn record_cells(record: &Record) -> impl Iterator<Item = String> + '_ {
    record_columns().map(|(_, value)| value(record))
}

/// A column of a record: its name, and where its value comes from.
type Column = (&'static str, fn(&Record) -> String);

/// A column that is the same in every row.
type FileColumn = (&'static str, fn(&Report) -> String);

/// Columns of a latency, one for each of its quantiles.
macro_rules! latency {
    ($field:ident: $p50:literal $p99:literal $p999:literal $p9999:literal $max:literal) => {
        [
            (
                $p50,
                (|r| quantile(&r.$field, |l| l.p50)) as fn(&Record) -> String,
            ),
            ($p99, |r| quantile(&r.$field, |l| l.p99)),
            ($p999, |r| quantile(&r.$field, |l| l.p999)),
            ($p9999, |r| quantile(&r.$field, |l| l.p9999)),
            ($max, |r| quantile(&r.$field, |l| l.max)),
        ]
    };
}

fn quantile(latency: &Latency, which: fn(&Latency) -> u64) -> String {
    which(latency).to_string()
}

fn or_empty<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map(T::to_string).unwrap_or_default()
}

const ABOUT_THE_FILE: &[FileColumn] = &[
    ("schema", |file| file.schema.to_string()),
    ("version", |file| file.version.clone()),
    ("driver", |file| file.driver.clone()),
    ("seed", |file| file.seed.to_string()),
    ("complete", |file| file.complete.to_string()),
];

const WHAT_RAN: &[Column] = &[
    ("lock", |r| r.lock.clone()),
    ("policy", |r| or_empty(&r.policy)),
    ("word", |r| or_empty(&r.word)),
    ("fair", |r| r.fair.to_string()),
    ("workload", |r| r.workload.clone()),
    ("host_policy", |r| r.host_policy.clone()),
    ("yield_mode", |r| r.yield_mode.clone()),
    ("pcpus", |r| r.pcpus.to_string()),
    ("vcpus", |r| r.vcpus.to_string()),
    ("overcommit", |r| r.overcommit.to_string()),
    ("inside_ns", |r| r.inside_ns.to_string()),
    ("outside_ns", |r| r.outside_ns.to_string()),
    ("distribution", |r| r.distribution.clone()),
    ("inside_measured_ns", |r| r.inside_measured_ns.to_string()),
    ("outside_measured_ns", |r| r.outside_measured_ns.to_string()),
    ("slice_ns", |r| r.slice_ns.to_string()),
    ("repeat", |r| r.repeat.to_string()),
    ("duration_ns", |r| r.duration_ns.to_string()),
    ("acquisitions", |r| r.acquisitions.to_string()),
    ("unit", |r| r.unit.clone()),
    ("units", |r| r.units.to_string()),
    ("units_per_s", |r| r.units_per_s.to_string()),
    ("busiest_lock_ns", |r| r.busiest_lock_ns.to_string()),
    ("acquisitions_per_round", |r| {
        r.acquisitions_per_round.to_string()
    }),
    ("throughput_per_s", |r| r.throughput_per_s.to_string()),
    ("throughput_over_bound", |r| {
        r.throughput_over_bound.to_string()
    }),
    ("jain", |r| r.jain.to_string()),
];

const WAITS: [Column; 5] = latency!(wait_ns:
    "wait_ns_p50" "wait_ns_p99" "wait_ns_p999" "wait_ns_p9999" "wait_ns_max");

const CALLS: [Column; 5] = latency!(call_ns:
    "call_ns_p50" "call_ns_p99" "call_ns_p999" "call_ns_p9999" "call_ns_max");

const WHAT_HAPPENED: &[Column] = &[
    ("waits_over_slice", |r| r.waits_over_slice.to_string()),
    ("lhp", |r| r.lhp.to_string()),
    ("lwp", |r| r.lwp.to_string()),
    ("wasted_ns", |r| r.wasted_ns.to_string()),
    ("wasted_share", |r| r.wasted_share.to_string()),
    ("hypercalls_halt", |r| r.hypercalls.halt.to_string()),
    ("hypercalls_kick", |r| r.hypercalls.kick.to_string()),
    ("hypercalls_yield_to", |r| r.hypercalls.yield_to.to_string()),
    ("hypercalls_per_acquisition", |r| {
        r.hypercalls_per_acquisition.to_string()
    }),
    ("yields_ran", |r| r.yields.ran.to_string()),
    ("yields_already_running", |r| {
        r.yields.already_running.to_string()
    }),
    ("yields_stale", |r| r.yields.stale.to_string()),
    ("yields_refused", |r| r.yields.refused.to_string()),
    ("neighbour", |r| or_empty(&r.neighbour)),
    ("exclusion_violations", |r| {
        r.exclusion_violations.to_string()
    }),
    ("halt_timeouts", |r| r.halt_timeouts.to_string()),
    ("interruptions", |r| or_empty(&r.interruptions)),
    ("interrupted_ns", |r| or_empty(&r.interrupted_ns)),
    ("paused_ns", |r| or_empty(&r.paused_ns)),
    ("discarded", |r| r.discarded.to_string()),
];

fn record_columns() -> impl Iterator<Item = &'static Column> {
    [WHAT_RAN, &WAITS, &CALLS, WHAT_HAPPENED]
        .into_iter()
        .flatten()
}

fn header() -> impl Iterator<Item = &'static str> {
    let about_the_file = ABOUT_THE_FILE.iter().map(|(name, _)| *name);
    about_the_file.chain(record_header())
}

fn row<'a>(report: &'a Report, record: &'a Record) -> impl Iterator<Item = String> + 'a {
    let about_the_file = ABOUT_THE_FILE.iter().map(|(_, value)| value(report));
    about_the_file.chain(record_cells(record))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use serde_json::Value;

    fn csv_of(report: &Report) -> String {
        let mut bytes = Vec::new();
        write_csv(report, &mut bytes).expect("a vector takes everything");
        String::from_utf8(bytes).expect("only text was written")
    }

    /// Every scalar of the JSON record, with nested names joined as the CSV does.
    fn flattened(name: &str, value: &Value, into: &mut Vec<(String, String)>) {
        match value {
            Value::Object(fields) => {
                for (field, inner) in fields {
                    let joined = match name {
                        "" => field.clone(),
                        outer => format!("{outer}_{field}"),
                    };
                    if !["per_vcpu", "events"].contains(&joined.as_str()) {
                        flattened(&joined, inner, into);
                    }
                }
            }
            Value::Null => into.push((name.into(), String::new())),
            // Left out, as it is no figure.
            Value::String(_) if name == "wait_histogram" => {}
            Value::String(text) => into.push((name.into(), text.clone())),
            other => into.push((name.into(), other.to_string())),
        }
    }

    #[test]
    fn every_scalar_of_the_json_is_a_column_with_the_same_value() {
        let report = samples::report();
        let text = csv_of(&report);
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let header = reader.headers().expect("there is one").clone();
        let rows: Vec<_> = reader
            .records()
            .map(|row| row.expect("well formed"))
            .collect();
        assert_eq!(rows.len(), report.results.len());

        for (row, record) in rows.iter().zip(&report.results) {
            let mut fields = Vec::new();
            flattened(
                "",
                &serde_json::to_value(record).expect("serialises"),
                &mut fields,
            );
            assert_eq!(fields.len() + ABOUT_THE_FILE.len(), header.len());
            for (name, value) in fields {
                let at = header.iter().position(|column| column == name);
                let cell = &row[at.unwrap_or_else(|| panic!("no column for {name}"))];
                let same_number = match (cell.parse::<f64>(), value.parse::<f64>()) {
                    (Ok(cell), Ok(value)) => cell == value,
                    _ => false,
                };
                assert!(
                    cell == value || same_number,
                    "{name}: {cell} is not {value}"
                );
            }
        }
    }

    #[test]
    fn a_file_without_results_still_has_its_header() {
        let mut report = samples::report();
        report.results.clear();
        let text = csv_of(&report);
        assert_eq!(text.lines().count(), 1);
        assert!(text.starts_with("schema,version,driver,seed,complete,lock,policy,word"));
    }
}
