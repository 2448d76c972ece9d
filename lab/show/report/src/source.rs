//! Results, wherever they come from.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::machine::Machine;
use crate::untrusted_row::Row;

/// What is known of a file's runs as a whole. A CSV file knows less than a JSON file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct About {
    /// The command that made it.
    pub command: Option<String>,
    /// The version of the program.
    pub version: String,
    /// Where it ran.
    pub machine: Option<Machine>,
    /// The seed of the workload; none if each row has its own.
    pub seed: Option<u64>,
    /// What ran the guests.
    pub driver: String,
    /// Every parameter.
    pub options: BTreeMap<String, Value>,
    /// When the first run began, in seconds since 1970.
    pub started_unix_s: Option<u64>,
    /// Whether every planned run was finished.
    pub complete: bool,
    /// How many runs there are.
    pub runs: usize,
    /// How many were planned.
    pub planned: Option<u64>,
}

/// One file of results. At least one row.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// What it is called on the page.
    pub label: String,
    /// What is known of it as a whole.
    pub about: About,
    /// Its runs.
    pub rows: Vec<Row>,
}
