//! Runs the real binary in a folder.

#![allow(dead_code, reason = "each test file uses its part")]

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The binary in a folder, with these options and nothing to read.
pub(crate) fn command(folder: &Path, options: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pvq"));
    command
        .args(options)
        .current_dir(folder)
        .stdin(Stdio::null());
    command
}

/// Runs it to its end, however that is.
pub(crate) fn pvq(folder: &Path, options: &[&str]) -> Output {
    command(folder, options)
        .output()
        .expect("the binary starts")
}

/// Runs it to its end with the options that this line has.
pub(crate) fn line(folder: &Path, line: &str) -> Output {
    pvq(folder, &line.split_whitespace().collect::<Vec<_>>())
}

/// Runs it to a good end, and returns what it prints.
#[track_caller]
pub(crate) fn done(folder: &Path, options: &[&str]) -> String {
    let output = pvq(folder, options);
    assert!(output.status.success(), "{options:?}: {}", stderr(&output));
    stdout(&output)
}

/// Starts it, and keeps what it prints for later.
pub(crate) fn started(folder: &Path, options: &[&str]) -> Child {
    command(folder, options)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts")
}

/// Sends a signal to one that was started.
pub(crate) fn signal(child: &Child, number: i32) {
    let pid = i32::try_from(child.id()).expect("a process id");
    // SAFETY: a plain system call; the process is our child and was not waited for yet.
    assert_eq!(unsafe { libc::kill(pid, number) }, 0);
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Exit code 2, the messages on standard error, and nothing on standard output: nothing has run.
#[track_caller]
pub(crate) fn refused(options: &[&str], messages: &[&str]) {
    // Not where the sources are: some commands leave results where they run.
    let output = pvq(Path::new(env!("CARGO_TARGET_TMPDIR")), options);
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

/// Results that were written.
#[track_caller]
pub(crate) fn results(path: &Path) -> serde_json::Value {
    let text = fs::read_to_string(path).expect("results were written");
    serde_json::from_str(&text).expect("they are JSON")
}

/// How many results an interrupted run has kept: some, and marked as not all.
#[track_caller]
pub(crate) fn kept(path: &Path) -> usize {
    let json = results(path);
    assert_eq!(json["complete"], false);
    let kept = json["results"].as_array().expect("an array").len();
    assert!(kept > 0, "nothing was kept");
    kept
}

/// What is in a folder, sorted.
pub(crate) fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("it is there");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<String> = entries
        .map(|entry| name(entry.expect("readable")))
        .collect();
    names.sort();
    names
}
