//! The end of a page: what was run, where, with what, and what the figures mean.

use std::sync::Arc;

use maud::{Markup, html};
use serde_json::Value;

use crate::figures::exact_time;
use crate::sets::Set;
use crate::source::About;

/// What the words of the page mean.
const MEANINGS: [(&str, &str); 10] = [
    (
        "throughput over bound",
        "Critical sections per second over the most that any lock could do, min(1/C, P/(C+N), V/(C+N)): C is \
         the time inside the lock, N outside, P and V are the physical and virtual CPUs. With several locks \
         1/C is that of the busiest one.",
    ),
    (
        "overcommit",
        "Virtual CPUs for each physical CPU, V/P; with ordinary threads, threads for each CPU.",
    ),
    (
        "wait",
        "From joining the queue (unfair locks: from the first failed attempt; threads: from the call) to \
         holding. In tables the longest wait is that of all repeats, in pictures their median.",
    ),
    (
        "Jain",
        "Jain's fairness index over windows of 100 ms: 1 if every vCPU got the same, 1/V if one got all.",
    ),
    (
        "what each vCPU got",
        "Its acquisitions over the mean of all vCPUs, in the whole run.",
    ),
    (
        "LHP",
        "Lock-holder preemptions: a vCPU lost its pCPU while it held the lock.",
    ),
    (
        "LWP",
        "Lock-waiter preemptions: the lock was handed to a vCPU that was not running.",
    ),
    (
        "calls/acq",
        "Hypercalls for each acquisition: halts, kicks and directed yields.",
    ),
    (
        "wasted",
        "pCPU time spent spinning while a runnable vCPU had no pCPU, over all pCPU time.",
    ),
    (
        "neighbour",
        "Work of a lock-free VM beside it over what its share of the pCPUs would give.",
    ),
];

pub(super) fn html(sets: &[Set]) -> Markup {
    let mut files: Vec<(&str, &Arc<About>)> = Vec::new();
    for set in sets {
        if !files
            .iter()
            .any(|(_, about)| Arc::ptr_eq(about, &set.about))
        {
            files.push((&set.label, &set.about));
        }
    }
    html! {
        section aria-labelledby="made" {
            h2 id="made" { "How it was made" }
            @for (label, about) in &files {
                @if files.len() > 1 { h3 { (label) } }
                (made(about))
            }
        }
        section aria-labelledby="meanings" {
            h2 id="meanings" { "What the words mean" }
            dl.meanings {
                @for (word, meaning) in MEANINGS {
                    dt { (word) }
                    dd { (meaning) }
                }
            }
        }
    }
}

fn made(about: &About) -> Markup {
    let runs = match about.planned {
        Some(planned) => format!("{} of {planned}", about.runs),
        None => about.runs.to_string(),
    };
    html! {
        dl.made {
            @if let Some(command) = &about.command {
                dt { "command" }
                dd { code { (command) } }
            }
            dt { "driver" }
            dd { (about.driver) ", pvq " (about.version) }
            dt { "runs" }
            dd { (runs) }
            @if let Some(seed) = about.seed {
                dt { "seed" }
                dd { (seed) }
            }
            @if let Some(started) = about.started_unix_s {
                dt { "started" }
                dd { (day(started)) }
            }
            @match &about.machine {
                Some(machine) => {
                    dt { "machine" }
                    dd { (machine.line()) }
                    @if machine.costs.switch_ns > 0.0 {
                        dt { "its costs" }
                        dd { (machine.costs_in_words()) }
                    }
                    @if !machine.governor.is_empty() {
                        dt { "frequency governor" }
                        dd { (machine.governor) }
                    }
                }
                None => {
                    dt { "machine" }
                    dd { "not in this file; the JSON has it" }
                }
            }
            @for (name, value) in &about.options {
                dt { code { (name) } }
                dd { (option(name, value)) }
            }
        }
    }
}

/// The moment, in the form of RFC 3339.
fn day(unix_s: u64) -> String {
    use std::time::{Duration, UNIX_EPOCH};
    let last_second_of_9999 = 253_402_300_799;
    let since = Duration::from_secs(unix_s.min(last_second_of_9999));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + since).to_string()
}

/// The value of a parameter; those whose name says so are times.
fn option(name: &str, value: &Value) -> String {
    match value {
        Value::Null => "none".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(|value| option(name, value)).collect();
            match name {
                "sections_ns" => values.join(" / "),
                _ => values.join(", "),
            }
        }
        Value::Number(number) if name.ends_with("_ns") => number
            .as_u64()
            .map_or_else(|| number.to_string(), exact_time),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn parameters_are_written_for_people() {
        for (name, value, expected) in [
            ("slice_ns", json!(3_000_000), "3 ms"),
            ("vcpus", json!([2, 4]), "2, 4"),
            ("neighbour", json!(null), "none"),
            ("sections_ns", json!([[1000, 2000]]), "1 µs / 2 µs"),
            ("follow", json!(true), "true"),
        ] {
            assert_eq!(option(name, &value), expected);
        }
        assert_eq!(day(1_700_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(day(u64::MAX), "9999-12-31T23:59:59Z");
    }
}
