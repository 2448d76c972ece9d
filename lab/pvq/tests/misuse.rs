//! What is asked for by mistake gets an answer about that mistake, in the words of the command line.

mod binary;

use std::fs;

use binary::{done, pvq};

#[track_caller]
fn refused(options: &[&str], message: &str) {
    binary::refused(options, &[message]);
}

#[test]
fn a_negative_number_is_a_wrong_value_and_no_unknown_option() {
    for (options, message) in [
        (&["--repeats", "-1"][..], "'-1' for '--repeats"),
        (&["--inside", "-3ms"], "'-3ms' for '--inside"),
        (&["--seed", "-1"], "'-1' for '--seed"),
        (&["compare", "--slice", "-.5us"], "'-.5us' for '--slice"),
        (&["simulate", "--pcpus", "-2"], "'-2' for '--pcpus"),
        (&["simulate", "--torture", "-2"], "'-2' for '--torture"),
        (&["trace", "--overcommit", "-2"], "'-2' for '--overcommit"),
        (&["threads", "--duration", "-1s"], "'-1s' for '--duration"),
        (&["uncontended", "--pairs", "-1"], "'-1' for '--pairs"),
        (&["calibrate", "--repeats", "-1"], "'-1' for '--repeats"),
        (&["sweep", "--threads", "-1", "x"], "'-1' for '--threads"),
    ] {
        refused(options, message);
    }
}

#[test]
fn times_in_errors_have_units() {
    for (options, message) in [
        (&["--slice", "10us"][..], "a slice of 10 µs asked for"),
        (
            &["--hypercall-cost", "3ms"],
            "a hypercall of 3 ms leaves nothing of a slice of 3 ms",
        ),
        (
            &["--min-loan", "3ms"],
            "loan (3 ms) must not be longer than half a slice (3 ms)",
        ),
        (
            &["simulate", "--slice", "11s"],
            "a slice of 11 s asked for, at most 10 s",
        ),
        (
            &["simulate", "--duration", "2us"],
            "--duration 2 µs is too short",
        ),
    ] {
        refused(options, message);
    }
}

#[test]
fn advice_is_possible() {
    refused(
        &["simulate", "--pcpus", "64000", "--overcommit", "1"],
        "no overcommit is possible on so many",
    );
    refused(
        &["simulate", "--pcpus", "16", "--overcommit", "2000"],
        "ask for 1023 or less",
    );
}

#[test]
fn a_file_that_is_no_results_file_is_told_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("writable");
        path.display().to_string()
    };
    for (name, text, message) in [
        (
            "list.json",
            "[]",
            "a JSON object with `schema` and `results` is expected",
        ),
        ("number.json", "7", "a JSON object with"),
        ("empty.json", " \n", "it is empty"),
        ("half.json", "{\"schema\": 1,", "its JSON is damaged"),
        ("other.csv", "a,b\n1,2\n", "names no column `lock`"),
    ] {
        refused(&["report", &write(name, text)], message);
    }
}

