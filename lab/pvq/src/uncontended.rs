//! What a lock costs without contention.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::Path;

use anyhow::Context;
use pvqspin_report::figures::counted;
use pvqspin_report::{Machine, Report, files, schema};
use pvqspin_user_space::uncontended::{Cost, Plan, measure};
use serde::Serialize;

use crate::options::uncontended::UncontendedArgs;
use crate::output::begun;
use crate::output::failure::{Done, Failure, note, print, text_to_stderr};
use crate::output::file_lock::OutputLock;
use crate::output::progress::Progress;
use crate::output::results::written;
use crate::runs::interrupt;

/// What these results say of their driver.
const NAME: &str = "uncontended";

/// One lock at one gap.
#[derive(Debug, Serialize)]
struct Row {
    lock: &'static str,
    /// Where it comes from: `floor` (no lock), `pvqspin`, `rivals` or `crates`.
    group: &'static str,
    /// Multiplications between one pair and the next.
    gap: u32,
    /// Rounds that were finished.
    rounds: u64,
    pairs: u32,
    median_ns: f64,
    min_ns: f64,
    to_native: f64,
    over_native_ns: f64,
}

/// Runs `pvq uncontended`.
pub(crate) fn run(args: &UncontendedArgs) -> Done {
    let to_stdout = args.json.as_deref() == Some(Path::new("-"));
    if to_stdout {
        text_to_stderr();
    }
    let file = args.json.as_deref().filter(|_| !to_stdout);
    let _lock = match file {
        None => None,
        Some(file) => {
            files::check_writable(file).map_err(Failure::BadInput)?;
            OutputLock::take(file).map_err(Failure::BadInput)?
        }
    };
    if let Err(error) = interrupt::listen() {
        note(&format!(
            "note: Ctrl-C will lose what was measured ({error})"
        ));
    }
    let planned = args.gap.len() * args.rounds;
    let machine = Machine::describe();
    print(&format!("machine  {}\n", machine.line()))?;
    let mut report: Report<Row> = begun::report(NAME, machine, 0, options(args), planned);
    let mut progress = Progress::called("rounds", planned);
    let mut finished = 0;
    let mut text = String::new();
    for &gap in &args.gap {
        let plan = Plan {
            rounds: args.rounds,
            pairs: args.pairs,
            gap,
        };
        let (costs, rounds) = measure(plan, |done| {
            if done > 0 {
                progress.end();
            }
            progress.begin(&format!("gap {gap}"));
            !interrupt::asked()
        });
        progress.end();
        finished += rounds;
        if rounds == 0 {
            break;
        }
        text += &table(&Plan { rounds, ..plan }, &costs);
        let row = |cost| row(&plan, rounds, cost);
        report.results.extend(costs.into_iter().map(row));
    }
    drop(progress);
    report.complete = finished == planned;
    if report.results.is_empty() {
        print("No round was finished, so nothing was written.\n")?;
        return Err(Failure::Interrupted);
    }
    print(&text)?;
    print(LEGEND)?;
    if !report.complete {
        print(&format!(
            "\nINCOMPLETE: {finished} of {planned} rounds were finished.\n"
        ))?;
    }
    write(&report, file, to_stdout).map_err(Failure::Failed)?;
    print(&written(file.into_iter()))?;
    if report.complete {
        Ok(())
    } else {
        Err(Failure::Interrupted)
    }
}

const LEGEND: &str = "
to native, over native: medians over the rounds of the comparison with native-queued, our lock
on bare metal, in the same round; median, fastest: ns for lock plus unlock plus the gap. How
many instructions each executes, exactly: docs/generated/fast-path.md
";

fn write(report: &Report<Row>, file: Option<&Path>, to_stdout: bool) -> anyhow::Result<()> {
    if let Some(file) = file {
        files::write_atomically(file, |to| schema::write_json(report, to))?;
    }
    if to_stdout {
        let mut out = io::stdout().lock();
        schema::write_json(report, &mut out)
            .and_then(|()| out.flush())
            .context("cannot write the JSON to standard output")?;
    }
    Ok(())
}

fn options(args: &UncontendedArgs) -> BTreeMap<String, serde_json::Value> {
    let options: [(&str, serde_json::Value); 3] = [
        ("gaps", args.gap.clone().into()),
        ("rounds", args.rounds.into()),
        ("pairs", args.pairs.into()),
    ];
    BTreeMap::from(options.map(|(name, value)| (name.to_owned(), value)))
}

fn row(plan: &Plan, rounds: usize, cost: Cost) -> Row {
    Row {
        lock: cost.name,
        group: cost.group.name(),
        gap: plan.gap,
        rounds: rounds as u64,
        pairs: plan.pairs,
        median_ns: cost.median_ns,
        min_ns: cost.min_ns,
        to_native: cost.to_native,
        over_native_ns: cost.over_native_ns,
    }
}

fn table(plan: &Plan, costs: &[Cost]) -> String {
    let mut text = format!(
        "\ngap {} ({} of {})\n {:<26} {:>10} {:>12} {:>10} {:>10}\n",
        plan.gap,
        counted(plan.rounds, "round"),
        counted(plan.pairs, "pair"),
        "lock",
        "to native",
        "over native",
        "median",
        "fastest"
    );
    let mut group = None;
    for cost in costs {
        if group.replace(cost.group) != Some(cost.group) {
            let _ = writeln!(text, " {}", cost.group.title());
        }
        let _ = writeln!(
            text,
            "   {:<24} {:>9.2}x {:>+9.2} ns {:>7.2} ns {:>7.2} ns",
            cost.name, cost.to_native, cost.over_native_ns, cost.median_ns, cost.min_ns
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvqspin_user_space::uncontended::Group;

    #[test]
    fn each_group_has_one_heading_above_its_locks() {
        let cost = |name, group| Cost {
            name,
            group,
            median_ns: 5.4,
            min_ns: 5.0,
            to_native: 1.0,
            over_native_ns: 0.0,
        };
        let costs = [
            cost("swap", Group::Floor),
            cost("native", Group::Own),
            cost("fifo", Group::Own),
        ];
        let text = table(&Plan::default(), &costs);
        let first_words: Vec<_> = text
            .lines()
            .skip(3)
            .filter_map(|line| line.split_whitespace().next())
            .collect();
        assert_eq!(first_words, ["the", "swap", "pvqspin", "native", "fifo"]);
        // Ratios stand before what they are ratios of.
        assert!(
            text.contains("native                        1.00x     +0.00 ns    5.40 ns"),
            "{text}"
        );
    }
}
