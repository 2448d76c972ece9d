//! Runs a grid of simulations over all cores, and goes on where an earlier call stopped.
//!
//! ```text
//!   GRID.toml --> plan --> points that the journal lacks --> threads --> journal
//!                                                                           | when all are there
//!                                                  OUT.csv, OUT.json  <-----+ (a shard: it stays)
//! ```

mod files;
pub(crate) mod merge;
pub(crate) mod study;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use pvqspin_report::figures::{count, counted};
use pvqspin_sweep::journal::{Head, Journal};
use pvqspin_sweep::output;
use pvqspin_sweep::plan::Plan;
use pvqspin_sweep::point::Row;
use pvqspin_sweep::run::{Told, run as run_points};
use pvqspin_sweep::source::Source;

use crate::options::sweep::SweepArgs;
use crate::output::failure::{Done, Failure, in_units, note, print};
use crate::output::file_lock::OutputLock;
use crate::output::page_files::PageFiles;
use crate::output::progress::{Progress, in_words};
use crate::output::results::written;
use crate::runs::interrupt;
use crate::runs::settings::usable_cpus;
use crate::sweep::files::{SweepFiles, ensure_none_failed};

/// What one critical section takes to simulate, roughly, in ns: about five events of 100 ns on a
/// processor of 2.6 GHz.
const SECTION_COSTS_NS: f64 = 500.0;

/// Runs `pvq sweep`.
pub(crate) fn run(args: &SweepArgs) -> Done {
    let grid = match args.files.as_slice() {
        [grid] => grid,
        files => {
            return Err(Failure::bad_input(format!(
                "one grid file is swept at a time, and {} are named; shards are put together with \
                 --merge OUT",
                files.len()
            )));
        }
    };
    let plan = read(grid).map_err(Failure::BadInput)?;
    let part = plan.part(args.shard);
    let threads = threads_for(args.threads, part.len());
    if args.list {
        return print(&listing(&plan, &part, threads));
    }
    let out = place(args, grid).map_err(Failure::BadInput)?;
    let results = SweepFiles {
        csv: &out,
        json: args.json.as_deref(),
        // A shard's rows are no results yet.
        page: PageFiles::beside(&out).filter(|_| args.shard.is_none() && !args.no_page),
    };
    results.check().map_err(Failure::BadInput)?;
    // A shard's rows are its output; otherwise they stand beside it until all are there.
    let journal = match args.shard {
        Some(_) => out.clone(),
        None => beside(&out),
    };
    let _lock = OutputLock::take(&out).map_err(Failure::BadInput)?;
    let head = Head::new(&plan, args.shard);
    let (mut journal_file, mut rows) =
        Journal::open(&journal, &head, args.restart).map_err(Failure::BadInput)?;
    let _ = interrupt::listen_within_runs();

    let missing = missing(&part, &rows);
    print(&start(&plan, &part, &missing, threads))?;
    let mut progress = Progress::new(missing.len());
    let mut failed = Vec::new();
    let stopped = run_points(&plan, &missing, threads, interrupt::asked, |told| {
        let row = match told {
            Told::Underway(parts) => {
                progress.within(parts);
                return Ok(());
            }
            Told::Done(row) => *row,
        };
        match row {
            Ok(row) => {
                progress.begin(&row.facts.grid);
                journal_file.add(&row)?;
                rows.push(row);
            }
            Err(error) => {
                progress.begin(&error.point);
                journal_file.add_failed(&error)?;
                failed.push(error);
            }
        }
        progress.end();
        Ok(())
    });
    drop(progress);
    for error in &failed {
        note(&format!("FAILED: {}", in_units(&error.to_string())));
    }
    stopped.map_err(Failure::Failed)?;
    if rows.len() + failed.len() < part.len() {
        let (done, all) = (rows.len(), part.len());
        let text = format!("{done} of {all} points are finished; the same command goes on\n");
        print(&text)?;
        return Err(Failure::Interrupted);
    }
    if args.shard.is_some() {
        print(&format!("written: {}\n", out.display()))?;
        return ensure_none_failed(failed.len(), part.len());
    }
    output::sort(&mut rows);
    if !rows.is_empty() {
        results.write(rows, part.len()).map_err(Failure::Failed)?;
        print(written(results.paths()).trim_start())?;
    }
    // The journal stays where a point has failed: the same command then tries that one again.
    ensure_none_failed(failed.len(), part.len())?;
    // Only now, when its rows are safe elsewhere.
    let removed = fs::remove_file(&journal);
    removed
        .with_context(|| format!("cannot remove {}", journal.display()))
        .map_err(Failure::Failed)
}

