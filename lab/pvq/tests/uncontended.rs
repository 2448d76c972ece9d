//! `pvq uncontended`: its figures as JSON, and what an interruption leaves.

mod binary;

use std::fs;
use std::thread;
use std::time::Duration;

use binary::{done, names, pvq, started};
use pvqspin_real_time::skipped::skipped;
use serde_json::Value;

const SHORT: [&str; 7] = [
    "uncontended",
    "--gap",
    "0,10",
    "--rounds",
    "3",
    "--pairs",
    "100",
];

#[test]
fn the_figures_are_written_and_named_as_the_guide_has_them() {
    let folder = tempfile::tempdir().expect("a folder");
    done(folder.path(), &[&SHORT[..], &["--json", "a.json"]].concat());
    assert_eq!(names(folder.path()), ["a.json"]);
    let text = fs::read_to_string(folder.path().join("a.json")).expect("written");
    let report: Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["schema"], 1);
    assert_eq!(report["driver"], "uncontended");
    assert_eq!(report["complete"], true);
    let results = report["results"].as_array().expect("an array");
    let native = |gap: u64| {
        let mut rows = results.iter();
        rows.find(|row| row["lock"] == "native-queued" && row["gap"] == gap)
            .expect("it takes part")
    };
    assert_eq!(native(0)["to_native"], 1.0);
    assert_eq!(native(10)["rounds"], 3);
    let guide = include_str!("../../../docs/results.md");
    for name in native(0).as_object().expect("an object").keys() {
        assert!(
            guide.contains(&format!("`{name}`")),
            "{name} is not in docs/results.md"
        );
    }
    // It is no comparison, and says so.
    let report = pvq(folder.path(), &["report", "a.json"]);
    assert_eq!(report.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&report.stderr).contains("`pvq uncontended` wrote it"));
}

#[test]
fn json_alone_goes_to_standard_output() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = pvq(folder.path(), &[&SHORT[..], &["--json", "-"]].concat());
    let report: Value = serde_json::from_slice(&output.stdout).expect("JSON and nothing else");
    assert_eq!(report["planned"], 6);
    assert!(String::from_utf8_lossy(&output.stderr).contains("native-queued"));
    assert!(names(folder.path()).is_empty());
}

#[test]
fn what_was_finished_is_kept_when_the_terminal_hangs_up() {
    for (signal, what) in [(libc::SIGHUP, "SIGHUP"), (libc::SIGINT, "SIGINT")] {
        let folder = tempfile::tempdir().expect("a folder");
        let line = "uncontended --gap 0 --rounds 1000000 --json a.json";
        let child = started(folder.path(), &line.split(' ').collect::<Vec<_>>());
        thread::sleep(Duration::from_secs(3));
        binary::signal(&child, signal);
        let output = child.wait_with_output().expect("it ends");
        assert_eq!(output.status.code(), Some(130), "{what}: {output:?}");
        let out = String::from_utf8_lossy(&output.stdout);
        assert!(out.contains("INCOMPLETE: "), "{what}: {out}");
        let text = fs::read_to_string(folder.path().join("a.json")).expect("written");
        let report: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(report["complete"], false, "{what}");
        assert!(report["results"][0]["rounds"].as_u64() > Some(0), "{what}");
    }
}

#[test]
fn calibrate_writes_nothing_when_it_is_interrupted() {
    let folder = tempfile::tempdir().expect("a folder");
    let line = "calibrate --repeats 100000 --out a.toml";
    let child = started(folder.path(), &line.split(' ').collect::<Vec<_>>());
    thread::sleep(Duration::from_secs(3));
    binary::signal(&child, libc::SIGHUP);
    let output = child.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    if error.contains("cannot run here") {
        skipped("hypervisor", &error);
        return;
    }
    assert_eq!(output.status.code(), Some(130), "{error}");
    assert!(names(folder.path()).is_empty());
}
