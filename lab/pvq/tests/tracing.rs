//! `pvq trace`, `explain` and `watch` from outside: the file keeps the rules of its format, and bad
//! input is refused.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn pvq_in(folder: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pvq"))
        .args(options)
        .current_dir(folder)
        .env("LC_ALL", "C")
        .output()
        .expect("pvq starts")
}

fn pvq(options: &[&str]) -> Output {
    let folder = tempfile::tempdir().expect("a folder");
    pvq_in(folder.path(), options)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Whole nanoseconds of a time in µs.
fn ns(value: &Value) -> u64 {
    (value.as_f64().expect("a number") * 1e3).round() as u64
}

fn track(event: &Value) -> (u64, u64) {
    let number = |name: &str| event[name].as_u64().expect("a number");
    (number("pid"), number("tid"))
}

/// Checks every rule of the Trace Event Format that a reader relies on. Returns how many events there
/// are of each phase.
fn check(json: &Value) -> HashMap<String, usize> {
    let events = json["traceEvents"].as_array().expect("a list of events");
    let mut phases: HashMap<String, usize> = HashMap::new();
    let mut slices: HashMap<(u64, u64), Vec<(u64, u64)>> = HashMap::new();
    let mut names: HashMap<&str, HashSet<(u64, u64)>> = HashMap::new();
    let mut ends: HashMap<u64, Vec<&Value>> = HashMap::new();
    let mut counters: HashMap<(u64, &str), u64> = HashMap::new();
    for event in events {
        let phase = event["ph"].as_str().expect("a phase");
        *phases.entry(phase.to_owned()).or_default() += 1;
        let name = event["name"].as_str().expect("a name");
        assert!(!name.is_empty(), "{event}");
        match phase {
            "M" => {
                names.entry(name).or_default().insert(track(event));
            }
            "X" => {
                let from = ns(&event["ts"]);
                // Written half a nanosecond short.
                let length = (event["dur"].as_f64().expect("a number") * 1e3).ceil() as u64;
                assert!(length > 0, "{event}");
                slices
                    .entry(track(event))
                    .or_default()
                    .push((from, from + length));
            }
            "s" | "f" => {
                let id = event["id"].as_u64().expect("a flow has a number");
                ends.entry(id).or_default().push(event);
            }
            "i" => assert_eq!(event["s"], "t", "{event}"),
            "C" => {
                let pid = event["pid"].as_u64().expect("a number");
                let at = ns(&event["ts"]);
                let before = counters.insert((pid, name), at);
                assert!(before.is_none_or(|before| before < at), "{event}");
                let values = event["args"].as_object().expect("values");
                assert!(values.values().all(Value::is_number), "{event}");
            }
            other => panic!("an unknown phase: {other}"),
        }
    }
    for (track, slices) in &slices {
        // In order, and one over before the next begins: balanced however a reader nests them.
        let apart = slices.windows(2).all(|two| two[0].1 <= two[1].0);
        assert!(apart, "slices of {track:?} overlap");
        assert!(
            names["thread_name"].contains(track),
            "{track:?} has no name"
        );
        let process = |named: &(u64, u64)| named.0 == track.0;
        assert!(
            names["process_name"].iter().any(process),
            "{track:?} is in no process"
        );
    }
    for (id, ends) in &ends {
        let [start, finish] = ends.as_slice() else {
            panic!("arrow {id} has not two ends: {ends:?}");
        };
        assert_eq!(
            (&start["ph"], &finish["ph"]),
            (&"s".into(), &"f".into()),
            "{ends:?}"
        );
        assert_eq!(
            (&start["name"], &start["cat"]),
            (&finish["name"], &finish["cat"])
        );
        assert_eq!(finish["bp"], "e");
        assert!(ns(&start["ts"]) <= ns(&finish["ts"]), "{ends:?}");
        for end in ends {
            let at = ns(&end["ts"]);
            let around = |&(from, to): &(u64, u64)| (from..to).contains(&at);
            assert!(
                slices[&track(end)].iter().any(around),
                "no slice around {end}"
            );
        }
    }
    phases
}

#[test]
fn the_file_keeps_the_rules_of_its_format() {
    let folder = tempfile::tempdir().expect("a folder");
    for (lock, arrows) in [
        ("fifo", "yield to"),
        ("fifo-halt", "kick"),
        ("test-and-set", ""),
    ] {
        let output = pvq_in(
            folder.path(),
            &[
                "trace",
                "--driver",
                "simulator",
                "--lock",
                lock,
                "--duration",
                "5ms",
                "--neighbour",
            ],
        );
        assert!(output.status.success(), "{lock}: {}", text(&output.stderr));
        assert!(text(&output.stdout).contains("ui.perfetto.dev"), "{lock}");
        let file = fs::read(folder.path().join("results/trace.json")).expect("written");
        let json: Value = serde_json::from_slice(&file).expect("JSON");
        let phases = check(&json);
        let of = |phase| phases.get(phase).copied().unwrap_or(0);
        assert!(of("X") > 1_000 && of("C") > 100, "{lock}: {phases:?}");
        let events = json["traceEvents"].as_array().expect("checked");
        let flies = |event: &Value| event["ph"] == "s" && event["name"] == arrows;
        assert_eq!(
            events.iter().any(flies),
            !arrows.is_empty(),
            "{lock}: {phases:?}"
        );
        assert_eq!(json["otherData"]["events_dropped"], 0);
    }
}

#[test]
fn what_does_not_fit_is_dropped_and_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = "trace --driver simulator --duration 5ms --keep 2000 --out short.json";
    let options: Vec<&str> = options.split_whitespace().collect();
    let output = pvq_in(folder.path(), &options);
    assert!(
        text(&output.stdout).contains("events were dropped"),
        "{}",
        text(&output.stdout)
    );
    let file = fs::read(folder.path().join("short.json")).expect("written");
    let json: Value = serde_json::from_slice(&file).expect("JSON");
    assert!(
        json["otherData"]["events_dropped"]
            .as_u64()
            .is_some_and(|dropped| dropped > 0)
    );
    check(&json);
}

