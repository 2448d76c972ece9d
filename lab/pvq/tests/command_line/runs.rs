//! Short runs, whole and interrupted.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command};
use std::thread;
use std::time::{Duration, Instant};

use crate::binary::{self, kept, results, signal, started, stderr, stdout};
use crate::{can_run, pvq};

/// Starts a comparison, and waits until its first run begins.
fn running(folder: &Path, options: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut child = started(folder, options);
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    // The line of the plan is the last one before that.
    let mut head = String::new();
    while !head.contains("plan ") {
        assert!(out.read_line(&mut head).expect("text") > 0, "{head}");
    }
    (child, out)
}

#[test]
fn without_timers_nothing_runs() {
    if !can_run("without_timers_nothing_runs") {
        return;
    }
    // Every timer needs a queued signal, and the limit says that there are none.
    let line = format!(
        "ulimit -i 0 && exec {} --no-files --quick --duration 5ms",
        env!("CARGO_BIN_EXE_pvq")
    );
    let output = Command::new("bash")
        .args(["-c", &line])
        .output()
        .expect("bash starts");
    let text = stderr(&output);
    if text.contains("ulimit") {
        eprintln!("skipped: this system does not let the limit be lowered: {text}");
        return;
    }
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("cannot run here"), "{text}");
    assert_eq!(stdout(&output), "", "something ran");
}

#[test]
fn a_short_comparison_runs_and_writes_its_files() {
    if !can_run("a_short_comparison_runs_and_writes_its_files") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let options = "--lock fifo,test-and-set --overcommit 2 --repeats 1 --duration 200ms --targets";
    let options: Vec<&str> = options.split_whitespace().collect();
    let output = binary::pvq(folder.path(), &options);
    let text = stdout(&output);
    assert!(output.status.success(), "{}\n{text}", stderr(&output));
    for expected in [
        "overcommit 2",
        "fifo *",
        "test-and-set",
        "targets",
        "written: results/",
    ] {
        assert!(text.contains(expected), "no '{expected}' in:\n{text}");
    }

    let json = results(&folder.path().join("results/compare-latest.json"));
    assert_eq!(json["schema"], 1);
    assert_eq!(json["complete"], true);
    assert_eq!(json["driver"], "hypervisor");
    let records = json["results"].as_array().expect("an array");
    assert_eq!(records.len(), 4, "two locks at two section lengths");
    for record in records {
        assert!(
            record["acquisitions"].as_u64().expect("a count") > 0,
            "{record}"
        );
        assert_eq!(record["exclusion_violations"], 0, "{record}");
    }

    let csv =
        fs::read_to_string(folder.path().join("results/compare-latest.csv")).expect("written");
    assert_eq!(csv.lines().count(), 5, "a header and a row for each");
    let page =
        fs::read_to_string(folder.path().join("results/compare-latest.html")).expect("written");
    assert!(page.contains("<svg") && page.ends_with("</html>"));
    let charts =
        fs::read_dir(folder.path().join("results/compare-latest-charts")).expect("written");
    // Throughput, longest wait, both, waits, vCPUs and perhaps hypercalls, of two sections, twice.
    assert!(charts.count() >= 20);
}

#[test]
fn a_trace_shows_the_run() {
    if !can_run("a_trace_shows_the_run") {
        return;
    }
    let output = pvq(&[
        "trace",
        "--lock",
        "fifo",
        "--overcommit",
        "2",
        "--duration",
        "20ms",
    ]);
    let text = stdout(&output);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(
        text.contains("acquisitions in") && text.contains("longest"),
        "{text}"
    );
}

#[test]
fn ctrl_c_keeps_what_is_finished() {
    if !can_run("ctrl_c_keeps_what_is_finished") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    // Long enough not to be over before the signal comes, however fast the machine is.
    let options = "--lock fifo --overcommit 1 --duration 50ms --repeats 2000 --json kept.json";
    let options: Vec<&str> = options.split_whitespace().collect();
    let (mut child, mut out) = running(folder.path(), &options);
    thread::sleep(Duration::from_secs(2));
    signal(&child, libc::SIGINT);
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(rest.contains("INCOMPLETE"), "{rest}");

    let kept = kept(&folder.path().join("kept.json"));
    assert!(kept < 4_000, "{kept} results");
}

