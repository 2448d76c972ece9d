//! The tables of `docs/kvm.md`: one lock after another on Linux's own scheduler and on `scx_pvq`, by counted instructions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::debian_kernel::{Choice, Kernel};
use crate::kvm_in_qemu::{self, Host, Job, SCX_REPORT};
use crate::qemu::{self, Clock, Ending, Machine};

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Where results are kept. A run whose results are there is not made again.
    #[arg(long, value_name = "DIR", default_value = "target/linux-study")]
    out: PathBuf,
    /// Processors, a list.
    #[arg(long, value_delimiter = ',', default_value = "2,4,8")]
    cpus: Vec<u32>,
    /// vCPUs for each processor, a list.
    #[arg(long, value_delimiter = ',', default_value = "2,4")]
    overcommit: Vec<u32>,
    /// Locks, as `pvq kvm --lock` has them.
    #[arg(
        long,
        default_value = "fifo,bounded,fifo-halt,linux-pv,unfair-hinted,test-and-set"
    )]
    lock: String,
    /// Mean times inside the lock, a list that pairs up with --outside.
    #[arg(long, default_value = "2us,20us,50us")]
    inside: String,
    /// Mean times outside.
    #[arg(long, default_value = "30us,40us,500us")]
    outside: String,
    /// Measured time of each run.
    #[arg(long, default_value = "200ms")]
    duration: String,
    /// Random numbers begin with each of these in turn.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    seeds: Vec<u32>,
    /// Another VM beside it, which computes all the time.
    #[arg(long)]
    neighbour: bool,
    #[command(flatten)]
    kernel: Choice,
    /// Start no machine later than this, and say what is left: the same command goes on from there.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u64>,
    /// Make the tables from results that are there, and run nothing.
    #[arg(long)]
    tables: bool,
    /// Write the page with the tables to this file, instead of printing it.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
}

const RESULTS: &str = "results.json";

/// One boot of one machine.
#[derive(Clone, Copy)]
struct Unit {
    host: Host,
    cpus: u32,
    overcommit: u32,
    seed: u32,
}

/// Every boot, what is cheap first.
fn units(options: &Options) -> Vec<Unit> {
    let mut all = Vec::new();
    for &seed in &options.seeds {
        for &cpus in &options.cpus {
            for &overcommit in &options.overcommit {
                for host in [Host::Stock, Host::Scx] {
                    all.push(Unit {
                        host,
                        cpus,
                        overcommit,
                        seed,
                    });
                }
            }
        }
    }
    all
}

/// Makes the runs, then the tables.
pub(crate) fn run(options: &Options) -> Result<()> {
    for &cpus in &options.cpus {
        ensure!((1..=16).contains(&cpus), "{cpus} processors: 1 to 16");
    }
    let cache = kvm_in_qemu::cache()?;
    let began = Instant::now();
    let mut rows = Vec::new();
    let mut yields = Vec::new();
    let mut left = 0;
    for unit in units(options) {
        let Unit {
            host,
            cpus,
            overcommit,
            seed,
        } = unit;
        let name = format!(
            "{}-{cpus}x{overcommit}{}-{seed}",
            if host == Host::Scx { "scx" } else { "stock" },
            if options.neighbour { "-neighbour" } else { "" }
        );
        let dir = options.out.join(&name);
        if !dir.join(RESULTS).is_file() {
            let late = (options.minutes)
                .is_some_and(|minutes| began.elapsed() >= Duration::from_secs(60 * minutes));
            if options.tables || late {
                left += 1;
                continue;
            }
            measure(options, &cache, unit, &dir)?;
        }
        let json = |name: &str| -> Result<Value> {
            let text = fs::read(dir.join(name))?;
            serde_json::from_slice(&text)
                .with_context(|| format!("{name} in {} is no JSON", dir.display()))
        };
        rows.extend(read(host, &json(RESULTS)?));
        if host == Host::Scx {
            yields.push((name, json(SCX_REPORT)?));
        }
    }
    let made = fs::read_to_string(options.out.join(MADE)).unwrap_or_default();
    let text = format!("{made}{}{}", tables(&rows), yield_table(&yields));
    match &options.page {
        Some(path) => {
            fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?
        }
        None => print!("{text}"),
    }
    if left > 0 {
        eprintln!("linux-study: {left} machines are left; the same command goes on");
    }
    Ok(())
}

/// With what the results were made: the head of the page.
const MADE: &str = "made.md";

fn note_versions(options: &Options, kernel: &Kernel) -> Result<()> {
    let text = format!(
        "# Locks on Linux hosts: the tables\n\n`cargo xtask linux-study` made them: Debian's kernel {}, unmodified, as host, in QEMU {}, \
         instructions counted. Random numbers begin with {}; {} for each run; last run {}.\n\
         Each cell: throughput over the best of its column; in brackets over what the processors could do in turns; longest wait; hypercalls for \
         each acquisition.\n\n",
        kernel.release(),
        qemu::version_name()?,
        options
            .seeds
            .iter()
            .map(u32::to_string)
            .collect::<Vec<_>>()
            .join(", "),
        options.duration,
        today()?,
    );
    fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot create {}", options.out.display()))?;
    fs::write(options.out.join(MADE), text)?;
    Ok(())
}