#[test]
fn the_last_event_is_told_in_any_width_and_in_ascii() {
    let output = pvq(&[
        "trace",
        "--driver",
        "simulator",
        "--lock",
        "native-queued",
        "--ascii",
        "--width",
        "72",
    ]);
    let text = text(&output.stdout);
    assert!(output.status.success(), "{text}");
    let (_, strip) = text.split_once("such events:").expect("there are some");
    assert!(strip.is_ascii(), "{strip}");
    for part in ["# holds", "Cost: for", "nobody had asked for it"] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn explain_goes_through_without_a_terminal() {
    let output = pvq(&["explain", "holder", "--step"]);
    let text = text(&output.stdout);
    assert!(output.status.success(), "{text}");
    for part in [
        "sole holder (idx 3)",
        "YIELD_TO(cpu",
        "Cost: for",
        "native-queued",
    ] {
        assert!(text.contains(part), "no {part} in\n{text}");
    }
}

#[test]
fn bad_input_is_refused_before_anything_runs() {
    for (options, expected) in [
        (&["trace", "--driver", "kvm"][..], "hypervisor, simulator"),
        (
            &["trace", "--out", "/no/such/folder/t.json"],
            "there is no folder",
        ),
        (&["trace", "--keep", "0"], "1 at least"),
        (&["trace", "--ascii", "--all"], "cannot be used with"),
        (&["trace", "--width", "80"], "--ascii"),
        (
            &["trace", "--picture", "/no/such/event.svg"],
            "there is no folder",
        ),
        (&["explain", "holder", "--lock", "ticket"], "native-queued"),
        (&["explain", "nobody"], "holder, waiter"),
        (&["watch", "--lock", "fofo"], "did you mean 'fifo'?"),
    ] {
        let output = pvq(options);
        let error = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{options:?}: {error}");
        assert!(
            error.contains(expected),
            "{options:?} does not say {expected}: {error}"
        );
        assert!(output.stdout.is_empty(), "{options:?}");
    }
}
