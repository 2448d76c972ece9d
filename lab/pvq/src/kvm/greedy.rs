//! `pvq kvm --greedy`: VMs that take what they can, each beside one that computes, and what is left for that one.

use std::thread;
use std::time::Duration;

use pvqspin_driver_common::Run;
use pvqspin_host::{Config, Scheduling};
use pvqspin_kvm::{Guest, Image, KvmHost, RunError, Shares};
use pvqspin_load::{NeighbourKind, NeighbourVm};
use pvqspin_report::files::{check_writable, write_atomically};
use serde_json::{Value, json};

use crate::kvm::choice::Wishes;
use crate::kvm::image_path;
use crate::options::greedy::Strategy;
use crate::options::kvm::KvmArgs;
use crate::output::failure::{Done, Failure, print};
use crate::runs::interrupt;
use crate::runs::settings::{Limits, pcpus, usable_cpus, vcpus};

/// How long is measured, unless it is said: what a slice makes of it is little.
const DURATION_NS: u64 = 800_000_000;

/// One strategy, at one overcommit.
struct Row<'a> {
    strategy: &'a Strategy,
    run: Run,
    shares: Vec<Shares>,
}

impl Row<'_> {
    /// What the neighbour had of its share, on average.
    fn kept(&self) -> f64 {
        self.neighbour() / self.run.neighbour_share(1).unwrap_or(1.0)
    }

    /// What it had, in pCPUs.
    fn neighbour(&self) -> f64 {
        self.mean(|shares| shares.neighbour)
    }

    fn mean(&self, of: impl Fn(&Shares) -> f64) -> f64 {
        self.shares.iter().map(of).sum::<f64>() / self.shares.len().max(1) as f64
    }
}

/// Runs them.
pub(super) fn run(args: &KvmArgs) -> Done {
    let runs = runs(args)?;
    let wishes = Wishes::of(args)?;
    let Some(&transport) = wishes.transports().first().filter(|one| one.is_stock()) else {
        return Err(Failure::bad_input(
            "--greedy needs --transport stock: its programs make KVM's own hypercalls",
        ));
    };
    let file = (args.compare.output.json.as_deref()).filter(|_| !args.compare.output.no_files);
    if let Some(file) = file {
        check_writable(file).map_err(Failure::bad_input)?;
    }
    let host = KvmHost::open().map_err(Failure::bad_input)?;
    let guest = Guest {
        image: Image::open(&image_path(args)?).map_err(Failure::bad_input)?,
        transport,
        cpl: pvqspin_kvm::Cpl::Zero,
    };
    for (_, run) in &runs {
        pvqspin_kvm::validate(&host, &guest, usable_cpus(), run).map_err(Failure::bad_input)?;
    }
    let _ = interrupt::listen();
    print(HEAD)?;
    let repeats = args.compare.run.repeats.unwrap_or(1);
    let mut random = Random(args.compare.setup.work.seed);
    let mut rows: Vec<Row<'_>> = Vec::new();
    for (strategy, run) in runs {
        let mut row = Row {
            strategy,
            run,
            shares: Vec::new(),
        };
        while row.shares.len() < repeats && !interrupt::asked() {
            thread::sleep(Duration::from_nanos(random.next_ns()));
            let shares = pvqspin_kvm::greedy(&host, &guest, &row.run, &strategy.programs);
            row.shares
                .push(shares.map_err(|error| failure(strategy, error))?);
        }
        if interrupt::asked() {
            break;
        }
        rows.push(row);
        if let [.., row] = &rows[..] {
            print(&line(row, busy_of(&rows, row)))?;
        }
    }
    if let Some(file) = file {
        let text = format!("{:#}\n", results(&rows));
        write_atomically(file, |to| to.write_all(text.as_bytes())).map_err(Failure::Failed)?;
    }
    match interrupt::asked() {
        true => Err(Failure::Interrupted),
        false => Ok(()),
    }
}

/// How long before each run nothing is done: so that VMs do not start at the same place between two ticks each time,
/// and a machine that counts instructions has another run for each seed.
struct Random(u64);

impl Random {
    const MOST_NS: u64 = 8_000_000;

    /// SplitMix64: good enough here, and the same everywhere.
    fn next_ns(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ z >> 31) % Self::MOST_NS
    }
}

