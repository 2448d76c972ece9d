//! What a sweep leaves: rows in the order of the points, as CSV and as JSON.

use std::io;

use pvqspin_report::csv_rows::{record_cells, record_header};

use crate::point::{Facts, Row};

/// A column: its name, and where its value comes from.
type Column = (&'static str, fn(&Facts) -> String);

const COLUMNS: [Column; 13] = [
    ("grid", |f| f.grid.clone()),
    ("point", |f| f.point.to_string()),
    ("seed", |f| f.seed.to_string()),
    ("profile", |f| f.profile.clone()),
    ("follow_chain", |f| f.follow_chain.to_string()),
    ("ordered", |f| f.ordered.to_string()),
    ("vms", |f| f.vms.to_string()),
    ("neighbour_vcpus", |f| f.neighbour_vcpus.to_string()),
    ("min_loan_ns", |f| f.min_loan_ns.to_string()),
    ("chains", |f| f.chains.to_string()),
    ("chain_hops", |f| f.chain_hops.to_string()),
    ("longest_chain", |f| f.longest_chain.to_string()),
    ("sim_events", |f| f.sim_events.to_string()),
];

/// Puts rows into the order of their points.
pub fn sort(rows: &mut [Row]) {
    rows.sort_by_key(|row| row.facts.point);
}

/// Writes rows as CSV: what a sweep knows about each, then the columns of every record.
///
/// # Errors
///
/// Whatever the writer returns.
pub fn write_csv(rows: &[Row], to: impl io::Write) -> io::Result<()> {
    let mut writer = csv::Writer::from_writer(to);
    let names = COLUMNS.iter().map(|(name, _)| *name);
    writer.write_record(names.chain(record_header()))?;
    for row in rows {
        let facts = COLUMNS.iter().map(|(_, value)| value(&row.facts));
        writer.write_record(facts.chain(record_cells(&row.record)))?;
    }
    writer.flush()
}
