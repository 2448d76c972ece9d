//! Tables, pictures and captions in the guides, made from results files in `docs/generated`.
//!
//! ```text
//! <!-- results: NAME table C/N -->  a row for each lock: throughput, longest wait, fairness; with these sections
//!                                   (in ns; left out where there are no others)
//! <!-- results: NAME costs GAP A,B --> of `uncontended`: ns of these locks at this gap
//! <!-- results: NAME picture -->    NAME.svg, with a text for readers who do not see it
//! <!-- results: NAME caption -->    the command, the date and the machine
//! <!-- results: NAME output 3-9 --> these lines of NAME.txt, which is what the command printed
//! <!-- results: NAME told -->       how many targets it reached, and how many runs other work disturbed
//! (whatever stands here is written anew)
//! <!-- end of results -->
//! ```
//!
//! `NAME.json` is what `pvq` wrote with `--json`: `docs/results.md` describes it.

#[cfg(test)]
mod tests;
mod words;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;
use serde_json::Value;

use self::words::{median, share, time};
use crate::markdown;
use crate::readme_runs::{self, FOLDER};
use crate::run::{replace, root};

const BEGIN: &str = "<!-- results: ";
const END: &str = "<!-- end of results -->";

/// Writes every block of every guide anew, or fails if one of them differs.
pub(crate) fn readme(check: bool) -> Result<()> {
    let mut blocks = 0;
    let mut stale = Vec::new();
    for (path, text) in markdown::files()? {
        let folder = to_pictures(&path);
        let mended = fill(&text, &mut |name, kind| {
            blocks += 1;
            block(name, kind, &folder)
        })
        .with_context(|| path.display().to_string())?;
        if mended == text {
            continue;
        }
        if check {
            stale.push(path.display().to_string());
        } else {
            replace(&root().join(&path), &mended)?;
            println!("readme: wrote {}", path.display());
        }
    }
    ensure!(
        stale.is_empty(),
        "{} does not say what the files in {FOLDER} say; `cargo xtask readme` writes it anew",
        stale.join(", ")
    );
    println!("readme: {blocks} blocks say what the files in {FOLDER} say");
    Ok(())
}

/// The way from a Markdown file to the folder of results. The book has the files in `docs` alone.
fn to_pictures(path: &Path) -> String {
    match path.strip_prefix("docs") {
        Ok(inside) => "../".repeat(inside.components().count() - 1) + "generated",
        Err(_) => "../".repeat(path.components().count() - 1) + FOLDER,
    }
}

/// The text with the contents of its blocks made by `make`, which is given name and kind.
fn fill(text: &str, make: &mut dyn FnMut(&str, &str) -> Result<String>) -> Result<String> {
    let mut filled = String::new();
    let mut lines = text.split_inclusive('\n');
    while let Some(line) = lines.next() {
        filled += line;
        let mark = line.trim_end().strip_prefix(BEGIN);
        let Some(what) = mark.and_then(|rest| rest.strip_suffix(" -->")) else {
            continue;
        };
        let (name, kind) = what
            .split_once(' ')
            .with_context(|| format!("'{what}' is not a name and a kind"))?;
        let content = make(name, kind).with_context(|| what.to_owned())?;
        filled += &format!("\n{}\n\n{END}\n", content.trim_end());
        ensure!(
            lines.by_ref().any(|line| line.trim_end() == END),
            "'{what}' has no '{END}' after it"
        );
    }
    Ok(filled)
}

