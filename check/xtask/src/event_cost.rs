//! What an event of the host costs, in instructions, beside a bare queue.
//!
//! The bench of `pvqspin-host` does each event N and 2N times under callgrind; the difference over N is one
//! event. The same compiler gives the same counts on every machine, so a limit on them can be checked where
//! a limit on time cannot.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use crate::callgrind::{self, Part};
use crate::run::{cargo, target_dir};

/// How many times the bare queue an event may cost.
const MOST: u64 = 3;
/// N in the bench.
const EVENTS: u64 = 1_000;
/// Where the bench says that a part ends.
const MARK: &str = "events_mark";

/// A line of the bench: what is done, and how many events of the host that is; 0 for the bare queue.
fn line(text: &str) -> Result<(&str, u64)> {
    let (events, name) = text.split_once(' ').context("no number of events")?;
    Ok((name, events.parse().context("no number of events")?))
}

/// Counts, prints, and compares with the bare queue; with `sizes` for machines of different sizes, without a limit.
pub(crate) fn check(sizes: bool) -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        println!("event-cost: skipped, counted on x86-64 Linux only");
        return Ok(());
    }
    let dir = tempfile::tempdir()?;
    let dumps = dir.path().join("part");
    let what = if sizes { "--count-sizes" } else { "--count" };
    let output = callgrind::run(&dumps, Some(MARK), &bench()?, &[what.to_owned()])?;
    let (mut bare, mut dear) = (None, Vec::new());
    for (at, text) in String::from_utf8(output.stdout)?.lines().enumerate() {
        let (name, events) = line(text).with_context(|| format!("'{text}'"))?;
        // The parts of each: setting up, N, 2N. The first one is number 1.
        let counted = |number: usize| -> Result<u64> {
            let path = dumps.with_extension(number.to_string());
            let text = std::fs::read_to_string(&path)
                .with_context(|| format!("callgrind wrote no part {number}: is {MARK} gone?"))?;
            Ok(Part::parse(&text)?.instructions)
        };
        let (once, twice) = (counted(3 * at + 2)?, counted(3 * at + 3)?);
        let each = twice.saturating_sub(once) / EVENTS / events.max(1);
        if events == 0 {
            bare = Some(each);
        }
        let bare = bare.context("a bare queue comes first")?;
        let times = each as f64 / bare as f64;
        println!("{name:50} {each:>6} instructions, {times:.1} times the bare queue");
        if each > MOST * bare && !sizes {
            dear.push(name.to_owned());
        }
    }
    ensure!(bare.is_some(), "the bench counted nothing");
    ensure!(
        dear.is_empty(),
        "an event may cost {MOST} times what a bare queue costs; more does: {}",
        dear.join("; ")
    );
    Ok(())
}

/// The bench, built; where the other counted programs are.
fn bench() -> Result<PathBuf> {
    let output = cargo()
        .env("CARGO_TARGET_DIR", target_dir("instructions"))
        // The counts are those of the plain target, whatever this machine would rather have.
        .env("RUSTFLAGS", "")
        .args(["build", "--release", "--quiet", "--locked"])
        .args(["-p", "pvqspin-host", "--bench", "events"])
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot start cargo")?;
    ensure!(
        output.status.success(),
        "the bench cannot be built: {}",
        output.status
    );
    let text = String::from_utf8(output.stdout)?;
    let executable = text.lines().rev().find_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    });
    executable.context("cargo names no executable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_number_and_a_name() {
        assert_eq!(
            line("2 fair, sleep + wake").unwrap(),
            ("fair, sleep + wake", 2)
        );
        assert!(line("fair").is_err() && line("many fair").is_err());
    }
}
