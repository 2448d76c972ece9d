//! `pvq simulate`: what it refuses, and that it says the same twice.

mod binary;

use std::fs;
use std::path::Path;
use std::process::Output;

use binary::pvq;

fn simulate(options: &[&str]) -> Output {
    pvq(
        Path::new("."),
        &[&["simulate", "--no-files"], options].concat(),
    )
}

#[test]
fn what_makes_no_sense_is_refused_before_anything_runs() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bad.toml");
    let good = include_str!("../../../lab/sweep/profiles/small.toml");
    fs::write(&file, good.replace("wake_ns", "wakeup_ns")).expect("it can be written");
    let typo = file.to_str().expect("a plain name");
    for (options, message) in [
        (
            &["--profile", "smal"][..],
            "did you mean 'small'? There are: flat, server-2x32, small",
        ),
        (&["--profile", typo], "did you mean `costs.wake_ns`?"),
        (
            &["--profile", "small", "--pcpus", "9"],
            "the topology has 8",
        ),
        (
            &["--vms", "3", "--overcommit", "1"],
            "--vms 3 does not divide 2 vCPUs",
        ),
        (&["--vms", "0"], "1 at least"),
        (&["--duration", "0"], "more than 0"),
        (&["--duration", "1ns"], "--duration 1 ns is too short"),
        (
            &["--min-loan", "3ms"],
            "(3 ms) must not be longer than half a slice (3 ms)",
        ),
        (&["--duration", "2h"], "a number and a unit"),
        (
            &["--pcpus", "64", "--vms", "500", "--overcommit", "1000"],
            "a simulation has at most 30000",
        ),
        (&["--torture", "0"], "a whole number from 1 to"),
        (&["--torture", "2", "--pcpus", "3"], "cannot be used with"),
        (
            &["--replay", "2", "--scheduling", "fair"],
            "cannot be used with",
        ),
        (&["--hypercall-cost", "5s"], "100 ms at most"),
        (&["--hypercall-cost", "1s"], "100 ms at most"),
        (
            &["--torture", "2", "--seed", "18446744073709551615"],
            "more than there are seeds",
        ),
    ] {
        let output = simulate(options);
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {text}");
        assert!(text.contains(message), "{options:?}: {text}");
        assert!(output.stdout.is_empty(), "{options:?}: nothing has run");
    }
}

#[test]
fn the_same_is_printed_twice() {
    for options in [
        &[
            "--profile",
            "small",
            "--vms",
            "2",
            "--overcommit",
            "1,4",
            "--lock",
            "fifo,test-and-set",
            "--duration",
            "5ms",
        ][..],
        &["--lock", "fifo-halt", "--torture", "200"],
        &["--lock", "bounded", "--replay", "7"],
    ] {
        let (one, two) = (simulate(options), simulate(options));
        assert!(one.status.success(), "{options:?}");
        assert!(
            !one.stdout.is_empty() && one.stdout == two.stdout,
            "{options:?}"
        );
    }
}

#[test]
fn how_fast_it_was_is_said_apart_from_what_came_out() {
    let output = simulate(&["--lock", "fifo", "--overcommit", "2", "--duration", "5ms"]);
    let [out, error] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(out.contains(" events; the same on every machine"), "{out}");
    assert!(
        !out.contains("events/s"),
        "a wall time among what is the same twice: {out}"
    );
    let figure = error
        .split_once(" events/s")
        .and_then(|(before, _)| before.rsplit_once(", "));
    let (_, figure) = figure.unwrap_or_else(|| panic!("no rate in {error:?}"));
    assert!(
        figure.starts_with(|digit: char| ('1'..='9').contains(&digit)),
        "{error:?}"
    );
}

#[test]
fn the_ideal_has_a_figure_in_every_workload() {
    for workload in ["hash-table", "lock2", "locktorture", "halted", "two-locks"] {
        let output = simulate(&[
            "--lock",
            "fifo,ideal",
            "--overcommit",
            "4",
            "--duration",
            "5ms",
            "--workload",
            workload,
        ]);
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{workload}: {output:?}");
        for lock in [" ideal ", " fifo * "] {
            assert!(out.contains(lock), "{workload}: {out}");
        }
    }
}

#[test]
fn a_run_that_fails_takes_no_other_runs_results_with_it() {
    // At eight vCPUs for each pCPU a turn takes longer than the watchdog waits.
    let output = simulate(&[
        "--lock",
        "fifo,bounded",
        "--overcommit",
        "8,1",
        "--duration",
        "5ms",
        "--watchdog",
        "5ms",
    ]);
    let [out, error] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(out.contains("overcommit 1 (2 vCPUs on 2 pCPUs)"), "{out}");
    for lock in [" fifo * ", " bounded * "] {
        assert!(out.contains(lock), "{out}");
    }
    assert!(out.contains("INCOMPLETE: 2 of 4 runs"), "{out}");
    assert!(error.contains("error: fifo on 16 vCPUs: "), "{error}");
}

#[test]
fn a_schedule_is_shown_in_words() {
    let output = simulate(&["--lock", "bounded", "--replay", "7"]);
    let out = String::from_utf8_lossy(&output.stdout);
    assert!(out.starts_with("seed      7\nlock      bounded\n"), "{out}");
    assert!(!out.contains("SimConfig"), "{out}");
}

#[test]
fn a_lock_beside_it_changes_no_row() {
    let over_bound = |locks: &str, workload: &str| -> f64 {
        let options = ["simulate", "--lock", locks, "--workload", workload];
        let more = ["--overcommit", "8", "--duration", "5ms", "--json", "-"];
        let output = pvq(Path::new("."), &[&options[..], &more].concat());
        let json: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let results = json["results"].as_array().expect("a list");
        let fifo = results.iter().find(|record| record["lock"] == "fifo");
        fifo.expect("it ran")["throughput_over_bound"]
            .as_f64()
            .expect("a number")
    };
    for workload in ["hot-lock", "nested-contexts", "two-lines"] {
        let alone = over_bound("fifo", workload);
        let beside = over_bound("fifo,fifo-halt,test-and-set", workload);
        assert!(
            (alone - beside).abs() < f64::EPSILON,
            "{workload}: {alone} alone, {beside} beside others"
        );
    }
}
