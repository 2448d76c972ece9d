//! What the results of the runs say, as tables.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde_json::Value;

use crate::kvm_in_qemu::Host;

/// What became of the yields that reached `scx_pvq`, all locks and sections of a machine together.
pub(super) fn yield_table(machines: &[(String, Value)]) -> String {
    if machines.is_empty() {
        return String::new();
    }
    let mut text = "What became of the directed yields that reached `scx_pvq`, all locks of a machine together\n\n\
                    | machine | asked | target waited | of these, ran | affinity | moved | no time left | paid of what was lent |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for (name, counts) in machines {
        let count = |name: &str| counts[name].as_u64().unwrap_or(0);
        let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        let waited = count("asked").saturating_sub(count("refused_not_waiting"));
        let _ = writeln!(
            text,
            "| {name} | {} | {waited} | {:.1} % | {} | {} | {} | {:.1} % |",
            count("asked"),
            percent(count("ran"), waited),
            count("refused_affinity"),
            count("refused_moved"),
            count("refused_no_time"),
            percent(count("lent_paid_ns"), count("lent_ns")),
        );
    }
    text
}

/// One lock at one point.
pub(super) struct Row {
    pub(super) host: Host,
    pub(super) seed: u32,
    pub(super) pcpus: u64,
    pub(super) overcommit: u64,
    pub(super) inside_ns: f64,
    pub(super) outside_ns: f64,
    pub(super) lock: String,
    pub(super) per_s: f64,
    pub(super) longest_ns: f64,
    pub(super) calls: f64,
    pub(super) neighbour: Option<f64>,
}

pub(super) fn read(host: Host, seed: u32, results: &Value) -> Vec<Row> {
    let each = results["results"].as_array().map_or(&[][..], Vec::as_slice);
    (each.iter())
        .map(|one| {
            let number = |name: &str| one[name].as_f64().unwrap_or(0.0);
            Row {
                host,
                seed,
                pcpus: number("pcpus") as u64,
                overcommit: number("overcommit") as u64,
                inside_ns: number("inside_ns"),
                outside_ns: number("outside_ns"),
                lock: one["lock"].as_str().unwrap_or("?").to_owned(),
                per_s: number("throughput_per_s"),
                longest_ns: one["wait_ns"]["max"].as_f64().unwrap_or(0.0),
                calls: number("hypercalls_per_acquisition"),
                neighbour: one["neighbour"].as_f64(),
            }
        })
        .collect()
}

impl Row {
    /// The most that any lock could do: the processors take turns, so together they do the work of one.
    fn bound(&self) -> f64 {
        1e9 / (self.inside_ns + self.outside_ns)
    }

    fn column(&self) -> (bool, u32) {
        (self.host == Host::Scx, self.seed)
    }

    fn point(&self) -> (bool, u64, u64, u64, u64) {
        let ns = |value: f64| value as u64;
        (
            self.neighbour.is_some(),
            self.pcpus,
            self.overcommit,
            ns(self.inside_ns),
            ns(self.outside_ns),
        )
    }
}