#[test]
fn a_run_that_was_stopped_is_made_again_and_loses_no_wakeup() {
    if !can_run("a_run_that_was_stopped_is_made_again_and_loses_no_wakeup") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let options = "--lock linux-pv --overcommit 4 --inside 1us --outside 2us --duration 2s --repeats 1 \
                   --no-page --json stopped.json";
    let options: Vec<&str> = options.split_whitespace().collect();
    let (child, mut out) = running(folder.path(), &options);
    thread::sleep(Duration::from_millis(700));
    let stopped = Duration::from_millis(1_500);
    for (number, time) in [(libc::SIGSTOP, stopped), (libc::SIGCONT, Duration::ZERO)] {
        signal(&child, number);
        thread::sleep(time);
    }
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}{rest}", stderr(&output));
    assert!(!rest.contains("BUG"), "{rest}");
    assert!(rest.contains("REPEATED"), "{rest}");
    let json = results(&folder.path().join("stopped.json"));
    let record = &json["results"][0];
    assert!(record["discarded"].as_u64() >= Some(1), "{record}");
}

#[test]
fn a_run_of_an_hour_in_virtual_time_tells_how_far_it_is_and_is_cut() {
    let folder = tempfile::tempdir().expect("a folder");
    let hour = "[[grid]]\nname = 'g'\nlocks = 'fifo'\nvcpus = 4\nduration = '3600s'";
    fs::write(folder.path().join("hour.toml"), hour).expect("writable");
    let mut runs = [
        "simulate --lock fifo --overcommit 2 --duration 3600s",
        "sweep hour.toml",
    ]
    .map(|line| {
        let options: Vec<&str> = line.split_whitespace().collect();
        started(folder.path(), &options)
    });
    for child in &mut runs {
        let mut progress = BufReader::new(child.stderr.take().expect("piped"));
        let mut text = String::new();
        while !text.contains("0 of 1 runs, ") {
            assert!(progress.read_line(&mut text).expect("text") > 0, "{text}");
        }
        assert!(text.contains(" left: "), "{text}");
        signal(child, libc::SIGINT);
        // Far from how long it takes, and far from an hour.
        let limit = Instant::now() + Duration::from_secs(120);
        let status = loop {
            match child.try_wait().expect("our child") {
                Some(status) => break status,
                None if Instant::now() > limit => {
                    child.kill().expect("our child");
                    panic!("it goes on: {text}");
                }
                None => thread::sleep(Duration::from_millis(50)),
            }
        };
        assert_eq!(status.code(), Some(130), "{text}");
        let mut said = String::new();
        progress.read_to_string(&mut text).expect("text");
        let out = child.stdout.as_mut().expect("piped");
        out.read_to_string(&mut said).expect("text");
        let is_cut = text.contains("fifo was cut after ") || said.contains("0 of 1 points are");
        assert!(is_cut, "{text}{said}");
    }
    assert!(!folder.path().join("results/simulate-latest.json").exists());
}

#[test]
fn a_terminal_that_hangs_up_keeps_what_is_finished() {
    let folder = tempfile::tempdir().expect("a folder");
    // Points are finished when a line of progress counts them. The others would take minutes.
    let points: Vec<String> = (2..200).map(|vcpus| vcpus.to_string()).collect();
    let points = points.join(",");
    let options = "simulate --lock fifo --duration 500ms --no-page --json kept.json --overcommit";
    let options: Vec<&str> = options.split_whitespace().chain([&*points]).collect();
    let mut child = started(folder.path(), &options);
    let mut progress = BufReader::new(child.stderr.take().expect("piped"));
    let mut text = String::new();
    while !text.contains(" of 198 runs") {
        assert!(progress.read_line(&mut text).expect("text") > 0, "{text}");
    }
    signal(&child, libc::SIGHUP);
    progress.read_to_string(&mut text).expect("text");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{text}");
    kept(&folder.path().join("kept.json"));
}