/// Every run: `busy` first at each overcommit, for the others are compared with it.
fn runs(args: &KvmArgs) -> Result<Vec<(&Strategy, Run)>, Failure> {
    static BUSY: std::sync::LazyLock<Strategy> = std::sync::LazyLock::new(Strategy::busy);
    let limits = Limits::here();
    let pcpus = pcpus(&args.compare.setup, &limits).map_err(Failure::BadInput)?;
    let overcommit = match &args.compare.overcommit[..] {
        [] => &[2.0][..],
        given => given,
    };
    let mut runs = Vec::new();
    for &overcommit in overcommit {
        let vcpus = vcpus(overcommit, pcpus, &limits).map_err(Failure::BadInput)?;
        let run = Run {
            host: Config {
                pcpus,
                scheduling: Scheduling::Fair,
                ..Run::default().host
            },
            vcpus,
            duration_ns: args.compare.run.duration.unwrap_or(DURATION_NS),
            stall_after_ns: args.compare.setup.watchdog,
            ..Run::default()
        };
        let neighbour = Some(NeighbourVm {
            kind: NeighbourKind::Busy,
            vcpus: pcpus,
            weight: run.weight,
        });
        let others = args.greedy.iter().filter(|strategy| !strategy.is_busy());
        runs.extend([&*BUSY].into_iter().chain(others).map(|strategy| {
            (
                strategy,
                Run {
                    neighbour,
                    ..run.clone()
                },
            )
        }));
    }
    Ok(runs)
}

fn failure(strategy: &Strategy, error: RunError) -> Failure {
    match error {
        RunError::Config(problem) => Failure::bad_input(problem),
        RunError::Unavailable(problem) => Failure::bad_input(problem),
        other => Failure::failed(format!("'{}' failed: {other}", strategy.text)),
    }
}

const HEAD: &str = "\
A VM that takes what it can beside one that computes. share: pCPU time of that one over its share by weight;
vs busy: over what it had beside `busy`, while all else on this machine took the same; pCPUs: what the two had;
yields, kicks and halts of the first: each second.

  vCPUs   share  vs busy  pCPUs          yields    kicks    halts   strategy
";

fn line(row: &Row<'_>, busy: &Row<'_>) -> String {
    let a_second = |of: fn(&Shares) -> u64| {
        row.mean(|shares| of(shares) as f64 / (shares.duration_ns as f64 / 1e9))
    };
    format!(
        "  {:<5}  {:.3}    {:.3}  {:.3} + {:.3}  {:>8.0} {:>8.0} {:>8.0}   {}\n",
        format!("{}+{}", row.run.vcpus, row.run.neighbour_vcpus()),
        row.kept(),
        row.neighbour() / busy.neighbour(),
        row.mean(|shares| shares.greedy),
        row.neighbour(),
        a_second(|shares| shares.yields),
        a_second(|shares| shares.kicks),
        a_second(|shares| shares.halts),
        row.strategy.text,
    )
}

/// The one that a row is compared with: `busy` comes first at each overcommit.
fn busy_of<'a, 'b>(rows: &'a [Row<'b>], row: &'a Row<'b>) -> &'a Row<'b> {
    let same = |other: &&Row<'_>| other.run.vcpus == row.run.vcpus;
    rows.iter().find(same).unwrap_or(row)
}

/// As the file has them.
fn results(rows: &[Row<'_>]) -> Value {
    let rows: Vec<Value> = (rows.iter())
        .map(|row| {
            let repeats: Vec<Value> = (row.shares.iter())
                .map(|shares| {
                    json!({
                        "duration_ns": shares.duration_ns,
                        "greedy_pcpus": shares.greedy,
                        "neighbour_pcpus": shares.neighbour,
                        "yields": shares.yields,
                        "kicks": shares.kicks,
                        "halts": shares.halts,
                    })
                })
                .collect();
            json!({
                "strategy": row.strategy.text,
                "pcpus": row.run.host.pcpus,
                "vcpus": row.run.vcpus,
                "neighbour_vcpus": row.run.neighbour_vcpus(),
                "kept_of_share": row.kept(),
                "kept_of_busy": row.neighbour() / busy_of(rows, row).neighbour(),
                "repeats": repeats,
            })
        })
        .collect();
    json!({ "greedy": rows })
}
