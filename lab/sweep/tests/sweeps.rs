//! Sweeps as they run, stop, go on, and are put together.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};

use pvqspin_sweep::journal::{self, Head, Journal};
use pvqspin_sweep::merge::merge;
use pvqspin_sweep::output;
use pvqspin_sweep::plan::{Plan, Shard};
use pvqspin_sweep::point::Row;
use pvqspin_sweep::run::{PointError, Told, run};
use pvqspin_sweep::source::Source;

const GRID: &str = "
    [common]
    duration = '1ms'
    warmup = '1ms'
    [[grid]]
    name = 'g'
    locks = ['fifo', 'linux-pv', 'bounded@wait=1ms']
    overcommit = [1, 3]
    slice = '200us'
    seeds = [1, 2]
";

fn plan() -> Plan {
    of(GRID)
}

fn of(text: &str) -> Plan {
    let name = "grid.toml";
    Plan::read(Source { name, text }).expect("a good grid")
}

fn csv(mut rows: Vec<Row>) -> String {
    output::sort(&mut rows);
    let mut bytes = Vec::new();
    output::write_csv(&rows, &mut bytes).expect("a vector takes everything");
    String::from_utf8(bytes).expect("text")
}

fn all_rows(plan: &Plan, threads: usize) -> Vec<Row> {
    let mut rows = Vec::new();
    run(
        plan,
        &plan.part(None),
        threads,
        || false,
        |told| {
            if let Told::Done(row) = told {
                rows.push((*row)?);
            }
            Ok::<(), PointError>(())
        },
    )
    .expect("every point gives a row");
    rows
}

fn part(index: usize, of: usize) -> Shard {
    Shard::new(index, of).expect("there is such a part")
}

/// Runs what is missing, `most` points at most, and returns how many ran.
fn some(plan: &Plan, shard: Option<Shard>, path: &Path, most: usize) -> usize {
    let (mut journal, rows) = Journal::open(path, &Head::new(plan, shard), false).expect("ours");
    let missing: Vec<usize> = (plan.part(shard).into_iter())
        .filter(|number| rows.iter().all(|row| row.facts.point != *number))
        .collect();
    // The points are so short that it is asked before each and never within.
    let started = AtomicUsize::new(0);
    let stop = || started.fetch_add(1, Relaxed) >= most;
    let mut ran = 0;
    run(plan, &missing, 1, stop, |told| {
        let Told::Done(row) = told else {
            return Ok(());
        };
        ran += 1;
        match *row {
            Ok(row) => journal.add(&row),
            Err(error) => journal.add_failed(&error),
        }
    })
    .expect("writable");
    ran
}

#[test]
fn the_rows_are_the_same_whatever_the_number_of_threads() {
    let plan = plan();
    let alone = csv(all_rows(&plan, 1));
    assert_eq!(alone.lines().count(), 1 + plan.points.len());
    assert_eq!(alone, csv(all_rows(&plan, 4)));
}

#[test]
fn a_long_point_tells_how_far_it_is_and_is_cut() {
    let plan = of("[[grid]]\nname = 'g'\nlocks = ['fifo', 'mcs']\nvcpus = 4\nduration = '3600s'");
    let stop = AtomicBool::new(false);
    let mut parts = Vec::new();
    let stopped = || stop.load(Relaxed);
    run(&plan, &plan.part(None), 2, stopped, |told| {
        match told {
            Told::Underway(part) => parts.push(part),
            Told::Done(row) => panic!("an hour is over: {row:?}"),
        }
        stop.store(parts.len() >= 8, Relaxed);
        Ok::<(), PointError>(())
    })
    .expect("nothing fails");
    // What is told is the sum of both.
    assert!(parts.len() >= 8 && parts.iter().all(|part| *part > 0.0 && *part < 1.0));
    assert!(parts.is_sorted(), "{parts:?}");
}

#[test]
fn every_row_says_where_it_was_measured() {
    let text = csv(all_rows(&plan(), 2));
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let header = reader.headers().expect("there is one").clone();
    let column = |name| header.iter().position(|one| one == name).expect(name);
    let row = reader.records().last().expect("rows").expect("well formed");
    for (name, value) in [
        ("grid", "g"),
        ("point", "11"),
        ("seed", "2"),
        ("repeat", "1"),
        ("lock", "bounded@wait=1ms"),
        ("policy", "bounded"),
        ("vcpus", "6"),
        ("slice_ns", "200000"),
    ] {
        assert_eq!(&row[column(name)], value, "{name}");
    }
}

#[test]
fn what_was_stopped_goes_on_and_gives_the_same() {
    let (plan, folder) = (plan(), tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("out.journal");
    assert_eq!(some(&plan, None, &path, 5), 5);
    // As a process that was killed while it wrote.
    let mut text = fs::read_to_string(&path).expect("there");
    text.truncate(text.len() - 40);
    fs::write(&path, &text).expect("writable");
    assert_eq!(
        some(&plan, None, &path, usize::MAX),
        12 - 4,
        "one was cut off"
    );
    assert_eq!(some(&plan, None, &path, usize::MAX), 0, "all are there");
    let contents = journal::read(&path).expect("whole");
    assert_eq!(
        csv(contents.rows),
        csv(all_rows(&plan, 1)),
        "through JSON and back"
    );
}

#[test]
fn a_journal_of_another_grid_is_not_thrown_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.journal");
    some(&plan(), None, &path, 2);
    let before = fs::read(&path).expect("there");
    let other = of(&GRID.replace("[1, 3]", "[1, 2]"));
    let head = Head::new(&other, None);
    let error = Journal::open(&path, &head, false).expect_err("another grid");
    assert!(
        error.to_string().contains("another grid, of 12 points"),
        "{error}"
    );
    assert!(error.to_string().contains("--restart"), "{error}");
    assert_eq!(fs::read(&path).expect("there"), before);
    let (_, rows) = Journal::open(&path, &head, true).expect("asked for");
    assert!(rows.is_empty());
}

