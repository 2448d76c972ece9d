//! Runs the real binary: help, bad input, and a short comparison.

#[path = "../binary/mod.rs"]
mod binary;
mod refusals;
mod runs;

use std::path::Path;
use std::process::Output;

use binary::{refused, started, stderr, stdout};
use pvqspin_real_time::skipped::skipped;

/// Runs the binary away from the sources: some commands leave results where they run.
fn pvq(options: &[&str]) -> Output {
    binary::pvq(Path::new(env!("CARGO_TARGET_TMPDIR")), options)
}

/// Whether guests can run here. Says so if not: a test that did nothing should be seen to.
fn can_run(test: &str) -> bool {
    let doctor = pvq(&["doctor"]);
    let can = doctor.status.success();
    if !can {
        skipped("hypervisor", &format!("{test}\n{}", stdout(&doctor)));
    }
    can
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
    let mut child = started(Path::new(env!("CARGO_TARGET_TMPDIR")), &["list"]);
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success(), "{}", stderr(&output));
}

#[test]
fn old_names_of_commands_answer_with_the_new_ones() {
    refused(&["merge", "a.csv", "b"], &["`pvq sweep --merge OUT FILES`"]);
    refused(&["watch", "--quick"], &["`pvq compare --watch`"]);
    refused(&["study"], &["`cargo xtask study`"]);
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().to_str().expect("text");
    let pages = pvq(&["man", "--into", into]);
    assert!(pages.status.success(), "{}", stderr(&pages));
    let shells = ["bash", "zsh", "fish"].map(|shell| stdout(&pvq(&["completions", shell])));
    for command in ["compare", "trace", "simulate", "sweep", "report", "doctor"] {
        for text in &shells {
            assert!(text.contains(command), "no completion of {command}");
        }
        let page = folder.path().join(format!("pvq-{command}.1"));
        assert!(page.is_file(), "no {}", page.display());
    }
    // Names that options take are offered, and do not crowd the help.
    for name in ["unfair-hinted", "hash-table", "co-scheduled", "parking-lot"] {
        assert!(
            shells.iter().all(|text| text.contains(name)),
            "no completion of {name}"
        );
    }
    let help = stdout(&pvq(&["compare", "--help"]));
    assert!(!help.contains("hash-table"), "{help}");
    // What the help does not show is not offered either.
    assert!(shells.iter().all(|text| !text.contains("write-study")));
    assert!(!folder.path().join("pvq-write-study.1").exists());
    let man = stdout(&pvq(&["man"]));
    assert!(man.starts_with(".ie"), "{man}");
    assert!(
        man.contains(".SH EXIT STATUS") && !man.contains("write\\-study"),
        "{man}"
    );
    let missing = &["man", "--into", "/no/such/folder"];
    refused(missing, &["there is no folder /no/such/folder"]);
}

#[test]
fn examples_stand_in_a_manual_page_as_in_the_help() {
    let folder = tempfile::tempdir().expect("a folder");
    let into = folder.path().to_str().expect("text");
    assert!(pvq(&["man", "--into", into]).status.success());
    for command in ["compare", "simulate", "sweep", "report", "man"] {
        let page = std::fs::read_to_string(folder.path().join(format!("pvq-{command}.1")));
        let page = page.expect("written").replace("\\-", "-");
        let page = [("(aq", "'"), ("(ga", "`"), ("(ti", "~")]
            .iter()
            .fold(page, |page, (code, letter)| {
                page.replace(&format!("\\{code}"), letter)
            });
        let help = stdout(&pvq(&[command, "--help"]));
        let (_, examples) = help.split_once("Examples:\n").expect("there are some");
        let examples = examples.split("\n\n").next().unwrap_or_default();
        let (_, lines) = page
            .split_once(".SH EXAMPLES\n.nf\n")
            .expect("line by line");
        for (line, shown) in examples.lines().zip(lines.lines()) {
            assert_eq!(line.trim(), shown, "{command}");
        }
        let usage = help.lines().find_map(|line| line.strip_prefix("Usage: "));
        let usage = usage.expect("there is one");
        assert!(
            page.contains(&format!(".SH SYNOPSIS\n.nf\n{usage}\n")),
            "{page}"
        );
    }
}
