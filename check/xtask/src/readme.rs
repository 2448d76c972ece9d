//! Tables, pictures and captions in the guides, made from results files in `docs/generated`.
//!
//! ```text
//! <!-- results: NAME table -->      a row for each lock: throughput, longest wait, fairness
//! <!-- results: NAME picture -->    NAME.svg, with a text for readers who do not see it
//! <!-- results: NAME caption -->    the command, the date and the machine
//! <!-- results: NAME output 3-9 --> these lines of NAME.txt, which is what the command printed
//! (whatever stands here is written anew)
//! <!-- end of results -->
//! ```
//!
//! `NAME.json` is what `pvq` wrote with `--json`: `docs/results.md` describes it.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};
use serde::Deserialize;

use crate::markdown;
use crate::run::{replace, root};

const BEGIN: &str = "<!-- results: ";
const END: &str = "<!-- end of results -->";
/// Where results files are kept.
const FOLDER: &str = "docs/generated";

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
    if let Some(range) = kind.strip_prefix("output ") {
        return output(&read(&file("txt"))?, range);
    }
    let results: Results = serde_json::from_str(&read(&file("json"))?)?;
    match kind {
        "table" => Ok(results.table()),
        "caption" => Ok(results.caption()),
        "picture" => {
            ensure!(
                file("svg").exists(),
                "there is no {}",
                file("svg").display()
            );
            Ok(format!("![{}]({folder}/{name}.svg)", results.in_words()))
        }
        other => bail!("unknown kind '{other}': table, picture, caption, output A-B"),
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

/// The part of a results file that is shown.
#[derive(Deserialize)]
struct Results {
    command: String,
    driver: String,
    seed: u64,
    started_unix_s: u64,
    machine: Machine,
    results: Vec<Run>,
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

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn share(value: f64) -> String {
    if value < 0.01 {
        format!("{value:.3}")
    } else {
        format!("{value:.2}")
    }
}

fn time(ns: u64) -> String {
    let ns = ns as f64;
    let digits = |value: f64| {
        if value < 10.0 {
            format!("{value:.1}")
        } else {
            format!("{value:.0}")
        }
    };
    match ns {
        ns if ns < 1e3 => format!("{ns} ns"),
        ns if ns < 1e6 => format!("{} µs", digits(ns / 1e3)),
        ns if ns < 1e9 => format!("{} ms", digits(ns / 1e6)),
        ns => format!("{} s", digits(ns / 1e9)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results() -> Results {
        let run =
            |lock: &str, policy: Option<&str>, overcommit: f64, throughput: f64, max: u64| Run {
                lock: lock.to_owned(),
                policy: policy.map(str::to_owned),
                overcommit,
                throughput_over_bound: throughput,
                jain: 1.0,
                wait_ns: Wait { max },
            };
        Results {
            command: "pvq simulate --pcpus 2 --json docs/generated/x.json".to_owned(),
            driver: "simulator".to_owned(),
            seed: 1,
            started_unix_s: 86_400,
            machine: Machine {
                cpu: "a CPU".to_owned(),
                cpus_allowed: 2,
                virtual_machine: true,
            },
            results: vec![
                run("slow", None, 8.0, 0.004, 3_000_000),
                run("fifo", Some("fifo"), 1.0, 0.91, 12_300),
                run("fifo", Some("fifo"), 8.0, 0.9, 20_000),
                run("slow", None, 1.0, 0.92, 12_000),
            ],
        }
    }

    #[test]
    fn a_table_has_the_best_first_and_the_longest_wait_of_all() {
        let table = results().table();
        let rows: Vec<_> = table.lines().skip(2).collect();
        assert_eq!(
            rows,
            [
                "| **`fifo`** | 0.91, 0.90 | 20 µs | 1.00 |",
                "| `slow` | 0.92, 0.004 | 3.0 ms | 1.00 |"
            ]
        );
    }

    #[test]
    fn a_caption_has_command_place_seed_and_day() {
        let expected = "*`pvq simulate --pcpus 2`, in virtual time, the same on every machine; \
                        seed 1, 1970-01-02.*";
        assert_eq!(results().caption(), expected);
        let real = Results {
            driver: "hypervisor".to_owned(),
            ..results()
        };
        assert!(
            real.caption()
                .contains("on 2 CPUs of a CPU, a virtual machine")
        );
    }

    #[test]
    fn the_picture_is_told_in_words() {
        assert_eq!(
            results().in_words(),
            "Throughput over the bound against the longest wait, at 8 vCPUs for each pCPU: \
             fifo 0.90 and 20 µs; slow 0.004 and 3.0 ms"
        );
    }

    #[test]
    fn pictures_are_found_from_each_file() {
        let way = |path| to_pictures(Path::new(path));
        assert_eq!(way("README.md"), "docs/generated");
        assert_eq!(way("docs/a.md"), "generated");
        assert_eq!(way("docs/decisions/a.md"), "../generated");
        assert_eq!(way("crates/host/README.md"), "../../docs/generated");
    }

    #[test]
    fn only_blocks_are_written_and_twice_is_once() {
        let text = "a\n<!-- results: x table -->\nold\n<!-- end of results -->\nb\n";
        let mut make = |name: &str, kind: &str| Ok(format!("{name} {kind}"));
        let once = fill(text, &mut make).expect("it is closed");
        assert_eq!(
            once,
            "a\n<!-- results: x table -->\n\nx table\n\n<!-- end of results -->\nb\n"
        );
        assert_eq!(fill(&once, &mut make).expect("still"), once);
        assert!(fill("<!-- results: x table -->\n", &mut make).is_err());
    }

    #[test]
    fn output_is_these_lines_and_no_others() {
        assert_eq!(
            output("a\nb \nc\n", "2-3").expect("there"),
            "```text\nb\nc\n```"
        );
        assert!(output("a\n", "1-2").is_err());
        assert!(output("a\n", "0-1").is_err());
    }
}
