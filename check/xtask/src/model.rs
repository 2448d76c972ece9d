//! Runs the protocol model: spin turns it into C, the C compiler into a verifier, two at a time.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};

use crate::model_sources;
use crate::model_table::{CASES, Case, Expected, Property};
use crate::run::root;

/// The most memory of one verifier, in MB.
const MEMORY_MB: u32 = 8_000;

/// What a verifier printed, as far as it matters here.
struct Verdict {
    errors: u64,
    /// States stored; with fairness each may be stored several times.
    states: u64,
    /// Why it stopped, if it found something.
    why: String,
    complete: bool,
    seconds: f32,
}

/// Runs what is asked for. Fails unless every configuration holds and every mutant is caught.
pub(crate) fn check(full: bool, only: Option<&str>) -> Result<()> {
    model_sources::check()?;
    let cases: Vec<&Case> = CASES
        .iter()
        .filter(|case| full || !case.long || only.is_some())
        .filter(|case| only.is_none_or(|part| title(case).contains(part)))
        .collect();
    ensure!(
        !cases.is_empty(),
        "no case has '{}' in it",
        only.unwrap_or("")
    );
    let spin = Command::new("spin").arg("-V").output();
    ensure!(
        spin.is_ok_and(|output| output.status.success()),
        "there is no `spin`: install the package of that name (Debian, Ubuntu), or build it from spinroot.com"
    );
    println!(
        "{:<48} {:<10} {:>10} {:>7}  result",
        "configuration", "property", "states", "s"
    );
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let line = judge(case);
                    if let Err(error) = line
                        && let Ok(mut failures) = failures.lock()
                    {
                        failures.push(format!("{}: {error:#}", title(case)));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().unwrap_or_default();
    ensure!(
        failures.is_empty(),
        "the model says otherwise:\n{}",
        failures.join("\n")
    );
    Ok(())
}

fn title(case: &Case) -> String {
    (case.mutant()).map_or_else(|| case.name.to_owned(), |name| format!("mutant {name}"))
}

fn judge(case: &Case) -> Result<()> {
    let verdict = verify(case)?;
    let (good, result) = match case.expected {
        Expected::Holds => (verdict.errors == 0, "holds, every state"),
        Expected::Violates(text) => (
            verdict.why.contains(text),
            if case.mutant().is_some() {
                "caught: an assertion"
            } else {
                "fails, as documented"
            },
        ),
        Expected::LeavesBehind => (
            verdict.why.contains("invalid end state"),
            "caught: nothing left to wake it",
        ),
        Expected::Starves => (
            verdict.why.contains("acceptance cycle"),
            "starves, as documented",
        ),
    };
    // What is expected to hold was looked at to the end, or it says nothing.
    let good = good && (verdict.complete || case.expected != Expected::Holds);
    println!(
        "{:<48} {:<10} {:>10} {:>7.1}  {}",
        title(case),
        property(case.property),
        verdict.states,
        verdict.seconds,
        if good { result } else { "NOT AS EXPECTED" }
    );
    if !good {
        bail!(
            "{} errors, complete: {}, {}",
            verdict.errors,
            verdict.complete,
            verdict.why
        );
    }
    Ok(())
}

const fn property(property: Property) -> &'static str {
    match property {
        Property::Safety => "safety",
        Property::Liveness => "liveness",
        Property::OtherLiveness => "liveness 2",
    }
}

fn verify(case: &Case) -> Result<Verdict> {
    let dir = tempfile::tempdir()?;
    let here = dir.path();
    let model = root().join("check/model/pvqspin.pml");
    let mutant = case.mutant().map(|name| format!("-DMUTANT_{name}"));
    let mut spin = Command::new("spin");
    spin.args(case.defines.split(' '))
        .args(mutant)
        .arg("-a")
        .arg(model);
    run(here, "spin.log", &mut spin)?;
    let mut compiler = Command::new("cc");
    // A short search takes less time than optimising it does.
    compiler.arg(match (case.long, case.expected) {
        (true, _) => "-O2",
        (false, Expected::Holds) => "-O1",
        (false, _) => "-O0",
    });
    compiler.args(["-w", "-DCOLLAPSE", "-o", "pan", "pan.c"]);
    compiler.arg(format!("-DMEMLIM={MEMORY_MB}"));
    compiler.args(match case.property {
        Property::Safety => ["-DSAFETY", "-DNOCLAIM"],
        _ => ["-DNFAIR=8", "-DNOREDUCE"],
    });
    run(here, "cc.log", &mut compiler)?;
    let began = Instant::now();
    let mut pan = Command::new(here.join("pan"));
    pan.arg(match (case.depth, case.long) {
        (0, true) => "-m40000000".to_owned(),
        (0, false) => "-m2000000".to_owned(),
        (depth, _) => format!("-m{depth}"),
    });
    match case.property {
        Property::Safety => {}
        Property::Liveness => {
            pan.args(["-a", "-f", "-N", "waiter_acquires"]);
        }
        Property::OtherLiveness => {
            pan.args(["-a", "-f", "-N", "other_waiter_acquires"]);
        }
    }
    let text = run(here, "pan.log", &mut pan)?;
    Ok(read(&text, began.elapsed().as_secs_f32()))
}

/// Runs a command in a directory; returns what it printed.
fn run(here: &Path, log: &str, command: &mut Command) -> Result<String> {
    let path = here.join(log);
    let file = File::create(&path)?;
    let status = command
        .current_dir(here)
        .stdin(Stdio::null())
        .stdout(file.try_clone()?)
        .stderr(file)
        .status()
        .with_context(|| format!("cannot start {command:?}"))?;
    let text = String::from_utf8_lossy(&std::fs::read(&path)?).into_owned();
    if !status.success() {
        let _ = std::io::stderr().write_all(text.as_bytes());
        bail!("{command:?} ended with {status}");
    }
    Ok(text)
}

fn read(text: &str, seconds: f32) -> Verdict {
    let number_before = |what: &str| {
        let line = text.lines().find(|line| line.contains(what))?;
        line.split_whitespace().next()?.parse().ok()
    };
    let errors = (text.split("errors: ").nth(1))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    Verdict {
        errors: errors.unwrap_or(u64::MAX),
        states: number_before("states, stored").unwrap_or(0),
        why: text
            .lines()
            .find(|line| line.starts_with("pan:1:"))
            .unwrap_or("")
            .to_owned(),
        complete: errors.is_some()
            && !text.contains("Search not completed")
            && !text.contains("search depth too small"),
        seconds,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unfinished_search_is_not_complete() {
        let text = "error: max search depth too small\nState-vector 9 byte, errors: 0\n  12 states, stored\n";
        let verdict = read(text, 0.0);
        assert_eq!(
            (verdict.errors, verdict.states, verdict.complete),
            (0, 12, false)
        );
    }

    #[test]
    fn a_counterexample_says_why() {
        let text = "pan:1: invalid end state (at depth 9)\nState-vector 9 byte, errors: 1\n  7 states, stored\n";
        let verdict = read(text, 0.0);
        assert_eq!((verdict.errors, verdict.states), (1, 7));
        assert!(verdict.why.contains("invalid end state"));
    }
}
