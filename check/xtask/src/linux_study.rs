//! The tables of `docs/kvm.md`: one lock after another on Linux's own scheduler and on `scx_pvq`, by counted instructions.

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

mod simulated;
mod tables;

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
    overcommit: u32,
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
        let beside = if self.neighbour { "-neighbour" } else { "" };
        format!("{host}-{cpus}x{overcommit}{beside}-{seed}")
    }
}

/// Every boot, what is cheap first.
fn units(options: &Options) -> Vec<Unit> {
    let mut all = Vec::new();
    for &seed in &options.seeds {
        for &cpus in &options.cpus {
            for &overcommit in &options.overcommit {
                for &neighbour in &[false, true][..1 + usize::from(options.neighbour)] {
                    for host in [Host::Stock, Host::Scx] {
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
        rows.extend(read(unit.host, unit.seed, &json(RESULTS)?));
        if unit.host == Host::Scx {
            yields.push((name, json(SCX_REPORT)?));
        }
    }
    let made = fs::read_to_string(options.out.join(MADE)).unwrap_or_default();
    let seeds: Vec<_> = (options.seeds.iter().map(u32::to_string)).collect();
    let mut text = format!(
        "{made}Random numbers begin with {}.\n\n{}{}",
        seeds.join(", and once more with "),
        tables(&rows),
        yield_table(&yields)
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
    let text = format!(
        "# Locks on Linux hosts: the tables\n\n`cargo xtask linux-study` made them: Debian's kernel {}, unmodified, as host, in QEMU {}, \
         instructions counted. {} for each run, {} beside a neighbour; last run {}.\n\
         Each cell: throughput over the best of its column; in brackets over what the processors could do in turns; longest wait; hypercalls for \
         each acquisition; from least to most if there are several seeds.\n",
        kernel.release(),
        qemu::version_name()?,
        options.duration,
        options.neighbour_duration,
        crate::run::today()?,
    );
    fs::create_dir_all(&options.out)
        .with_context(|| format!("cannot create {}", options.out.display()))?;
    fs::write(options.out.join(MADE), text)?;
    Ok(())
}

fn measure(options: &Options, cache: &Path, unit: Unit, dir: &Path) -> Result<()> {
    let Unit {
        host,
        cpus,
        overcommit,
        seed,
        neighbour,
    } = unit;
    qemu::provide()?;
    qemu::counts_fairly(cpus)?;
    let choice = Host::Scx.kernel(&options.kernel);
    let kernel = Kernel::fetch(&choice, cache)?;
    note_versions(options, &kernel)?;
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
            parameters: String::new(),
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
