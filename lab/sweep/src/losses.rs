//! Where the default loses: every point at which some rival is better than the policy that this
//! host is advised to have.

use std::collections::BTreeMap;

use pvqspin_report::figures::{exact_time, time};

use crate::fields::{line, longest_wait, median, place};
use crate::point::Row;

/// A rival that does so much better is better, and not lucky with its section lengths.
const MARGIN: f64 = 1.02;

/// A lock that only a simulator can have is a bound, not a rival.
const NO_RIVAL: &str = "ideal";

/// A table of losses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Losses {
    /// By what factor a rival's longest wait has to be shorter to count.
    pub(crate) wait_factor: f64,
}

/// The policy that is advised on a host with such yields.
fn default_on(yield_mode: &str) -> &'static str {
    match yield_mode {
        "hint" => "bounded",
        _ => "fifo",
    }
}

/// One lock at one point, over its seeds.
struct Measured<'r> {
    name: &'r str,
    is_ours: bool,
    throughput: f64,
    longest_ns: f64,
}

impl Losses {
    pub(crate) fn markdown(self, rows: &[Row]) -> String {
        // A host with a part of the contract switched off is there to measure that part.
        let whole = |row: &&Row| row.facts.follow_chain && row.facts.ordered;
        let mut places: BTreeMap<(String, Vec<String>), Vec<&Row>> = BTreeMap::new();
        for row in rows.iter().filter(whole) {
            let key = (row.facts.grid.clone(), place(row));
            places.entry(key).or_default().push(row);
        }
        let mut lost = Vec::new();
        let mut judged = 0;
        for rows in places.values() {
            let locks = measured(rows);
            let name = default_on(&rows[0].record.yield_mode);
            let Some(default) = locks.iter().find(|lock| lock.name == name) else {
                continue;
            };
            let rivals: Vec<&Measured<'_>> = (locks.iter())
                .filter(|lock| !lock.is_ours && lock.name != NO_RIVAL)
                .collect();
            judged += usize::from(!rivals.is_empty());
            lost.extend(self.lost_at(rows[0], default, &rivals));
        }
        lost.sort_by(|a, b| b.0.total_cmp(&a.0));
        let mut text = format!(
            "{} of {judged} points: a rival has more than 1.02 times the throughput of the default, or a \
             longest wait that is shorter by more than a factor of {}.\n\n",
            lost.len(),
            self.wait_factor
        );
        if lost.is_empty() {
            return text;
        }
        let heads = [
            "grid",
            "host",
            "pCPUs, vCPUs",
            "inside / outside",
            "default",
            "throughput of the best rival",
            "longest wait of the default",
            "shortest longest wait of a rival",
        ];
        line(&mut text, heads.into_iter().map(str::to_owned));
        line(&mut text, heads.into_iter().map(|_| "---".to_owned()));
        for (_, cells) in lost {
            line(&mut text, cells.into_iter());
        }
        text
    }

    /// The point as a line of the table, if it is lost, and by how much.
    fn lost_at(
        self,
        at: &Row,
        default: &Measured<'_>,
        rivals: &[&Measured<'_>],
    ) -> Option<(f64, Vec<String>)> {
        let fastest = rivals
            .iter()
            .max_by(|a, b| a.throughput.total_cmp(&b.throughput))?;
        let shortest = rivals
            .iter()
            .min_by(|a, b| a.longest_ns.total_cmp(&b.longest_ns))?;
        let ratio = fastest.throughput / default.throughput.max(1.0);
        let waits_less = default.longest_ns > self.wait_factor * shortest.longest_ns;
        if ratio <= MARGIN && !waits_less {
            return None;
        }
        let record = &at.record;
        let beside = match at.facts.neighbour_vcpus {
            0 => String::new(),
            vcpus => format!(", {vcpus} neighbours"),
        };
        let cells = vec![
            format!("{}, {}", at.facts.grid, record.workload),
            format!("{}, {}{beside}", record.host_policy, record.yield_mode),
            format!("{}, {}", record.pcpus, record.vcpus),
            format!(
                "{} / {}",
                exact_time(record.inside_ns),
                exact_time(record.outside_ns)
            ),
            format!("`{}`", default.name),
            if ratio > MARGIN {
                format!("{ratio:.2} (`{}`)", fastest.name)
            } else {
                "not more".to_owned()
            },
            time(default.longest_ns),
            if waits_less {
                format!("{} (`{}`)", time(shortest.longest_ns), shortest.name)
            } else {
                "not shorter".to_owned()
            },
        ];
        Some((ratio, cells))
    }
}

fn measured<'r>(rows: &[&'r Row]) -> Vec<Measured<'r>> {
    let mut locks: BTreeMap<&str, Vec<&Row>> = BTreeMap::new();
    for &row in rows {
        locks.entry(&row.record.lock).or_default().push(row);
    }
    let of = |(name, rows): (&'r str, Vec<&'r Row>)| Measured {
        name,
        is_ours: rows[0].record.is_ours(),
        throughput: median(&rows, |row| row.record.throughput_per_s),
        longest_ns: longest_wait(&rows),
    };
    locks.into_iter().map(of).collect()
}