fn block(name: &str, kind: &str, folder: &str) -> Result<String> {
    let file = |ending: &str| root().join(FOLDER).join(format!("{name}.{ending}"));
    let read = |path: &Path| {
        fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
    };
    if readme_runs::is_kept(name) && !file("json").exists() {
        return Ok(format!(
            "*Not measured yet: `cargo xtask readme --run {name}` does it, on a machine that does nothing else.*"
        ));
    }
    if let Some(range) = kind.strip_prefix("output ") {
        return output(&read(&file("txt"))?, range);
    }
    if kind == "told" {
        return Ok(told(&read(&file("txt"))?));
    }
    let json = read(&file("json"))?;
    if let Some(rest) = kind.strip_prefix("costs ") {
        let (gap, locks) = rest
            .split_once(' ')
            .context("a gap and locks are expected")?;
        return costs(&json, gap.parse()?, locks);
    }
    if kind == "caption" {
        return Ok(serde_json::from_str::<Head>(&json)?.caption());
    }
    let mut results: Results = serde_json::from_str(&json)?;
    if let Some(sections) = kind.strip_prefix("table ") {
        let (inside, outside) = sections
            .split_once('/')
            .context("sections are C/N, in ns")?;
        let (inside, outside): (u64, u64) = (inside.parse()?, outside.parse()?);
        (results.results).retain(|run| (run.inside_ns, run.outside_ns) == (inside, outside));
        ensure!(!results.results.is_empty(), "no run has these sections");
        return Ok(results.table());
    }
    match kind {
        "table" => {
            let sections = |run: &Run| (run.inside_ns, run.outside_ns);
            let first = results.results.first().map(sections);
            ensure!(
                results
                    .results
                    .iter()
                    .all(|run| Some(sections(run)) == first),
                "there are several sections; say which"
            );
            Ok(results.table())
        }
        "picture" => {
            ensure!(
                file("svg").exists(),
                "there is no {}",
                file("svg").display()
            );
            Ok(format!("![{}]({folder}/{name}.svg)", results.in_words()))
        }
        other => bail!("unknown kind '{other}': table, costs, picture, caption, told, output A-B"),
    }
}

/// Lines `A-B` of a text, from 1, as a block of code.
fn output(text: &str, range: &str) -> Result<String> {
    let (first, last) = range.split_once('-').context("lines are given as A-B")?;
    let (first, last): (usize, usize) = (first.parse()?, last.parse()?);
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    let shown = (first.checked_sub(1))
        .and_then(|before| lines.get(before..last))
        .with_context(|| format!("there are {} lines", lines.len()))?;
    Ok(format!("```text\n{}\n```", shown.join("\n")))
}

/// What a comparison printed of its targets and of its machine, as sentences.
fn told(text: &str) -> String {
    let after = |mark: &str| text.lines().find_map(|line| line.strip_prefix(mark));
    let mut told = match after("targets: ") {
        Some(counts) => format!("Of the figures that `--targets` lists: {counts}. "),
        None => String::new(),
    };
    told += &match after("DISTURBED: in ").and_then(|rest| rest.split_once(" runs ")) {
        Some((share, _)) => format!(
            "In {share} runs other work took more than 1 % of the CPUs' time, and those are not judged."
        ),
        None => "No run was disturbed by other work.".to_owned(),
    };
    told
}

/// What some locks cost without contention, with so many multiplications between two acquisitions.
fn costs(json: &str, gap: u32, locks: &str) -> Result<String> {
    let report: Value = serde_json::from_str(json)?;
    let rows = report["results"].as_array().context("it has no results")?;
    let mut table =
        "| lock | lock plus unlock | over `native-queued` |\n| --- | --- | --- |\n".to_owned();
    for name in locks.split(',') {
        let row = (rows.iter())
            .find(|row| row["lock"] == name && row["gap"] == gap)
            .with_context(|| format!("{name} at gap {gap} is not there"))?;
        let figure = |field: &str| {
            row[field]
                .as_f64()
                .with_context(|| format!("{name} has no {field}"))
        };
        table += &format!(
            "| `{name}` | {:.1} ns | {:+.1} ns |\n",
            figure("median_ns")?,
            figure("over_native_ns")?
        );
    }
    Ok(table)
}

/// The part of a results file that is shown.
#[derive(Deserialize)]
struct Results {
    results: Vec<Run>,
}

/// How a file was made.
#[derive(Deserialize)]
struct Head {
    command: String,
    driver: String,
    seed: u64,
    started_unix_s: u64,
    machine: Machine,
}

#[derive(Deserialize)]
struct Machine {
    cpu: String,
    cpus_allowed: usize,
    virtual_machine: bool,
}

#[derive(Deserialize)]
struct Run {
    lock: String,
    policy: Option<String>,
    overcommit: f64,
    inside_ns: u64,
    outside_ns: u64,
    throughput_over_bound: f64,
    jain: f64,
    wait_ns: Wait,
}

#[derive(Deserialize)]
struct Wait {
    max: u64,
}

/// One lock, over all its runs.
struct Lock<'a> {
    name: &'a str,
    is_own: bool,
    /// Medians of the throughput over the bound, in the order of the overcommits.
    throughput: Vec<f64>,
    longest_ns: u64,
    /// The longest wait at the highest overcommit.
    longest_at_last_ns: u64,
    jain: f64,
}

