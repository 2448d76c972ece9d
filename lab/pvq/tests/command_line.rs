//! Runs the real binary: help, bad input, and a short comparison.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Output, Stdio};
use std::thread;
use std::time::Duration;

fn pvq(options: &[&str]) -> Output {
    // Not where the sources are: some commands leave results where they run.
    pvq_in(Path::new(env!("CARGO_TARGET_TMPDIR")), options)
}

fn pvq_in(folder: &Path, options: &[&str]) -> Output {
    command(folder, options)
        .output()
        .expect("the binary starts")
}

fn command(folder: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pvq"));
    command
        .args(options)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether guests can run here. Says so if not: a test that did nothing should be seen to.
fn can_run(test: &str) -> bool {
    let doctor = pvq(&["doctor"]);
    let can = doctor.status.success();
    if !can {
        eprintln!(
            "skipped: {test}: the embedded hypervisor cannot run here\n{}",
            stdout(&doctor)
        );
    }
    can
}

/// Exit code 2, the message, and nothing on standard output: nothing has run.
#[track_caller]
fn refused(options: &[&str], messages: &[&str]) {
    let output = pvq(options);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{options:?}: {text}");
    for message in messages {
        assert!(
            text.contains(message),
            "{options:?}: no '{message}' in: {text}"
        );
    }
    assert_eq!(stdout(&output), "", "{options:?} ran something");
}

/// Starts a comparison, and waits until its first run begins.
fn running(folder: &Path, options: &[&str]) -> (Child, BufReader<ChildStdout>) {
    let mut child = command(folder, options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut out = BufReader::new(child.stdout.take().expect("piped"));
    // The line of the plan is the last one before that.
    let mut head = String::new();
    while !head.contains("plan ") {
        assert!(out.read_line(&mut head).expect("text") > 0, "{head}");
    }
    (child, out)
}

#[test]
fn help_has_examples() {
    for (options, expected) in [
        (&["--help"][..], "pvq compare --quick"),
        (&["compare", "--help"], "--distribution exponential"),
        (&["trace", "--help"], "pvq trace --lock test-and-set"),
        (&["threads", "--help"], "pvq threads --quick --no-files"),
        (&["help", "doctor"], "what this machine can"),
    ] {
        let output = pvq(options);
        assert!(output.status.success(), "{options:?}");
        assert!(
            stdout(&output).contains(expected),
            "{options:?}: {}",
            stdout(&output)
        );
    }
}

#[test]
fn list_names_what_options_take() {
    let output = pvq(&["list"]);
    assert!(output.status.success());
    for name in [
        "fifo",
        "unfair-hinted",
        "idx3",
        "co-scheduled",
        "contract",
        "hot-lock",
        "parking-lot-fair",
    ] {
        assert!(stdout(&output).contains(name), "{name} is not listed");
    }
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = command(Path::new(env!("CARGO_TARGET_TMPDIR")), &["list"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn unknown_names_get_a_suggestion_and_the_list() {
    refused(
        &["compare", "--lock", "test_and_set"],
        &[
            "did you mean 'test-and-set'?",
            "unfair-hinted",
            "native-queued",
        ],
    );
    refused(&["--workload", "hotlock"], &["did you mean 'hot-lock'?"]);
    refused(
        &["simulate", "--workload", "hash-tabel"],
        &["did you mean 'hash-table'?", "kernel-build"],
    );
    refused(
        &["simulate", "--neighbour", "bussy"],
        &["did you mean 'busy'?", "halted"],
    );
    refused(
        &["--scheduling", "robin"],
        &["There are: round-robin, fair, credit, co-scheduled"],
    );
    refused(&["--yields", "contrct"], &["did you mean 'contract'?"]);
    refused(
        &["--distribution", "normal"],
        &["fixed, uniform, exponential"],
    );
    refused(&["trace", "--lock", "fofo"], &["did you mean 'fifo'?"]);
    refused(&["comparre"], &["compare"]);
}

#[test]
fn a_workload_brings_its_lengths_and_its_unit() {
    let output = pvq(&[
        "simulate",
        "--workload",
        "leveldb",
        "--lock",
        "fifo",
        "--overcommit",
        "2",
        "--duration",
        "5ms",
        "--neighbour",
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let text = stdout(&output);
    for part in [
        "leveldb, overcommit 2",
        "inside 80 ns",
        "gets/s",
        "neighbour",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn impossible_numbers_of_cpus_are_refused() {
    refused(&["--overcommit", "0"], &["zero vCPUs"]);
    refused(&["--overcommit", "-1"], &["a number above 0"]);
    refused(
        &["--overcommit", "100000", "--pcpus", "1"],
        &["a lock word names 16382 at most"],
    );
    refused(
        &["trace", "--overcommit", "100000", "--pcpus", "1"],
        &["16382 at most"],
    );
    refused(&["--pcpus", "0"], &["1 at least"]);
    refused(&["--pcpus", "100000"], &["this process may use"]);
    refused(
        &["--overcommit", "1.25", "--pcpus", "1"],
        &["they come whole"],
    );
}

#[test]
fn impossible_times_are_refused() {
    refused(&["--duration", "0"], &["more than 0"]);
    refused(&["--duration", "20"], &["too short", "20ms"]);
    refused(&["--slice", "0ms"], &["more than 0"]);
    refused(
        &["--slice", "99999999999999999999s"],
        &["longer than an hour"],
    );
    refused(&["--inside", "5s"], &["4 s at most"]);
    refused(&["--inside", "0"], &["more than 0"]);
    refused(
        &["--inside", "1us,2us", "--outside", "1us,2us,3us"],
        &["pair up"],
    );
    refused(&["--watchdog", "soon"], &["a number and a unit"]);
    refused(&["--repeats", "0"], &["1 at least"]);
    refused(&["--repeats", "99999999"], &[" h "]);
}

#[test]
fn unwritable_output_is_refused_before_anything_runs() {
    refused(
        &["--json", "/no/such/folder/x.json"],
        &["there is no folder /no/such/folder"],
    );
    refused(&["--csv", "/"], &["it is a folder"]);
    refused(&["--json", "/proc/x.json"], &["cannot write /proc/x.json"]);
    refused(
        &["--json", "x.json", "--no-files"],
        &["cannot be used with"],
    );
}

#[test]
fn contradictions_are_refused() {
    refused(&["--quick", "--full"], &["cannot be used with"]);
    refused(&["--no-such-option"], &["--no-such-option"]);
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
    let output = pvq_in(folder.path(), &options);
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

    let json =
        fs::read_to_string(folder.path().join("results/compare-latest.json")).expect("written");
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json["schema"], 1);
    assert_eq!(json["complete"], true);
    assert_eq!(json["driver"], "hypervisor");
    let results = json["results"].as_array().expect("an array");
    assert_eq!(results.len(), 4, "two locks at two section lengths");
    for record in results {
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
    let pid = i32::try_from(child.id()).expect("a process id");
    // SAFETY: a plain system call; the process is our child and was not waited for yet.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    let status = child.wait().expect("it ends");
    assert_eq!(status.code(), Some(130), "{rest}");
    assert!(rest.contains("INCOMPLETE"), "{rest}");

    let json = fs::read_to_string(folder.path().join("kept.json")).expect("written");
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json["complete"], false);
    let kept = json["results"].as_array().expect("an array").len();
    assert!((1..4_000).contains(&kept), "{kept} results");
}

#[test]
fn a_file_that_is_no_guest_image_is_refused() {
    // Where there is no KVM at all, that is said first.
    let no_image = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let output = pvq(&["kvm", "--image", no_image, "--no-files"]);
    let text = stderr(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    let reasons = ["is no guest image", "/dev/kvm"];
    assert!(reasons.iter().any(|reason| text.contains(reason)), "{text}");
    refused(&["kvm", "--cpl", "1"], &["possible values: 0, 3"]);
    refused(&["kvm", "--pcpus", "100000"], &["this process may use"]);
}

#[test]
fn a_process_that_is_stopped_has_no_long_waits_and_loses_no_wakeup() {
    if !can_run("a_process_that_is_stopped_has_no_long_waits_and_loses_no_wakeup") {
        return;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let options = "--lock linux-pv --overcommit 4 --inside 1us --outside 2us --duration 2s --repeats 1 \
                   --no-page --json stopped.json";
    let options: Vec<&str> = options.split_whitespace().collect();
    let (child, mut out) = running(folder.path(), &options);
    thread::sleep(Duration::from_millis(700));
    let pid = i32::try_from(child.id()).expect("a process id");
    let stopped = Duration::from_millis(1_500);
    for (signal, time) in [(libc::SIGSTOP, stopped), (libc::SIGCONT, Duration::ZERO)] {
        // SAFETY: a plain system call; the process is our child and was not waited for yet.
        assert_eq!(unsafe { libc::kill(pid, signal) }, 0);
        thread::sleep(time);
    }
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}{rest}", stderr(&output));
    assert!(!rest.contains("BUG"), "{rest}");
    assert!(rest.contains("REPEATED"), "{rest}");
    let json = fs::read_to_string(folder.path().join("stopped.json")).expect("written");
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let record = &json["results"][0];
    assert!(record["discarded"].as_u64() >= Some(1), "{record}");
    // A busy machine may make it stand still again; then it says so.
    let judged = record["paused_ns"] == 0 && record["interrupted_ns"].as_u64() < Some(20_000_000);
    let longest = record["wait_ns"]["max"].as_u64().expect("a time");
    assert!(!judged || longest < 1_400_000_000, "{record}");
}

#[test]
fn a_terminal_that_hangs_up_keeps_what_is_finished() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = "simulate --overcommit 2,4,8,16,32,64 --duration 50ms --no-page --json kept.json";
    let options: Vec<&str> = options.split_whitespace().collect();
    let child = command(folder.path(), &options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    thread::sleep(Duration::from_secs(2));
    let pid = i32::try_from(child.id()).expect("a process id");
    // SAFETY: a plain system call; the process is our child and was not waited for yet.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGHUP) }, 0);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    let json = fs::read_to_string(folder.path().join("kept.json")).expect("written");
    let json: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    assert_eq!(json["complete"], false);
    assert!(!json["results"].as_array().expect("an array").is_empty());
}

#[test]
fn old_names_of_commands_answer_with_the_new_ones() {
    refused(&["merge", "a.csv", "b"], &["`pvq sweep --merge OUT FILES`"]);
    refused(&["watch", "--quick"], &["`pvq compare --watch`"]);
    refused(&["study"], &["`cargo xtask study`"]);
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let bash = pvq(&["completions", "bash"]);
    assert!(bash.status.success());
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().to_str().expect("text");
    let pages = pvq(&["man", "--into", into]);
    assert!(pages.status.success(), "{}", stderr(&pages));
    for command in ["compare", "trace", "simulate", "sweep", "report", "doctor"] {
        assert!(
            stdout(&bash).contains(command),
            "no completion of {command}"
        );
        let page = folder.path().join(format!("pvq-{command}.1"));
        assert!(page.is_file(), "no {}", page.display());
    }
    let man = pvq(&["man"]);
    assert!(stdout(&man).starts_with(".ie"), "{}", stdout(&man));
    refused(
        &["man", "--into", "/no/such/folder"],
        &["cannot write manual pages"],
    );
}
