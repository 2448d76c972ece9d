//! Runs the real binary in a folder.

use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Runs it to its end, however that is.
pub(crate) fn pvq(folder: &Path, options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pvq"))
        .args(options)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output()
        .expect("the binary starts")
}

/// Runs it to a good end, and returns what it prints.
#[track_caller]
pub(crate) fn done(folder: &Path, options: &[&str]) -> String {
    let output = pvq(folder, options);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{options:?}: {error}");
    String::from_utf8_lossy(&output.stdout).into_owned()
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