impl Results {
    fn overcommits(&self) -> Vec<f64> {
        let mut all: Vec<f64> = self.results.iter().map(|run| run.overcommit).collect();
        all.sort_by(f64::total_cmp);
        all.dedup();
        all
    }

    /// Every lock, the highest throughput at the highest overcommit first.
    fn locks(&self) -> Vec<Lock<'_>> {
        let overcommits = self.overcommits();
        let mut by_name = BTreeMap::<&str, Vec<&Run>>::new();
        for run in &self.results {
            by_name.entry(&run.lock).or_default().push(run);
        }
        let lock = |(name, runs): (_, Vec<&Run>)| {
            let at = |overcommit: f64, of: fn(&Run) -> f64| {
                let runs = runs.iter().filter(|run| run.overcommit == overcommit);
                median(runs.map(|run| of(run)).collect())
            };
            let highest = overcommits.last().copied().unwrap_or(f64::NAN);
            Lock {
                name,
                is_own: runs.iter().any(|run| run.policy.is_some()),
                throughput: (overcommits.iter())
                    .map(|&overcommit| at(overcommit, |run| run.throughput_over_bound))
                    .collect(),
                longest_ns: runs.iter().map(|run| run.wait_ns.max).max().unwrap_or(0),
                longest_at_last_ns: (runs.iter())
                    .filter(|run| run.overcommit == highest)
                    .map(|run| run.wait_ns.max)
                    .max()
                    .unwrap_or(0),
                jain: at(highest, |run| run.jain),
            }
        };
        let mut locks: Vec<_> = by_name.into_iter().map(lock).collect();
        locks.sort_by(|a, b| {
            let last = |lock: &Lock<'_>| lock.throughput.last().copied().unwrap_or(0.0);
            last(b).total_cmp(&last(a))
        });
        locks
    }

    fn table(&self) -> String {
        let overcommits: Vec<_> = self.overcommits().iter().map(f64::to_string).collect();
        let mut table = format!(
            "| lock | of the bound at overcommit {} | longest wait | Jain at {} |\n\
             | --- | --- | --- | --- |\n",
            overcommits.join(", "),
            overcommits.last().map_or("", String::as_str)
        );
        for lock in self.locks() {
            let throughput: Vec<_> = lock.throughput.iter().map(|value| share(*value)).collect();
            let bold = if lock.is_own { "**" } else { "" };
            table += &format!(
                "| {bold}`{}`{bold} | {} | {} | {:.2} |\n",
                lock.name,
                throughput.join(", "),
                time(lock.longest_ns),
                lock.jain
            );
        }
        table
    }

    /// What the picture shows, for readers who do not see it.
    fn in_words(&self) -> String {
        let overcommits = self.overcommits();
        let highest = overcommits.last().map_or(String::new(), f64::to_string);
        let locks: Vec<_> = (self.locks().iter())
            .map(|lock| {
                let at_last = lock.throughput.last().copied().unwrap_or(f64::NAN);
                format!(
                    "{} {} and {}",
                    lock.name,
                    share(at_last),
                    time(lock.longest_at_last_ns)
                )
            })
            .collect();
        format!(
            "Throughput over the bound against the longest wait, at {highest} vCPUs for each pCPU: {}",
            locks.join("; ")
        )
    }
}

impl Head {
    fn caption(&self) -> String {
        let day = UNIX_EPOCH + Duration::from_secs(self.started_unix_s);
        let day = humantime::format_rfc3339_seconds(day).to_string();
        let command = self.command.split_whitespace().collect::<Vec<_>>();
        let arguments = command.iter().skip(1).take_while(|word| **word != "--json");
        let arguments: Vec<_> = arguments.copied().collect();
        let place = match self.driver.as_str() {
            "simulator" => "in virtual time, the same on every machine".to_owned(),
            _ => format!(
                "on {} CPUs of {}{}",
                self.machine.cpus_allowed,
                self.machine.cpu,
                if self.machine.virtual_machine {
                    ", a virtual machine"
                } else {
                    ""
                }
            ),
        };
        format!(
            "*`pvq {}`, {place}; seed {}, {}.*",
            arguments.join(" "),
            self.seed,
            &day[..10]
        )
    }
}
