//! The head of a results file: what is known when a command begins.

use std::collections::BTreeMap;
use std::env;
use std::time::{SystemTime, UNIX_EPOCH};

use pvqspin_report::{Machine, Report, SCHEMA};
use serde_json::Value;

/// The command line, with what is not UTF-8 replaced.
pub(crate) fn command() -> String {
    let words: Vec<String> = env::args_os()
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    words.join(" ")
}

/// A report without results, of a command that is about to measure so many runs.
pub(crate) fn report<R>(
    driver: &str,
    machine: Machine,
    seed: u64,
    options: BTreeMap<String, Value>,
    planned: usize,
) -> Report<R> {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH);
    Report {
        schema: SCHEMA,
        command: command(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine,
        seed,
        driver: driver.to_owned(),
        options,
        started_unix_s: since_1970.map_or(0, |since| since.as_secs()),
        complete: false,
        planned: planned as u64,
        results: Vec::with_capacity(planned),
    }
}
