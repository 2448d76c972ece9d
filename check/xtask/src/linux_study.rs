//! The tables of `docs/generated/linux-study.md`: one lock after another on Linux's own scheduler and on `scx_pvq`, by counted instructions.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::Value;

use crate::debian_kernel::{Choice, Kernel};
use crate::kvm_in_qemu::{self, Host, Job, SCX_REPORT};
use crate::qemu::{self, Clock, Ending, Machine};
use tables::{read, tables, yield_table};

mod greedy;
mod simulated;
mod tables;

/// What to measure.
#[derive(Args)]
pub(crate) struct Options {
    /// Where results are kept. A run whose results are there is not made again.
    #[arg(long, value_name = "DIR", default_value = "target/linux-study")]
    out: PathBuf,
    /// Who schedules, a list.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "stock,scx")]
    hosts: Vec<Host>,
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
    /// Random numbers begin with each of these in turn, those of the locks' load and those of the machine.
    #[arg(long, value_delimiter = ',', default_value = "1")]
    seeds: Vec<u32>,
    /// Also a machine each with another VM beside the one that locks, which computes all the time: 20 µs inside, 40 µs outside.
    #[arg(long)]
    neighbour: bool,
    /// Locks beside that VM.
    #[arg(long, default_value = "fifo,test-and-set")]
    neighbour_lock: String,
    /// Measured time of each run beside it: a slice is to be little of what it gets.
    #[arg(long, default_value = "800ms")]
    neighbour_duration: String,
    /// Instead: VMs that take what they can, each for that long beside a VM that computes. What is left of its share?
    #[arg(long, conflicts_with_all = ["neighbour", "simulate"])]
    greedy: bool,
    /// Which, as `pvq kvm --greedy` names them.
    #[arg(
        long,
        default_value = "dodge-ticks,circle,yield-at-once,late-loans,storm,wake-then-work,lend-to-sleepers,donors,\
                         borrowers,spinners,in-step,short-naps,long-naps"
    )]
    strategies: String,
    /// And those of the search in check/greedy with these seeds, a range such as 0..20.
    #[arg(long, value_name = "RANGE")]
    cases: Option<greedy::Cases>,
    #[command(flatten)]
    kernel: Choice,
    /// Start no machine later than this, and say what is left: the same command goes on from there.
    #[arg(long, value_name = "MINUTES")]
    minutes: Option<u64>,
    /// Also run each point in the simulator, and say where the two differ.
    #[arg(long)]
    simulate: bool,
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
    /// All that there are, for greedy VMs.
    overcommit: Option<u32>,
    seed: u32,
    neighbour: bool,
}

impl Unit {
    /// The folder of its results.
    fn name(&self) -> String {
        let Self {
            cpus,
            overcommit,
            seed,
            ..
        } = self;
        let host = match self.host {
            Host::Stock => "stock",
            Host::Scx => "scx",
        };
        match (overcommit, self.neighbour) {
            (None, _) => format!("{host}-{cpus}-greedy-{seed}"),
            (Some(overcommit), false) => format!("{host}-{cpus}x{overcommit}-{seed}"),
            (Some(overcommit), true) => format!("{host}-{cpus}x{overcommit}-neighbour-{seed}"),
        }
    }
}

/// Every boot, what is cheap first.
fn units(options: &Options) -> Vec<Unit> {
    let mut all = Vec::new();
    for &seed in &options.seeds {
        for &cpus in &options.cpus {
            let overcommits: Vec<_> = match options.greedy {
                true => vec![None],
                false => options.overcommit.iter().copied().map(Some).collect(),
            };
            for overcommit in overcommits {
                for &neighbour in &[false, true][..1 + usize::from(options.neighbour)] {
                    for &host in &options.hosts {
                        all.push(Unit {
                            host,
                            cpus,
                            overcommit,
                            seed,
                            neighbour,
                        });
                    }
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
    let mut kept = Vec::new();
    let mut left = 0;
    for unit in units(options) {
        let name = unit.name();
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
        let results = json(RESULTS)?;
        if options.greedy {
            kept.extend(greedy::read(options, unit.host, &results)?);
            continue;
        }
        rows.extend(read(unit.host, unit.seed, &results));
        if unit.host == Host::Scx {
            yields.push((name, json(SCX_REPORT)?));
        }
    }
    let made = fs::read_to_string(options.out.join(MADE)).unwrap_or_default();
    let seeds: Vec<_> = (options.seeds.iter().map(u32::to_string)).collect();
    let said = match options.greedy {
        true => greedy::table(&kept),
        false => tables(&rows) + &yield_table(&yields),
    };
    let mut text = format!(
        "{made}Random numbers begin with {}.\n\n{said}",
        seeds.join(", and once more with "),
    );
    if options.simulate {
        text.push('\n');
        text.push_str(&simulated::table(options, &rows)?);
    }
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
    let with = format!(
        "`cargo xtask linux-study` made them: Debian's kernel {}, unmodified, as host, in QEMU {}, instructions counted.",
        kernel.release(),
        qemu::version_name()?,
    );
    let today = crate::run::today()?;
    let text = match options.greedy {
        true => format!(
            "# Greedy VMs on Linux hosts: the tables\n\n{with} {} for each run; last run {today}.\n",
            options.neighbour_duration,
        ),
        false => format!(
            "# Locks on Linux hosts: the tables\n\n{with} {} for each run, {} beside a neighbour; last run {today}.\n\
             Each cell: throughput over the best of its column; in brackets over what the processors could do in turns; longest wait; hypercalls for \
             each acquisition; from least to most if there are several seeds.\n",
            options.duration, options.neighbour_duration,
        ),
    };
    fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot create {}", options.out.display()))?;
    fs::write(options.out.join(MADE), text)?;
    Ok(())
}

/// The arguments of `pvq` for a boot with locks.
fn lock_arguments(options: &Options, unit: Unit, overcommit: u32) -> Vec<String> {
    let Unit {
        cpus,
        seed,
        neighbour,
        ..
    } = unit;
    let (lock, inside, outside, duration) = match neighbour {
        false => (
            &*options.lock,
            &*options.inside,
            &*options.outside,
            &*options.duration,
        ),
        true => (
            &*options.neighbour_lock,
            "20us",
            "40us",
            &*options.neighbour_duration,
        ),
    };
    let mut arguments: Vec<String> = [
        "kvm",
        "--transport",
        "stock",
        "--pcpus",
        &cpus.to_string(),
        "--lock",
        lock,
        "--overcommit",
        &overcommit.to_string(),
        "--inside",
        inside,
        "--outside",
        outside,
        "--duration",
        duration,
        "--repeats",
        "1",
        "--seed",
        &seed.to_string(),
        "--no-page",
        "--json",
        RESULTS,
    ]
    .map(str::to_owned)
    .to_vec();
    if neighbour {
        arguments.push("--neighbour".to_owned());
    }
    arguments
}

fn measure(options: &Options, cache: &Path, unit: Unit, dir: &Path) -> Result<()> {
    let Unit {
        host,
        cpus,
        overcommit,
        seed,
        ..
    } = unit;
    qemu::provide()?;
    qemu::counts_fairly(cpus)?;
    let choice = Host::Scx.kernel(&options.kernel);
    let kernel = Kernel::fetch(&choice, cache)?;
    note_versions(options, &kernel)?;
    let (arguments, parameters) = match overcommit {
        None => (greedy::arguments(options, cpus, seed), greedy::PARAMETERS),
        Some(overcommit) => (lock_arguments(options, unit, overcommit), ""),
    };
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
            parameters: parameters.to_owned(),
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
