//! VMs that take what they can, on Linux itself: what is left for the VM beside them, under both schedulers.
//!
//! The programs are those that `pvq kvm --greedy` names, and those of the cases of `check/greedy`, by seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;
use std::str::FromStr;

use anyhow::{Context, Result};
use pvqspin_greedy::{Action, Case, Step, Target};
use serde_json::Value;

use super::Options;
use crate::kvm_in_qemu::Host;

/// What the search takes for a slice is 1 ms long; Linux's is a tick of 4 ms.
const LONGER: u64 = 4;

/// What `pvq` calls the VM that the others are compared with.
const BUSY: &str = "busy";

/// As many steps fit into the programs of a guest.
const MOST_STEPS: usize = 64;

/// The emulated processor does not count `PAUSE`: so each one of a guest becomes a guess of KVM, which is the worst.
pub(super) const PARAMETERS: &str = "setcpuid=pausefilter,pfthreshold";

/// Seeds of cases.
#[derive(Clone, Debug)]
pub(super) struct Cases(Range<u64>);

impl FromStr for Cases {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let ends = text.split_once("..");
        let ends = ends.and_then(|(from, to)| Some(from.parse().ok()?..to.parse().ok()?));
        ends.map(Self)
            .ok_or("seeds are a range such as 0..20, without its end")
    }
}

/// The programs of a case as `pvq kvm --greedy` reads them.
///
/// Computing, yields, kicks, naps, and halts with their timers and hints are there. A timer for another vCPU and an edge
/// are not: Linux hosts have neither, and the vCPU computes. Host, weights, and the coming and going of VMs are left out.
fn text_of(case: &Case) -> String {
    let all_run_the_first = case.first >= case.greedy.vcpus;
    let programs = &case.programs[..if all_run_the_first {
        1
    } else {
        case.programs.len()
    }];
    let text = |hints: bool| -> Vec<Vec<String>> {
        let steps = |program: &Vec<Step>| {
            program
                .iter()
                .flat_map(|step| step_text(step, hints))
                .collect()
        };
        programs.iter().map(steps).collect()
    };
    let mut written = text(true);
    if written.iter().flatten().count() > MOST_STEPS {
        written = text(false);
    }
    let each: Vec<String> = (written.iter())
        .map(|steps| match &steps[..] {
            [] => "0".to_owned(),
            steps => steps.join("; "),
        })
        .collect();
    each.join(" / ")
}

fn step_text(step: &Step, hints: bool) -> Vec<String> {
    let ns = |ns: u64| format!("{}ns", ns * LONGER);
    let target = |target| match target {
        Target::NextPreempted => "preempted".to_owned(),
        Target::NextHalted => "halted".to_owned(),
        Target::Next => "next".to_owned(),
        Target::Number(number) => number.to_string(),
    };
    let compute = ns(step.compute_ns);
    match step.action {
        Action::Yield(to) => vec![format!("{compute} yield {}", target(to))],
        Action::Kick(to) => vec![format!("{compute} kick {}", target(to))],
        Action::Halt(Some(to), rest) if hints => vec![
            format!("{compute} yield {}", target(to)),
            format!("0 halt {}", ns(rest)),
        ],
        Action::Halt(_, rest) | Action::Nap(rest) => vec![format!("{compute} halt {}", ns(rest))],
        Action::Timer(..) | Action::Edge(_) => vec![compute],
    }
}

/// The strategies of a boot, and what each is called in the table.
pub(super) fn strategies(options: &Options) -> Vec<(String, String)> {
    let named = options
        .strategies
        .split(',')
        .filter(|name| !name.is_empty());
    let cases = options.cases.clone().map_or(0..0, |cases| cases.0);
    named
        .map(|name| (name.to_owned(), format!("`{name}`")))
        .chain(cases.map(|seed| (text_of(&Case::from_seed(seed)), format!("case {seed}"))))
        .collect()
}

