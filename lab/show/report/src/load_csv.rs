//! The CSV of every driver, row by row as the JSON object that it was made from.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Map, Number, Value};

use crate::schema::SCHEMA;
use crate::source::{About, Source};
use crate::untrusted_row::{Row, cleaned, row};

/// Columns that hold words, whatever they look like.
const WORDS: [&str; 9] = [
    "lock",
    "policy",
    "word",
    "workload",
    "host_policy",
    "yield_mode",
    "distribution",
    "unit",
    "profile",
];

/// Those of them whose empty cell means null.
const OPTIONAL: [&str; 2] = ["policy", "word"];

/// Objects whose fields are columns of their own, joined by an underscore.
const NESTED: [&str; 4] = ["wait_ns", "call_ns", "hypercalls", "yields"];

/// Columns that begin like one of those and are none.
const FLAT: [&str; 1] = ["hypercalls_per_acquisition"];

/// Reads a file.
pub(crate) fn parse(text: &str, label: &str) -> Result<Source> {
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().context("it is not CSV")?.clone();
    for column in ["lock", "throughput_over_bound"] {
        ensure!(
            header.iter().any(|name| name == column),
            "it is not a results file of pvq: it is no JSON, and as CSV its first line names no \
             column `{column}`"
        );
    }
    let mut about = About {
        driver: "simulator".to_owned(),
        complete: true,
        ..About::default()
    };
    let mut rows: Vec<Row> = Vec::new();
    let mut seeds = BTreeSet::new();
    for (cells, number) in reader.records().zip(2..) {
        let damaged = || format!("row {number} is damaged");
        let cells = cells.with_context(damaged)?;
        let cell = |name: &str| {
            let at = header.iter().position(|column| column == name)?;
            cells.get(at)
        };
        if let Some(version) = cell("schema")
            && version != SCHEMA.to_string()
        {
            bail!(
                "it has schema {version}, and this program reads {SCHEMA}; use the pvq that wrote it"
            );
        }
        if rows.is_empty() {
            about.version = cleaned(cell("version").unwrap_or_default());
            about.driver = cleaned(cell("driver").unwrap_or("simulator"));
        }
        seeds.insert(cell("seed").map(str::to_owned));
        about.complete &= cell("complete") != Some("false");
        rows.push(row(object(header.iter().zip(cells.iter()))?).with_context(damaged)?);
    }
    about.runs = rows.len();
    // A sweep's rows have a seed each, which may be the same.
    about.seed = match seeds.pop_first() {
        Some(Some(seed)) if seeds.is_empty() => seed.parse().ok(),
        _ => None,
    };
    Ok(Source {
        label: cleaned(label),
        about,
        rows,
    })
}

/// The object that a row was made from, without what a CSV leaves out.
fn object<'a>(cells: impl Iterator<Item = (&'a str, &'a str)>) -> Result<Value> {
    let mut object = Map::from_iter([
        ("per_vcpu".to_owned(), Value::Array(Vec::new())),
        ("events".to_owned(), Value::Object(Map::new())),
    ]);
    for (name, cell) in cells {
        let value = value(name, cell);
        let nested = NESTED.iter().find_map(|outer| {
            let inner = name.strip_prefix(outer)?.strip_prefix('_')?;
            (!FLAT.contains(&name)).then_some((*outer, inner))
        });
        match nested {
            Some((outer, inner)) => {
                let fields = object
                    .entry(outer)
                    .or_insert_with(|| Value::Object(Map::new()));
                if let Some(fields) = fields.as_object_mut() {
                    fields.insert(inner.to_owned(), value);
                }
            }
            None => {
                object.insert(name.to_owned(), value);
            }
        }
    }
    Ok(Value::Object(object))
}

fn value(name: &str, cell: &str) -> Value {
    if WORDS.contains(&name) {
        return match cell {
            "" if OPTIONAL.contains(&name) => Value::Null,
            words => Value::String(cleaned(words)),
        };
    }
    let whole = cell.parse::<u64>().ok().map(Number::from);
    let number = whole.or_else(|| Number::from_f64(cell.parse().ok()?));
    match (cell, number) {
        ("", _) => Value::Null,
        ("true", _) => Value::Bool(true),
        ("false", _) => Value::Bool(false),
        (_, Some(number)) => Value::Number(number),
        (words, None) => Value::String(cleaned(words)),
    }
}
