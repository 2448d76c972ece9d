//! Runs the real binary: `pvq threads`. Apart from the other tests, which would run beside its busy threads.

mod binary;

use std::fs;
use std::thread;
use std::time::Duration;

use binary::{kept, pvq, results, signal, started, stderr, stdout};

#[track_caller]
fn refused(options: &[&str], messages: &[&str]) {
    binary::refused(&[&["threads"], options].concat(), messages);
}

#[test]
fn what_cannot_be_is_refused() {
    refused(
        &["--lock", "parkinglot"],
        &["did you mean 'parking-lot'?", "mcs-barging-yield"],
    );
    // A lock of guests only.
    refused(&["--lock", "linux-pv"], &["no lock of that name"]);
    refused(&["--workload", "hotlock"], &["did you mean 'hot-lock'?"]);
    refused(&["--overcommit", "0"], &["1 gives every"]);
    refused(&["--overcommit", "10000"], &["2048 at most are possible"]);
    refused(&["--duration", "20"], &["too short"]);
    refused(&["--repeats", "99999999"], &[" h "]);
    refused(
        &["--inside", "1us,2us", "--outside", "1us,2us,3us"],
        &["pair up"],
    );
    refused(
        &["--json", "/no/such/folder/x.json"],
        &["there is no folder /no/such/folder"],
    );
    refused(
        &["--json", "x.json", "--no-files"],
        &["cannot be used with"],
    );
}

#[test]
fn a_short_run_writes_its_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = "threads --lock pvqspin,std --overcommit 1,2 --repeats 1 --duration 20ms";
    let options: Vec<&str> = options.split_whitespace().collect();
    let output = pvq(folder.path(), &options);
    let text = stdout(&output);
    assert!(output.status.success(), "{}\n{text}", stderr(&output));
    for expected in [
        "2 for each",
        "bounded *",
        "vs std",
        "A spinlock is not expected to win here",
        "written: results/threads-2",
    ] {
        assert!(text.contains(expected), "no '{expected}' in:\n{text}");
    }
    let json = results(&folder.path().join("results/threads-latest.json"));
    assert_eq!(json["schema"], 1);
    assert_eq!(json["driver"], "threads");
    assert_eq!(json["complete"], true);
    let records = json["results"].as_array().expect("an array");
    assert_eq!(records.len(), 12, "six locks at two overcommits");
    for record in records {
        assert_eq!(record["exclusion_violations"], 0, "{record}");
        assert_eq!(record["wait_ns"], record["call_ns"], "{record}");
        assert!(record["interruptions"].is_null(), "{record}");
    }
    let csv =
        fs::read_to_string(folder.path().join("results/threads-latest.csv")).expect("written");
    assert_eq!(csv.lines().count(), 13, "a header and a row for each");
}

#[test]
fn ctrl_c_keeps_what_is_finished() {
    let folder = tempfile::tempdir().expect("a folder");
    let options =
        "threads --lock std --overcommit 1 --duration 20ms --repeats 2000 --json kept.json";
    let options: Vec<&str> = options.split_whitespace().collect();
    let child = started(folder.path(), &options);
    thread::sleep(Duration::from_secs(2));
    signal(&child, libc::SIGINT);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(130), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("INCOMPLETE"),
        "{}",
        stdout(&output)
    );
    kept(&folder.path().join("kept.json"));
}