/// The arguments of `pvq` for one boot.
pub(super) fn arguments(options: &Options, cpus: u32, seed: u32) -> Vec<String> {
    let mut arguments: Vec<String> = ["kvm", "--transport", "stock", "--pcpus"]
        .map(str::to_owned)
        .to_vec();
    let overcommit: Vec<String> = options.overcommit.iter().map(u32::to_string).collect();
    arguments.extend([
        cpus.to_string(),
        "--overcommit".to_owned(),
        overcommit.join(","),
    ]);
    arguments.extend(["--duration".to_owned(), options.neighbour_duration.clone()]);
    arguments.extend(["--json".to_owned(), super::RESULTS.to_owned()]);
    arguments.extend(["--seed".to_owned(), seed.to_string()]);
    for (strategy, _) in strategies(options) {
        arguments.extend(["--greedy".to_owned(), strategy]);
    }
    arguments
}

/// What one strategy left, on one host, with one seed.
pub(super) struct Kept {
    host: Host,
    point: (u64, u64),
    name: String,
    /// The neighbour's part of the time of both VMs, over its part by weight.
    kept: f64,
    /// Its time over that beside `busy`.
    of_busy: f64,
}

/// Of the time of both, whatever all else on the machine took.
fn of_both(row: &Value) -> Option<f64> {
    let sum = |name: &str| -> Option<f64> {
        (row["repeats"].as_array()?.iter())
            .map(|repeat| repeat[name].as_f64())
            .sum()
    };
    let (theirs, greedy) = (sum("neighbour_pcpus")?, sum("greedy_pcpus")?);
    let [vcpus, others] = ["neighbour_vcpus", "vcpus"].map(|name| row[name].as_f64());
    let (vcpus, others) = vcpus.zip(others)?;
    Some(theirs / (theirs + greedy) * (vcpus + others) / vcpus)
}

/// What a boot has given.
pub(super) fn read(options: &Options, host: Host, results: &Value) -> Result<Vec<Kept>> {
    let names: BTreeMap<String, String> = strategies(options).into_iter().collect();
    let rows = results["greedy"]
        .as_array()
        .context("no results of greedy VMs")?;
    (rows.iter())
        .map(|row| {
            let text = row["strategy"].as_str().context("a strategy has no name")?;
            let number = |name: &str| row[name].as_u64().unwrap_or(0);
            let number_of = |name: &str| row[name].as_f64().context("nothing was measured");
            Ok(Kept {
                host,
                point: (number("pcpus"), number("vcpus")),
                name: (names.get(text).cloned()).unwrap_or_else(|| format!("`{text}`")),
                kept: of_both(row).context("nothing was measured")?,
                of_busy: number_of("kept_of_busy")?,
            })
        })
        .collect()
}

/// A table: what each left of the neighbour's share, from least to most of the seeds.
pub(super) fn table(rows: &[Kept]) -> String {
    let mut points: Vec<(u64, u64)> = rows.iter().map(|row| row.point).collect();
    points.sort_unstable();
    points.dedup();
    let mut names: Vec<&str> = Vec::new();
    for row in rows {
        if !names.contains(&row.name.as_str()) {
            names.push(&row.name);
        }
    }
    let mut text = "What a VM that computes has beside a VM that takes what it can: its part of the pCPU time of both, over \
                    its part by weight. Linux weighs all vCPUs alike.\n\n| beside |"
        .to_owned();
    let mut rule = "| --- |".to_owned();
    for host in ["Linux's own scheduler", "`scx_pvq`"] {
        for (pcpus, vcpus) in &points {
            let _ = write!(text, " {host}, {pcpus} pCPUs, {vcpus} vCPUs |");
            rule.push_str(" --- |");
        }
    }
    let _ = writeln!(text, "\n{rule}");
    let columns: Vec<(Host, (u64, u64))> = [Host::Stock, Host::Scx]
        .into_iter()
        .flat_map(|host| points.iter().map(move |&point| (host, point)))
        .collect();
    let (cases, named): (Vec<&str>, Vec<&str>) =
        names.iter().partition(|name| name.starts_with("case "));
    let mut line = |title: &str, of: &[&str]| {
        let _ = write!(text, "| {title} |");
        for (host, point) in &columns {
            let here = rows.iter().filter(|row| {
                row.host == *host && row.point == *point && of.contains(&row.name.as_str())
            });
            let _ = write!(text, " {} |", range(here));
        }
        text.push('\n');
    };
    for name in named {
        line(name, &[name]);
    }
    if !cases.is_empty() {
        line(&format!("{} cases of the search", cases.len()), &cases);
    }
    let least = (rows.iter())
        .filter(|row| row.host == Host::Scx && row.name != format!("`{BUSY}`"))
        .min_by(|a, b| a.kept.total_cmp(&b.kept));
    if let Some(least) = least {
        let (pcpus, vcpus) = least.point;
        let _ = writeln!(
            text,
            "\nLeast under `scx_pvq`: {:.3}, beside {} with {vcpus} vCPUs on {pcpus} pCPUs; over its time beside `{BUSY}`: {:.3}.",
            least.kept, least.name, least.of_busy
        );
    }
    text
}