/// As 2026-11-28, in UTC.
fn today() -> Result<String> {
    let output = Command::new("date")
        .args(["-u", "+%F"])
        .output()
        .context("cannot start date")?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn measure(options: &Options, cache: &Path, unit: Unit, dir: &Path) -> Result<()> {
    let Unit {
        host,
        cpus,
        overcommit,
        seed,
    } = unit;
    qemu::provide()?;
    qemu::counts_fairly(cpus)?;
    let choice = Host::Scx.kernel(&options.kernel);
    let kernel = Kernel::fetch(&choice, cache)?;
    note_versions(options, &kernel)?;
    let mut arguments: Vec<String> = [
        "kvm",
        "--transport",
        "stock",
        "--pcpus",
        &cpus.to_string(),
        "--lock",
        &options.lock,
        "--overcommit",
        &overcommit.to_string(),
        "--inside",
        &options.inside,
        "--outside",
        &options.outside,
        "--duration",
        &options.duration,
        "--repeats",
        "1",
        "--no-page",
        "--json",
        RESULTS,
    ]
    .map(str::to_owned)
    .to_vec();
    if options.neighbour {
        arguments.push("--neighbour".to_owned());
    }
    eprintln!("linux-study: {} ...", dir.display());
    let outcome = Job {
        host,
        kernel: &kernel,
        program: None,
        arguments: &arguments,
        programs: &[],
        scx_options: &[],
        files: &[],
        cache,
        machine: Machine {
            cpus,
            clock: Clock::Instructions,
            seed,
            timeout: Duration::from_secs(3600),
        },
    }
    .run()?;
    ensure!(
        outcome.ending == Ending::Exit(0),
        "{} ended with {:?}",
        dir.display(),
        outcome.ending
    );
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    // The results last: they say that the run was made.
    for name in [SCX_REPORT, RESULTS] {
        if let Some(bytes) = outcome.file(name) {
            fs::write(dir.join(name), bytes)?;
        }
    }
    Ok(())
}

/// What became of the yields that reached `scx_pvq`, all locks and sections of a machine together.
fn yield_table(machines: &[(String, Value)]) -> String {
    if machines.is_empty() {
        return String::new();
    }
    let mut text = "What became of the directed yields that reached `scx_pvq`, all locks of a machine together\n\n\
                    | machine | asked | ran | affinity | not waiting | moved | no time left | paid of what was lent |\n\
                    | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        .to_owned();
    for (name, counts) in machines {
        let count = |name: &str| counts[name].as_u64().unwrap_or(0);
        let percent = |part: u64, whole: u64| 100.0 * part as f64 / whole.max(1) as f64;
        let _ = writeln!(
            text,
            "| {name} | {} | {:.1} % | {} | {} | {} | {} | {:.1} % |",
            count("asked"),
            percent(count("ran"), count("asked")),
            count("refused_affinity"),
            count("refused_not_waiting"),
            count("refused_moved"),
            count("refused_no_time"),
            percent(count("lent_paid_ns"), count("lent_ns")),
        );
    }
    text
}

/// One lock at one point.
struct Row {
    host: Host,
    pcpus: u64,
    overcommit: u64,
    inside_ns: f64,
    outside_ns: f64,
    lock: String,
    per_s: f64,
    longest_ns: f64,
    calls: f64,
    neighbour: Option<f64>,
}

fn read(host: Host, results: &Value) -> Vec<Row> {
    let each = results["results"].as_array().map_or(&[][..], Vec::as_slice);
    (each.iter())
        .map(|one| {
            let number = |name: &str| one[name].as_f64().unwrap_or(0.0);
            Row {
                host,
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

    fn point(&self) -> (u64, u64, u64, u64) {
        let ns = |value: f64| value as u64;
        (
            self.pcpus,
            self.overcommit,
            ns(self.inside_ns),
            ns(self.outside_ns),
        )
    }
}

/// A table for each point: rows are locks, and the two hosts stand side by side.
fn tables(rows: &[Row]) -> String {
    let mut text = String::new();
    let points: BTreeSet<_> = rows.iter().map(Row::point).collect();
    for point in points {
        let here: Vec<&Row> = rows.iter().filter(|row| row.point() == point).collect();
        let mut best = BTreeMap::new();
        for row in &here {
            let most = best.entry(row.host == Host::Scx).or_insert(0.0_f64);
            *most = most.max(row.per_s);
        }
        let (pcpus, overcommit, inside, outside) = point;
        let _ = writeln!(
            text,
            "{pcpus} pCPUs, {} vCPUs, {} µs inside, {} µs outside\n",
            pcpus * overcommit,
            inside as f64 / 1000.0,
            outside as f64 / 1000.0
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
                let most = best.get(&(host == Host::Scx)).copied().unwrap_or(0.0);
                let _ = write!(text, " {} |", cell(&of, most));
            }
            text.push('\n');
        }
        text.push('\n');
    }
    text
}

/// Throughput over the best of the table and over the bound, longest wait, calls; ranges if there are several seeds.
fn cell(rows: &[&&Row], best: f64) -> String {
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
        range(&|row| row.per_s / best.max(1e-9), &two),
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

    #[test]
    fn hosts_stand_side_by_side_and_each_has_its_best() {
        let results = |fifo: f64| {
            let one = |lock, per_s: f64| {
                json!({
                    "lock": lock, "pcpus": 2, "overcommit": 4, "inside_ns": 20_000, "outside_ns": 40_000,
                    "throughput_per_s": per_s, "wait_ns": { "max": 172_000 }, "hypercalls_per_acquisition": 0.012,
                    "neighbour": null,
                })
            };
            json!({ "results": [one("fifo", fifo), one("test-and-set", 8000.0)] })
        };
        let mut rows = read(Host::Stock, &results(4000.0));
        rows.extend(read(Host::Scx, &results(16_000.0)));
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
}
