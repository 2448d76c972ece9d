//! The CSV file: one flat row for each record.
//!
//! Nested fields become `wait_ns_p50`, `hypercalls_halt` and so on. `per_vcpu` and `events` are
//! left out: their length differs from row to row. Seed, version and whether every run was
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

/// A column: its name, and where its value comes from.
type Column = (&'static str, fn(&Report, &Record) -> String);

/// Columns of a latency, one for each of its quantiles.
macro_rules! latency {
    ($field:ident: $p50:literal $p99:literal $p999:literal $p9999:literal $max:literal) => {
        [
            (
                $p50,
                (|_, r| quantile(&r.$field, |l| l.p50)) as fn(&Report, &Record) -> String,
            ),
            ($p99, |_, r| quantile(&r.$field, |l| l.p99)),
            ($p999, |_, r| quantile(&r.$field, |l| l.p999)),
            ($p9999, |_, r| quantile(&r.$field, |l| l.p9999)),
            ($max, |_, r| quantile(&r.$field, |l| l.max)),
        ]
    };
}

fn quantile(latency: &Latency, which: fn(&Latency) -> u64) -> String {
    which(latency).to_string()
}

fn or_empty<T: ToString>(value: &Option<T>) -> String {
    value.as_ref().map(T::to_string).unwrap_or_default()
}

const ABOUT_THE_FILE: &[Column] = &[
    ("schema", |file, _| file.schema.to_string()),
    ("version", |file, _| file.version.clone()),
    ("driver", |file, _| file.driver.clone()),
    ("seed", |file, _| file.seed.to_string()),
    ("complete", |file, _| file.complete.to_string()),
];

const WHAT_RAN: &[Column] = &[
    ("lock", |_, r| r.lock.clone()),
    ("policy", |_, r| or_empty(&r.policy)),
    ("word", |_, r| or_empty(&r.word)),
    ("fair", |_, r| r.fair.to_string()),
    ("workload", |_, r| r.workload.clone()),
    ("host_policy", |_, r| r.host_policy.clone()),
    ("yield_mode", |_, r| r.yield_mode.clone()),
    ("pcpus", |_, r| r.pcpus.to_string()),
    ("vcpus", |_, r| r.vcpus.to_string()),
    ("overcommit", |_, r| r.overcommit.to_string()),
    ("inside_ns", |_, r| r.inside_ns.to_string()),
    ("outside_ns", |_, r| r.outside_ns.to_string()),
    ("distribution", |_, r| r.distribution.clone()),
    ("inside_measured_ns", |_, r| {
        r.inside_measured_ns.to_string()
    }),
    ("outside_measured_ns", |_, r| {
        r.outside_measured_ns.to_string()
    }),
    ("slice_ns", |_, r| r.slice_ns.to_string()),
    ("repeat", |_, r| r.repeat.to_string()),
    ("duration_ns", |_, r| r.duration_ns.to_string()),
    ("acquisitions", |_, r| r.acquisitions.to_string()),
    ("unit", |_, r| r.unit.clone()),
    ("units", |_, r| r.units.to_string()),
    ("units_per_s", |_, r| r.units_per_s.to_string()),
    ("busiest_lock_ns", |_, r| r.busiest_lock_ns.to_string()),
    ("acquisitions_per_round", |_, r| {
        r.acquisitions_per_round.to_string()
    }),
    ("throughput_per_s", |_, r| r.throughput_per_s.to_string()),
    ("throughput_over_bound", |_, r| {
        r.throughput_over_bound.to_string()
    }),
    ("jain", |_, r| r.jain.to_string()),
];

const WAITS: [Column; 5] = latency!(wait_ns:
    "wait_ns_p50" "wait_ns_p99" "wait_ns_p999" "wait_ns_p9999" "wait_ns_max");

const CALLS: [Column; 5] = latency!(call_ns:
    "call_ns_p50" "call_ns_p99" "call_ns_p999" "call_ns_p9999" "call_ns_max");

const WHAT_HAPPENED: &[Column] = &[
    ("waits_over_slice", |_, r| r.waits_over_slice.to_string()),
    ("lhp", |_, r| r.lhp.to_string()),
    ("lwp", |_, r| r.lwp.to_string()),
    ("wasted_ns", |_, r| r.wasted_ns.to_string()),
    ("wasted_share", |_, r| r.wasted_share.to_string()),
    ("hypercalls_halt", |_, r| r.hypercalls.halt.to_string()),
    ("hypercalls_kick", |_, r| r.hypercalls.kick.to_string()),
    ("hypercalls_yield_to", |_, r| {
        r.hypercalls.yield_to.to_string()
    }),
    ("hypercalls_per_acquisition", |_, r| {
        r.hypercalls_per_acquisition.to_string()
    }),
    ("yields_ran", |_, r| r.yields.ran.to_string()),
    ("yields_already_running", |_, r| {
        r.yields.already_running.to_string()
    }),
    ("yields_stale", |_, r| r.yields.stale.to_string()),
    ("yields_refused", |_, r| r.yields.refused.to_string()),
    ("neighbour", |_, r| or_empty(&r.neighbour)),
    ("exclusion_violations", |_, r| {
        r.exclusion_violations.to_string()
    }),
    ("halt_timeouts", |_, r| r.halt_timeouts.to_string()),
    ("interruptions", |_, r| or_empty(&r.interruptions)),
    ("interrupted_ns", |_, r| or_empty(&r.interrupted_ns)),
];

fn columns() -> impl Iterator<Item = &'static Column> {
    [ABOUT_THE_FILE, WHAT_RAN, &WAITS, &CALLS, WHAT_HAPPENED]
        .into_iter()
        .flatten()
}

fn header() -> impl Iterator<Item = &'static str> {
    columns().map(|(name, _)| *name)
}

fn row<'a>(report: &'a Report, record: &'a Record) -> impl Iterator<Item = String> + 'a {
    columns().map(|(_, value)| value(report, record))
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