fn range<'a>(rows: impl Iterator<Item = &'a Kept>) -> String {
    let kept: Vec<f64> = rows.map(|row| row.kept).collect();
    let least = kept.iter().copied().fold(f64::MAX, f64::min);
    let most = kept.iter().copied().fold(f64::MIN, f64::max);
    match kept.len() {
        0 => "-".to_owned(),
        _ if format!("{least:.2}") == format!("{most:.2}") => format!("{least:.2}"),
        _ => format!("{least:.2} to {most:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_case_becomes_programs_within_their_bounds() {
        for seed in 0..400 {
            let text = text_of(&Case::from_seed(seed));
            let programs: Vec<&str> = text.split(" / ").collect();
            assert!(programs.len() <= 3, "{text}");
            let steps = programs.iter().flat_map(|program| program.split("; "));
            assert!(steps.clone().count() <= MOST_STEPS, "{text}");
            assert!(
                steps
                    .clone()
                    .all(|step| step.starts_with(|c: char| c.is_ascii_digit())),
                "{text}"
            );
        }
        let mut case = Case::from_seed(0);
        let step = |compute_ns, action| Step { compute_ns, action };
        case.programs = vec![
            vec![
                step(1_000, Action::Halt(Some(Target::Number(2)), 500)),
                step(2_000, Action::Edge(None)),
            ],
            vec![],
        ];
        (case.first, case.greedy.vcpus) = (1, 2);
        assert_eq!(text_of(&case), "4000ns yield 2; 0 halt 2000ns; 8000ns / 0");
        case.first = 2;
        assert_eq!(text_of(&case), "4000ns yield 2; 0 halt 2000ns; 8000ns");
    }

    #[test]
    fn a_part_of_the_time_of_both_is_compared_with_that_of_the_vcpus() {
        let row = |theirs: f64, greedy: f64| {
            json!({
                "neighbour_vcpus": 2, "vcpus": 6,
                "repeats": [{ "neighbour_pcpus": theirs, "greedy_pcpus": greedy }],
            })
        };
        // A quarter of the vCPUs, and of the time that was left for both.
        let kept = of_both(&row(0.4, 1.2)).expect("complete");
        assert!((kept - 1.0).abs() < 1e-9, "{kept}");
        let less = of_both(&row(0.2, 1.4)).expect("complete");
        assert!((less - 0.5).abs() < 1e-9, "{less}");
        assert_eq!(of_both(&json!({ "vcpus": 6 })), None);
    }

    #[test]
    fn the_table_names_the_greediest() {
        let row = |host, name: &str, kept| Kept {
            host,
            point: (2, 4),
            name: name.to_owned(),
            kept,
            of_busy: 1.25,
        };
        let rows = [
            row(Host::Stock, "`circle`", 1.5),
            row(Host::Scx, "`circle`", 1.004),
            row(Host::Scx, "`circle`", 0.991),
            row(Host::Scx, "case 3", 0.985),
            row(Host::Scx, "case 4", 1.2),
        ];
        let text = table(&rows);
        assert!(
            text.contains("| `circle` | 1.50 | 0.99 to 1.00 |"),
            "{text}"
        );
        assert!(
            text.contains("| 2 cases of the search | - | 0.98 to 1.20 |"),
            "{text}"
        );
        assert!(
            text.contains("Least under `scx_pvq`: 0.985, beside case 3 with 4 vCPUs on 2 pCPUs; over its time beside `busy`: 1.250"),
            "{text}"
        );
    }
}
