//! One record as it stands in a file. Nothing in it is trusted.

use std::collections::BTreeMap;

use anyhow::{Result, ensure};
use serde_json::Value;

use crate::schema::Record;

/// What a sweep says of a point beside its record, and what thereby tells points apart.
pub(crate) const FACTS: [&str; 7] = [
    "grid",
    "profile",
    "follow_chain",
    "ordered",
    "vms",
    "neighbour_vcpus",
    "min_loan_ns",
];

/// A record, and what a sweep says of its point.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// By name.
    pub facts: BTreeMap<&'static str, String>,
    /// What was measured.
    pub record: Record,
}

/// One row from its JSON object.
pub(crate) fn row(value: Value) -> Result<Row> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let facts = FACTS
        .into_iter()
        .filter_map(|name| Some((name, text(value.get(name)?))))
        .collect();
    let record: Record = serde_json::from_value(value)?;
    possible(&record)?;
    Ok(Row { facts, record })
}

/// Whether its figures can be figures: a picture of others would say nothing.
fn possible(record: &Record) -> Result<()> {
    ensure!(
        record.pcpus > 0 && record.vcpus > 0,
        "`pcpus` and `vcpus` must be 1 or more"
    );
    for (name, value) in [
        ("throughput_per_s", record.throughput_per_s),
        ("throughput_over_bound", record.throughput_over_bound),
        ("jain", record.jain),
        (
            "hypercalls_per_acquisition",
            record.hypercalls_per_acquisition,
        ),
        ("wasted_share", record.wasted_share),
        ("neighbour", record.neighbour.unwrap_or(0.0)),
    ] {
        ensure!(
            value.is_finite() && value >= 0.0,
            "`{name}` is {value}; it must be 0 or more"
        );
    }
    Ok(())
}

/// Replaces characters that XML cannot hold and a terminal should not get.
pub(crate) fn cleaned(text: &str) -> String {
    text.replace(
        |letter: char| letter.is_control() || is_nothing(letter),
        "\u{fffd}",
    )
}

/// Code points that XML excludes, and those that turn the direction of writing.
fn is_nothing(letter: char) -> bool {
    matches!(letter, '\u{fffe}' | '\u{ffff}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

pub(crate) fn clean(value: &mut Value) {
    match value {
        Value::String(text) => *text = cleaned(text),
        Value::Array(values) => values.iter_mut().for_each(clean),
        Value::Object(fields) => fields.values_mut().for_each(clean),
        _ => {}
    }
}