#[test]
fn what_is_no_journal_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("thesis.txt");
    fs::write(&path, "my only copy").expect("writable");
    let error = Journal::open(&path, &Head::new(&plan(), None), false).expect_err("no journal");
    assert!(
        error.to_string().contains("is not a file of `pvq sweep`"),
        "{error}"
    );
    assert_eq!(fs::read_to_string(&path).expect("there"), "my only copy");
}

#[test]
fn a_damaged_row_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("out.journal");
    some(&plan(), None, &path, 3);
    let text = fs::read_to_string(&path).expect("there");
    fs::write(&path, text.replacen("\"point\":", "\"pint\":", 1)).expect("writable");
    let error = journal::read(&path).expect_err("damaged");
    assert!(error.to_string().contains("damaged in line 2"), "{error}");
}

fn shards(plan: &Plan, folder: &Path, of: usize) -> Vec<PathBuf> {
    (1..=of)
        .map(|index| {
            let path = folder.join(format!("part-{index}"));
            some(plan, Some(part(index, of)), &path, usize::MAX);
            path
        })
        .collect()
}

#[test]
fn shards_merge_to_what_one_run_gives() {
    let (plan, folder) = (plan(), tempfile::tempdir().expect("a folder"));
    let mut parts = shards(&plan, folder.path(), 5);
    parts.reverse();
    assert_eq!(
        csv(merge(&parts).expect("complete").rows),
        csv(all_rows(&plan, 2))
    );
}

#[test]
fn a_point_that_fails_keeps_none_of_the_others_from_running() {
    let (mut plan, folder) = (plan(), tempfile::tempdir().expect("a folder"));
    // No run is that fast.
    plan.points[3].config.run.stall_after_ns = Some(1);
    let parts = shards(&plan, folder.path(), 2);
    let merged = merge(&parts).expect("every point was tried");
    assert_eq!(merged.rows.len(), 11);
    let [(3, why)] = &merged.failed.iter().collect::<Vec<_>>()[..] else {
        panic!("{:?}", merged.failed);
    };
    assert!(why.starts_with(&plan.points[3].line()), "{why}");
    assert!(why.contains("no vCPU took the lock for"), "{why}");

    // It is tried again, and alone.
    assert_eq!(some(&plan, Some(part(2, 2)), &parts[1], usize::MAX), 1);
    plan.points[3].config.run.stall_after_ns = None;
    assert_eq!(some(&plan, Some(part(2, 2)), &parts[1], usize::MAX), 1);
    let merged = merge(&parts).expect("complete");
    assert!(merged.failed.is_empty(), "{:?}", merged.failed);
    assert_eq!(csv(merged.rows), csv(all_rows(&plan, 2)));
}

#[test]
fn what_does_not_fit_together_is_named() {
    let (plan, folder) = (plan(), tempfile::tempdir().expect("a folder"));
    let parts = shards(&plan, folder.path(), 4);
    let refused = |parts: &[PathBuf], reasons: &[&str]| {
        let error = merge(parts).expect_err(reasons[0]).to_string();
        for reason in reasons {
            assert!(error.contains(reason), "no {reason} in: {error}");
        }
    };
    refused(&parts[1..3], &["2 of 4 shards are missing: 1/4, 4/4"]);
    let twice = [&parts[..], &parts[..1]].concat();
    refused(&twice, &["part-1 are both shard 1/4"]);
    refused(&[], &["nothing to merge"]);

    let unfinished = folder.path().join("unfinished");
    some(&plan, Some(part(2, 4)), &unfinished, 1);
    let with = |path: &Path| [&parts[..1], &[path.to_owned()], &parts[2..]].concat();
    refused(
        &with(&unfinished),
        &["not finished", "(2/4: 1 of 3 points)"],
    );

    let others = folder.path().join("others");
    let other = of(&GRID.replace("200us", "300us"));
    some(&other, Some(part(2, 4)), &others, usize::MAX);
    refused(&with(&others), &["of different grids"]);

    let halves = folder.path().join("halves");
    some(&plan, Some(part(2, 2)), &halves, usize::MAX);
    refused(&with(&halves), &["one of 2 shards", "one of 4"]);
}

#[test]
fn what_a_head_cannot_say_is_refused_at_once() {
    let (plan, folder) = (plan(), tempfile::tempdir().expect("a folder"));
    let path = folder.path().join("part");
    some(&plan, Some(part(1, 1)), &path, usize::MAX);
    let good = fs::read_to_string(&path).expect("there");
    merge(std::slice::from_ref(&path)).expect("unchanged so far");
    for (from, to, reason) in [
        ("\"of\":1", "\"of\":0", "1/8 to 8/8"),
        ("\"index\":1", "\"index\":0", "1/1 to 1/1"),
        ("\"index\":1", "\"index\":2", "1/1 to 1/1"),
        // A list of so many would not fit into any memory,
        (
            "\"points\":12",
            "\"points\":1000000000000",
            "no grid has more than",
        ),
        // and to name so many takes longer than a user waits.
        (
            "\"of\":1",
            "\"of\":100000000000",
            "99999999999 of 100000000000 shards are missing",
        ),
        ("\"points\":12", "\"points\":5", "not its own"),
    ] {
        let bad = good.replacen(from, to, 1);
        assert_ne!(good, bad, "{from}");
        fs::write(&path, bad).expect("writable");
        let error = merge(std::slice::from_ref(&path)).expect_err(reason);
        let error = format!("{error:#}");
        assert!(error.contains(reason), "no {reason} in: {error}");
    }
}
