//! The same points in the simulator, under its fair host with the contract: do the two agree?

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result};
use serde_json::Value;

use super::Options;
use super::tables::{Row, read};
use crate::debian_packages::run;
use crate::kvm_in_qemu::Host;
use crate::run::pvq;

/// From here on the two say different things.
const APART: f64 = 0.1;
/// As under `scx_pvq`, whose slices last until a tick at 250 Hz.
const SLICE: &str = "4ms";
/// What a call of the host executes there, as `pvq kvm` measures it.
const CALL_NS: u64 = 4000;

/// A point: processors, vCPUs for each, and means inside and outside in ns.
type Point = (u64, u64, u64, u64);

fn point(row: &Row) -> Point {
    (
        row.pcpus,
        row.overcommit,
        row.inside_ns as u64,
        row.outside_ns as u64,
    )
}

/// A table: each lock's throughput over the best of its host, there and here, at each point that was measured.
pub(super) fn table(options: &Options, rows: &[Row]) -> Result<String> {
    let measured: Vec<&Row> = (rows.iter())
        .filter(|row| row.host == Host::Scx && row.neighbour.is_none())
        .collect();
    let mut pairs = Vec::new();
    for at in measured
        .iter()
        .map(|row| point(row))
        .collect::<BTreeSet<_>>()
    {
        let here: Vec<&Row> = (measured.iter().copied())
            .filter(|row| point(row) == at)
            .collect();
        pairs.push((at, over_best(&here), simulate(options, at)?));
    }
    Ok(show(&pairs))
}

/// By lock: throughput over the best of the same random numbers, their mean.
fn over_best(rows: &[&Row]) -> BTreeMap<String, f64> {
    let mut best = BTreeMap::new();
    for row in rows {
        let most = best.entry(row.seed).or_insert(0.0_f64);
        *most = most.max(row.per_s);
    }
    let mut all: BTreeMap<String, Vec<f64>> = BTreeMap::new();
    for row in rows {
        let part = row.per_s / best[&row.seed].max(1e-9);
        all.entry(row.lock.clone()).or_default().push(part);
    }
    (all.into_iter())
        .map(|(lock, parts)| (lock, parts.iter().sum::<f64>() / parts.len() as f64))
        .collect()
}

fn simulate(options: &Options, at: Point) -> Result<BTreeMap<String, f64>> {
    let (pcpus, overcommit, inside, outside) = at;
    let dir = &options.out;
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let to = dir.join("simulated.json");
    // Processors that take turns have a part of the speed each.
    let slower = |ns: u64| format!("{}ns", ns * pcpus);
    run(Command::new(pvq()?)
        .args(["simulate", "--scheduling", "fair", "--yields", "contract"])
        .args(["--lock", &options.lock, "--slice", SLICE])
        .args(["--pcpus", &pcpus.to_string()])
        .args(["--overcommit", &overcommit.to_string()])
        .args(["--inside", &slower(inside), "--outside", &slower(outside)])
        .args(["--hypercall-cost", &slower(CALL_NS)])
        .args(["--duration", "1s", "--no-page", "--json"])
        .arg(&to)
        .stdout(Stdio::null())
        .stderr(Stdio::null()))?;
    let results = json(&to)?;
    let rows = read(Host::Scx, 1, &results);
    Ok(over_best(&rows.iter().collect::<Vec<_>>()))
}

fn json(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))
}

type Pair = (Point, BTreeMap<String, f64>, BTreeMap<String, f64>);

fn show(pairs: &[Pair]) -> String {
    let locks: BTreeSet<&String> = pairs.iter().flat_map(|(_, here, _)| here.keys()).collect();
    let (mut apart, mut compared, mut same_best) = (0, 0, 0);
    let mut body = String::new();
    for ((pcpus, overcommit, inside, outside), here, there) in pairs {
        let _ = write!(
            body,
            "| {pcpus}, {} | {}, {} µs |",
            pcpus * overcommit,
            *inside as f64 / 1e3,
            *outside as f64 / 1e3
        );
        for lock in &locks {
            let (Some(here), Some(there)) = (here.get(*lock), there.get(*lock)) else {
                body.push_str(" - |");
                continue;
            };
            compared += 1;
            let far = (here - there).abs() > APART;
            apart += usize::from(far);
            let mark = if far { "**" } else { "" };
            let _ = write!(body, " {mark}{here:.2}, {there:.2}{mark} |");
        }
        body.push('\n');
        // Whether the strongest here is as good as the strongest there.
        let best = (here.iter()).max_by(|a, b| a.1.total_cmp(b.1));
        same_best += usize::from(
            best.and_then(|(lock, _)| there.get(lock))
                .is_some_and(|&value| value >= 1.0 - APART),
        );
    }
    let names: Vec<String> = locks.iter().map(|lock| format!("`{lock}`")).collect();
    format!(
        "## Beside the simulator\n\n\
         Throughput over the best lock: under `scx_pvq`, and by the simulator's fair host with the contract, with times as many times \
         as long as there are processors that take turns, and slices of {SLICE}. In bold what is apart by more than {APART}: \
         {apart} of {compared}. At {same_best} of {} points the best here is within {APART} of the best there.\n\n\
         | pCPUs, vCPUs | inside, outside | {} |\n| --- | --- |{}\n{body}",
        pairs.len(),
        names.join(" | "),
        " --- |".repeat(names.len()),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_apart_is_marked_and_counted() {
        let parts = |fifo, other| {
            BTreeMap::from([
                ("fifo".to_owned(), fifo),
                ("test-and-set".to_owned(), other),
            ])
        };
        let pairs = [
            ((2, 4, 2000, 30_000), parts(1.0, 0.9), parts(0.95, 1.0)),
            ((4, 2, 2000, 30_000), parts(1.0, 0.9), parts(0.6, 1.0)),
        ];
        let text = show(&pairs);
        assert!(text.contains("0.1: 1 of 4. At 1 of 2 points"), "{text}");
        assert!(
            text.contains("| 2, 8 | 2, 30 µs | 1.00, 0.95 | 0.90, 1.00 |"),
            "{text}"
        );
        assert!(text.contains("| **1.00, 0.60** |"), "{text}");
    }
}
