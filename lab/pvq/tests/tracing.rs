//! `pvq trace`, `explain` and `watch` from outside: the file keeps the rules of its format, and bad
//! input is refused.

mod binary;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::process::Output;

use pvqspin_timeline::perfetto;
use pvqspin_timeline::wire::{Kind, Name};

fn pvq_in(folder: &Path, options: &[&str]) -> Output {
    binary::command(folder, options)
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

/// What a file holds, checked as a viewer reads it: every rule that it relies on.
#[derive(Default)]
struct Seen {
    slices: usize,
    counters: usize,
    /// The names of events from which an arrow leaves.
    arrows: HashSet<String>,
    tracks: HashSet<String>,
    dropped: u64,
}

fn check(bytes: &[u8]) -> Seen {
    let mut seen = Seen::default();
    let mut names: HashMap<u64, String> = HashMap::new();
    let mut notes: HashMap<u64, String> = HashMap::new();
    let mut tracks: HashMap<u64, bool> = HashMap::new();
    // The end of the last slice of a track, and whether one is open.
    let mut last: HashMap<u64, (u64, bool)> = HashMap::new();
    let mut flows: HashMap<u64, Vec<(u64, bool)>> = HashMap::new();
    let packets = perfetto::read(bytes).expect("a file of ours");
    for (i, packet) in packets.iter().enumerate() {
        assert_eq!(packet.flags, Some(if i == 0 { 1 } else { 2 }), "{packet:?}");
        if let Some(interned) = &packet.interned {
            let told = |names: &[Name], into: &mut HashMap<u64, String>| {
                for name in names {
                    let number = name.number.expect("a number");
                    into.insert(number, name.name.clone().expect("a name"));
                }
            };
            told(&interned.events, &mut names);
            told(&interned.notes, &mut notes);
        }
        if let Some(track) = &packet.track {
            let uuid = track.uuid.expect("a number");
            let parent = track
                .parent
                .is_none_or(|parent| tracks.contains_key(&parent));
            assert!(parent, "its parent comes later: {track:?}");
            assert_eq!(
                tracks.insert(uuid, track.counter.is_some()),
                None,
                "twice: {track:?}"
            );
            seen.tracks.extend(track.name.clone());
        }
        let Some(event) = &packet.event else { continue };
        let (at, track) = (
            packet.timestamp.expect("a time"),
            event.track.expect("a track"),
        );
        assert!(tracks.contains_key(&track), "no such track: {event:?}");
        let name = event.name.map(|name| names[&name].clone());
        for note in &event.notes {
            let said = &notes[&note.name.expect("a name")];
            if said == "events_dropped" {
                seen.dropped = note.number.expect("a number");
            }
        }
        let (before, open) = last.get(&track).copied().unwrap_or_default();
        match event.kind() {
            Kind::Begin => {
                assert!(!open && before <= at && name.is_some(), "{event:?}");
                last.insert(track, (at, true));
                seen.slices += 1;
            }
            Kind::End => {
                assert!(open && before <= at, "{event:?}");
                last.insert(track, (at, false));
            }
            Kind::Counter => {
                assert!(
                    tracks[&track] && event.value.is_some() && before <= at,
                    "{event:?}"
                );
                last.insert(track, (at, false));
                seen.counters += 1;
            }
            Kind::Instant => assert!(name.is_some(), "{event:?}"),
            Kind::Unspecified => panic!("an event of no kind: {event:?}"),
        }
        for flow in &event.flows {
            flows.entry(*flow).or_default().push((at, false));
            seen.arrows.extend(name.clone());
        }
        for flow in &event.flow_ends {
            flows.entry(*flow).or_default().push((at, true));
        }
    }
    assert!(last.values().all(|(_, open)| !open), "a slice does not end");
    for (flow, ends) in &flows {
        let [(from, false), (to, true)] = ends.as_slice() else {
            panic!("arrow {flow} has not two ends: {ends:?}");
        };
        assert!(from <= to, "arrow {flow} goes back in time");
    }
    seen
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
        let said = text(&output.stdout);
        assert!(said.contains("ui.perfetto.dev"), "{lock}");
        let file = fs::read(folder.path().join("results/trace-latest.pftrace")).expect("written");
        let seen = check(&file);
        assert!(
            seen.slices > 1_000 && seen.counters > 100,
            "{lock}: {}",
            seen.slices
        );
        let arrow = seen.arrows.contains(arrows);
        assert_eq!(arrow, !arrows.is_empty(), "{lock}: {:?}", seen.arrows);
        assert_eq!(seen.dropped, 0);
        // A vCPU has one name, in the text and in the file.
        let (_, wait) = said
            .split_once("The longest wait in the trace: ")
            .expect("it is told");
        let (name, _) = wait.split_once(',').expect("a name and a time");
        assert!(seen.tracks.contains(name), "{name}: {:?}", seen.tracks);
        // A tenth of what one slice takes as JSON, some 130 bytes.
        let most = 13 * seen.slices;
        assert!(
            file.len() < most,
            "{lock}: {} bytes, {} slices",
            file.len(),
            seen.slices
        );
    }
}

#[test]
fn what_does_not_fit_is_dropped_and_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let options = "trace --driver simulator --duration 5ms --keep 2000 --out short.pftrace";
    let options: Vec<&str> = options.split_whitespace().collect();
    let output = pvq_in(folder.path(), &options);
    assert!(
        text(&output.stdout).contains("Dropped events: "),
        "{}",
        text(&output.stdout)
    );
    let file = fs::read(folder.path().join("short.pftrace")).expect("written");
    assert!(check(&file).dropped > 0);
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
    for part in ["# holds", "Cost: for", "no vCPU had asked for it"] {
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
    for line in text.lines() {
        assert!(line.chars().count() <= 110, "{line}");
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
        (&["explain", "other"], "holder, waiter"),
        (
            &["compare", "--watch", "--lock", "fofo"],
            "did you mean 'fifo'?",
        ),
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