/// Reads a grid file.
pub(crate) fn read(path: &Path) -> anyhow::Result<Plan> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).with_context(|| format!("cannot read the grid {name}"))?;
    Ok(Plan::read(Source {
        name: &name,
        text: &text,
    })?)
}

/// The points of a part that have no row yet.
pub(crate) fn missing(part: &[usize], rows: &[Row]) -> Vec<usize> {
    let mut done: Vec<usize> = rows.iter().map(|row| row.facts.point).collect();
    done.sort_unstable();
    let is_missing = |number: &&usize| done.binary_search(number).is_err();
    part.iter().filter(is_missing).copied().collect()
}

/// Where the rows go. The default's folder is made if it is not there.
fn place(args: &SweepArgs, grid: &Path) -> anyhow::Result<PathBuf> {
    if let Some(out) = &args.out {
        return Ok(out.clone());
    }
    let folder = Path::new("results");
    fs::create_dir_all(folder).with_context(|| {
        format!(
            "cannot make the folder {}; say --out FILE",
            folder.display()
        )
    })?;
    let mut name = grid.file_stem().unwrap_or_default().to_owned();
    match args.shard {
        None => name.push(".csv"),
        Some(shard) => name.push(format!("-{}-of-{}.jsonl", shard.index(), shard.of())),
    }
    Ok(folder.join(name))
}

fn beside(out: &Path) -> PathBuf {
    let mut name = out.file_name().unwrap_or_default().to_owned();
    name.push(".journal");
    out.with_file_name(name)
}

fn listing(plan: &Plan, part: &[usize], threads: usize) -> String {
    let mut text = String::new();
    for &number in part {
        let _ = writeln!(text, "{number:>6}  {}", plan.points[number].line());
    }
    let about = estimate(plan, part, threads);
    let _ = writeln!(
        text,
        "{}, about {about} on {}",
        counted(part.len(), "point"),
        counted(threads, "thread")
    );
    text
}

fn start(plan: &Plan, part: &[usize], missing: &[usize], threads: usize) -> String {
    let finished = match part.len() - missing.len() {
        0 => String::new(),
        done => format!(" ({done} of {} are finished already)", part.len()),
    };
    format!(
        "{}{finished} on {}, about {}\n",
        counted(missing.len(), "point"),
        counted(threads, "thread"),
        estimate(plan, missing, threads)
    )
}

/// As many threads as were asked for, but no more than there are points.
pub(crate) fn threads_for(asked: Option<usize>, points: usize) -> usize {
    asked.unwrap_or_else(usable_cpus).min(points).max(1)
}

/// About how long it will take. A guess: a collapsed lock is simulated much faster.
pub(crate) fn estimate(plan: &Plan, numbers: &[usize], threads: usize) -> String {
    let sections: f64 = numbers
        .iter()
        .map(|number| plan.points[*number].work())
        .sum();
    // Threads beyond the CPUs take turns on them.
    let at_once = threads.min(numbers.len()).min(usable_cpus()).max(1);
    let ns = sections * SECTION_COSTS_NS / at_once as f64;
    format!(
        "{} (up to {} critical sections)",
        in_words(Duration::from_nanos(ns as u64)),
        count(sections)
    )
}