#[test]
fn one_of_a_kind_has_no_plural() {
    let folder = tempfile::tempdir().expect("a folder");
    let grid = folder.path().join("one.toml");
    let text = "[[grid]]\nname = \"one\"\nlocks = [\"fifo\"]\npcpus = 1\novercommit = 1\nduration = \"1ms\"\n";
    fs::write(&grid, text).expect("writable");
    let grid = grid.to_str().expect("text");
    let simulate = [
        "simulate",
        "--lock",
        "fifo",
        "--pcpus",
        "1",
        "--overcommit",
        "1",
    ];
    let short = ["--duration", "1ms", "--no-files", "--longest"];
    let mut texts = vec![
        done(folder.path(), &[&simulate[..], &short].concat()),
        done(
            folder.path(),
            &["simulate", "--lock", "fifo", "--torture", "1"],
        ),
        done(folder.path(), &["sweep", "--threads", "1", "--list", grid]),
        done(folder.path(), &["sweep", "--threads", "1", grid]),
        done(
            folder.path(),
            &["uncontended", "--gap", "0", "--rounds", "1", "--pairs", "1"],
        ),
    ];
    for options in [
        // Where the embedded hypervisor cannot run, they say that.
        &[
            "trace",
            "--pcpus",
            "1",
            "--overcommit",
            "1",
            "--duration",
            "20ms",
        ][..],
        &[
            "--quick",
            "--lock",
            "fifo",
            "--pcpus",
            "1",
            "--overcommit",
            "1",
            "--repeats",
            "1",
            "--no-files",
        ],
        &[
            "threads",
            "--lock",
            "fifo",
            "--overcommit",
            "1",
            "--repeats",
            "1",
            "--duration",
            "20ms",
            "--no-files",
        ],
        &["simulate", "--pcpus", "1", "--overcommit", "1.5"],
        &[
            "simulate",
            "--pcpus",
            "1",
            "--overcommit",
            "1",
            "--vms",
            "2",
        ],
        &["report", "--label", "a", "a.json", "b.json"],
    ] {
        let output = pvq(folder.path(), options);
        let text = [output.stdout, output.stderr].concat();
        texts.push(String::from_utf8_lossy(&text).into_owned());
    }
    for text in texts {
        assert_eq!(plurals_of_one(&text), Vec::<String>::new(), "{text}");
    }
}

/// Every "1 things" in a text.
fn plurals_of_one(text: &str) -> Vec<String> {
    const NONE: [&str; 6] = ["ns", "us", "ms", "s", "is", "was"];
    let words: Vec<&str> = text.split_whitespace().collect();
    let pairs = words.windows(2).enumerate();
    pairs
        .filter(|(at, pair)| {
            let of = *at > 0 && words[at - 1] == "of";
            let thing = pair[1].trim_end_matches(|end: char| !end.is_alphabetic());
            let is_word = thing.chars().all(|letter| letter.is_ascii_alphabetic());
            pair[0].trim_start_matches('(') == "1"
                && !of
                && is_word
                && thing.ends_with('s')
                && !NONE.contains(&thing)
        })
        .map(|(_, pair)| pair.join(" "))
        .collect()
}

#[test]
fn a_plural_of_one_is_seen() {
    assert_eq!(
        plurals_of_one("on (1 pCPUs), 1 vCPU, 11 runs, 1 ms"),
        ["(1 pCPUs),"]
    );
}

#[test]
fn a_reader_of_errors_that_has_gone_is_no_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = "simulate --lock fifo --overcommit 1 --duration 1ms --no-files";
    let mut child = binary::started(folder.path(), &run.split(' ').collect::<Vec<_>>());
    drop(child.stderr.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{output:?}");
}

#[test]
fn doctor_builds_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let output = binary::command(folder.path(), &["doctor"])
        // A build would fail, or leave something here.
        .env("CARGO", folder.path().join("no-cargo"))
        .env("CARGO_TARGET_DIR", folder.path())
        .output()
        .expect("the binary starts");
    let text = [output.stdout, output.stderr]
        .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
        .concat();
    assert!(
        !text.contains("no-cargo") && !text.contains("building"),
        "{text}"
    );
    assert_eq!(binary::names(folder.path()), Vec::<String>::new());
}

#[test]
fn a_name_of_a_file_need_not_be_text() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt as _;

    let folder = tempfile::tempdir().expect("a folder");
    let name = OsStr::from_bytes(b"\xfe.json");
    let options = "simulate --lock fifo --overcommit 1 --duration 1ms --no-page --json";
    let options: Vec<&str> = options.split(' ').collect();
    let output = binary::command(folder.path(), &options)
        .arg(name)
        .output()
        .expect("the binary starts");
    assert!(output.status.success(), "{}", binary::stderr(&output));
    let json = binary::results(&folder.path().join(name));
    let command = json["command"].as_str().expect("text");
    assert!(command.ends_with("--json \u{fffd}.json"), "{command}");
}