/// A table for each point: rows are locks, and the two hosts stand side by side.
pub(super) fn tables(rows: &[Row]) -> String {
    let mut text = String::new();
    let points: BTreeSet<_> = rows.iter().map(Row::point).collect();
    for point in points {
        let here: Vec<&Row> = rows.iter().filter(|row| row.point() == point).collect();
        // Locks are compared with those of the same host and random numbers.
        let mut best = BTreeMap::new();
        for row in &here {
            let most = best.entry(row.column()).or_insert(0.0_f64);
            *most = most.max(row.per_s);
        }
        let (beside, pcpus, overcommit, inside, outside) = point;
        let _ = writeln!(
            text,
            "{pcpus} pCPUs, {} vCPUs, {} µs inside, {} µs outside{}\n",
            pcpus * overcommit,
            inside as f64 / 1000.0,
            outside as f64 / 1000.0,
            match beside {
                false => "",
                true => "; beside a VM that computes all the time, and its part of its share",
            }
        );
        text.push_str("| lock | Linux's own scheduler | scx_pvq |\n| --- | --- | --- |\n");
        let mut locks: Vec<&str> = Vec::new();
        for row in &here {
            if !locks.contains(&row.lock.as_str()) {
                locks.push(&row.lock);
            }
        }
        for lock in locks {
            let _ = write!(text, "| `{lock}` |");
            for host in [Host::Stock, Host::Scx] {
                let of: Vec<&&Row> = (here.iter())
                    .filter(|row| row.lock == lock && row.host == host)
                    .collect();
                let _ = write!(text, " {} |", cell(&of, &best));
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

/// Throughput over the best of its column and over the bound, longest wait, calls; ranges if there are several seeds.
fn cell(rows: &[&&Row], best: &BTreeMap<(bool, u32), f64>) -> String {
    let Some(first) = rows.first() else {
        return "-".to_owned();
    };
    let range = |of: &dyn Fn(&Row) -> f64, show: &dyn Fn(f64) -> String| {
        let values: Vec<f64> = rows.iter().map(|row| of(row)).collect();
        let (low, high) = values
            .iter()
            .fold((f64::MAX, f64::MIN), |(low, high), &value| {
                (low.min(value), high.max(value))
            });
        let (low, high) = (show(low), show(high));
        if low == high {
            low
        } else {
            format!("{low} to {high}")
        }
    };
    let two = |value: f64| format!("{value:.2}");
    let mut text = format!(
        "{} ({} of the bound), {}, {} calls",
        range(&|row| row.per_s / best[&row.column()].max(1e-9), &two),
        range(&|row| row.per_s / first.bound(), &two),
        range(&|row| row.longest_ns, &time),
        range(&|row| row.calls, &|value| format!("{value:.3}")),
    );
    if rows.iter().any(|row| row.neighbour.is_some()) {
        let _ = write!(
            text,
            ", neighbour {}",
            range(&|row| row.neighbour.unwrap_or(0.0), &two)
        );
    }
    text
}

fn time(ns: f64) -> String {
    match ns {
        ns if ns >= 10e6 => format!("{:.0} ms", ns / 1e6),
        ns if ns >= 1e6 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.0} µs", ns / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn results(fifo: f64, other: f64) -> Value {
        let one = |lock, per_s: f64| {
            json!({
                "lock": lock, "pcpus": 2, "overcommit": 4, "inside_ns": 20_000, "outside_ns": 40_000,
                "throughput_per_s": per_s, "wait_ns": { "max": 172_000 }, "hypercalls_per_acquisition": 0.012,
                "neighbour": null,
            })
        };
        json!({ "results": [one("fifo", fifo), one("test-and-set", other)] })
    }

    #[test]
    fn hosts_stand_side_by_side_and_each_has_its_best() {
        let mut rows = read(Host::Stock, 1, &results(4000.0, 8000.0));
        rows.extend(read(Host::Scx, 1, &results(16_000.0, 8000.0)));
        let text = tables(&rows);
        assert!(
            text.contains("2 pCPUs, 8 vCPUs, 20 µs inside, 40 µs outside"),
            "{text}"
        );
        assert!(
            text.contains("| `fifo` | 0.50 (0.24 of the bound), 172 µs, 0.012 calls | 1.00 (0.96 of the bound)"),
            "{text}"
        );
        assert!(
            text.contains(
                "| `test-and-set` | 1.00 (0.48 of the bound), 172 µs, 0.012 calls | 0.50"
            ),
            "{text}"
        );
    }
    #[test]
    fn a_good_run_of_one_seed_does_not_lower_the_others() {
        let mut rows = read(Host::Stock, 1, &results(2000.0, 4000.0));
        rows.extend(read(Host::Stock, 2, &results(4000.0, 8000.0)));
        let text = tables(&rows);
        assert!(
            text.contains("| `fifo` | 0.50 (0.12 to 0.24 of the bound)"),
            "{text}"
        );
    }
}
