//! Deliberate mistakes: each must be found by a check.
//!
//! The sources know nothing of them: `mutant_table` says which text becomes wrong and how, and
//! `mutant_copy.rs` applies that to a copy of the tree. Two builds of the copy hold all mistakes at
//! once (with and without loom) and the variable `MUTANT` chooses one at run time, so that a check is
//! built once. Each check is also run without a mistake: one that fails always would find everything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use crate::mutant::{Check, Mutant, Suite};
use crate::mutant_copy;
use crate::mutant_model::in_model;
use crate::mutant_table::mutants;
use crate::run::{cargo, replace, root, target_dir};
use crate::sources::{Anchors, read};

const LIST: &str = "check/mutants.md";

/// A check that takes longer has found something: it ends in seconds if nothing is wrong.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes the mistakes, or lists them.
pub(crate) fn run(all: bool, only: Option<&str>, write: bool) -> Result<()> {
    let text = document(&places()?);
    if write {
        let path = root().join(LIST);
        fs::create_dir_all(root().join("check"))?;
        replace(&path, &text)?;
        println!("mutants: wrote {LIST}, {} mutants", mutants().count());
        return Ok(());
    }
    let shown = fs::read_to_string(root().join(LIST)).unwrap_or_default();
    ensure!(
        shown == text,
        "{LIST} is not what stands in the table; `cargo xtask mutants --write` brings it up to date"
    );
    let chosen: Vec<_> = mutants()
        .filter(|mutant| only.is_none_or(|name| name == mutant.name))
        .collect();
    ensure!(
        !chosen.is_empty(),
        "no mutant of that name; {LIST} has them all"
    );
    let binaries = build()?;
    without_mistakes(&chosen, all, &binaries)?;
    let mut survivors = 0;
    println!("| mutant | found by | seconds |\n| --- | --- | ---: |");
    for mutant in chosen {
        for check in checks(mutant, all) {
            let began = Instant::now();
            let found = fails(check, Some(mutant.name), &binaries)?;
            survivors += u32::from(found.is_none());
            println!(
                "| {} | {} | {:.1} |",
                mutant.name,
                found.map_or_else(
                    || format!("NOTHING: {check} passes"),
                    |how| format!("{check}{how}")
                ),
                began.elapsed().as_secs_f64()
            );
        }
    }
    ensure!(survivors == 0, "{survivors} checks did not find a mistake");
    Ok(())
}

/// The quickest check of a mutant, or all of them.
fn checks(mutant: &Mutant, all: bool) -> &[Check] {
    if all {
        mutant.checks
    } else {
        &mutant.checks[..1]
    }
}

/// The checks must pass where nothing is wrong.
fn without_mistakes(chosen: &[&Mutant], all: bool, binaries: &Binaries) -> Result<()> {
    let checks: BTreeSet<_> = (chosen.iter())
        .flat_map(|mutant| checks(mutant, all))
        .collect();
    for check in checks {
        // A name that no test has runs nothing, and passes whatever is wrong.
        ensure!(exists(check, binaries)?, "there is no test {check}");
        if let Some(how) = fails(check, None, binaries)? {
            bail!("{check} fails without any mistake{how}: it cannot find one");
        }
    }
    Ok(())
}

/// Whether there is such a test.
fn exists(check: &Check, binaries: &Binaries) -> Result<bool> {
    let (binary, folder) = binary_of(check, binaries)?;
    let output = Command::new(binary)
        .current_dir(folder)
        .args([check.test, "--exact", "--list"])
        .output()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    Ok(String::from_utf8_lossy(&output.stdout).contains(": test"))
}

fn binary_of<'a>(check: &Check, binaries: &'a Binaries) -> Result<&'a Binary> {
    (binaries.get(&check.suite))
        .with_context(|| format!("cargo built nothing for {:?}", check.suite))
}

/// Runs a check under a mutant. How it failed, if it did.
fn fails(check: &Check, mutant: Option<&str>, binaries: &Binaries) -> Result<Option<&'static str>> {
    let (binary, folder) = binary_of(check, binaries)?;
    let extra = if check.suite == Suite::LoomOneMore {
        "1"
    } else {
        "0"
    };
    let mut child = Command::new(binary)
        .current_dir(folder)
        .args([check.test, "--exact", "--test-threads", "1"])
        .env("MUTANT", mutant.unwrap_or_default())
        .env("LOOM_EXTRA", extra)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .with_context(|| format!("cannot start {}", binary.display()))?;
    let began = Instant::now();
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok((!status.success()).then_some(""));
        }
        if began.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            return Ok(Some(" (it never ends)"));
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A crate, and one of its test targets.
type Target = (String, String);

/// A test binary, and the folder to run it in.
type Binary = (PathBuf, PathBuf);

/// The binary of each suite.
type Binaries = BTreeMap<Suite, Binary>;

fn build() -> Result<Binaries> {
    let copy = mutant_copy::make()?;
    let mut binaries = Binaries::new();
    let loom = ["-p", "pvqspin", "--test", "loom", "--release"];
    for (key, binary) in built(&copy, "--cfg loom", "mutants-loom", &loom)? {
        if key == ("pvqspin".to_owned(), "loom".to_owned()) {
            binaries.insert(Suite::LoomOneMore, binary.clone());
            binaries.insert(Suite::Loom, binary);
        }
    }
    let rest = [
        "-p",
        "pvqspin",
        "-p",
        "pvqspin-abi",
        "-p",
        "pvqspin-host",
        "-p",
        "pvqspin-simulator",
        "--features",
        "pvqspin/counters",
        "--lib",
        "--test",
        "scripted",
        "--test",
        "host",
        "--test",
        "torture",
        "--test",
        "exact",
    ];
    for ((krate, target), binary) in built(&copy, "", "mutants", &rest)? {
        let suite = match (krate.as_str(), target.as_str()) {
            ("pvqspin", "pvqspin") => Suite::Word,
            ("pvqspin", "scripted") => Suite::Scripted,
            ("pvqspin-abi", "pvqspin_abi") => Suite::AbiUnits,
            ("pvqspin-host", "host") => Suite::Host,
            ("pvqspin-simulator", "torture") => Suite::Torture,
            ("pvqspin-simulator", "exact") => Suite::Exact,
            _ => continue,
        };
        binaries.insert(suite, binary);
    }
    Ok(binaries)
}

/// Builds tests, and returns by crate and target what came out, with the crate's folder.
fn built(
    copy: &Path,
    flags: &str,
    folder: &str,
    options: &[&str],
) -> Result<Vec<(Target, Binary)>> {
    let output = cargo()
        .current_dir(copy)
        .env("RUSTFLAGS", flags)
        .env("CARGO_TARGET_DIR", target_dir(folder))
        .args(["test", "--locked", "--no-run", "--message-format=json"])
        .args(options)
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    ensure!(output.status.success(), "the mutants do not compile");
    let mut found = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: Value = serde_json::from_str(line)?;
        let (Some(binary), Some(manifest)) = (
            message["executable"].as_str(),
            message["manifest_path"].as_str(),
        ) else {
            continue;
        };
        let folder = PathBuf::from(manifest);
        let folder = folder.parent().context("a manifest is in a folder")?;
        let krate = folder.file_name().unwrap_or_default().to_string_lossy();
        // Folders are named after their crates, but for the prefix.
        let krate = match krate.as_ref() {
            "pvqspin" => "pvqspin".to_owned(),
            other => format!("pvqspin-{other}"),
        };
        let target = message["target"]["name"].as_str().unwrap_or_default();
        found.push((
            (krate, target.to_owned()),
            (PathBuf::from(binary), folder.to_owned()),
        ));
    }
    Ok(found)
}

/// Where the mistakes would stand in the source: file and function, by name.
fn places() -> Result<BTreeMap<&'static str, Vec<String>>> {
    let sources = read(&["crates"])?;
    let mut places = BTreeMap::<_, Vec<_>>::new();
    for mutant in mutants() {
        for place in mutant.places {
            let source = (sources.iter())
                .find(|source| source.path == place.file)
                .with_context(|| format!("{}: there is no {}", mutant.name, place.file))?;
            let range = mutant_copy::find(&source.text, place)
                .with_context(|| format!("{}: {}", mutant.name, place.file))?;
            let line = source.text[..range.start].matches('\n').count() + 1;
            let anchors = Anchors::of(&source.file);
            let shown = format!("`{}`, `{}`", place.file, anchors.around(line));
            places.entry(mutant.name).or_default().push(shown);
        }
    }
    Ok(places)
}

fn document(places: &BTreeMap<&str, Vec<String>>) -> String {
    let mut text = HEADER.to_owned();
    for mutant in mutants() {
        let places = places
            .get(mutant.name)
            .map_or(String::new(), |places| places.join("; "));
        let checks: Vec<_> = mutant.checks.iter().map(ToString::to_string).collect();
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {} | {} |",
            mutant.name,
            mutant.mistake,
            places,
            checks.join("; "),
            in_model(mutant.name).unwrap_or("?")
        );
    }
    text.push_str(FOOTER);
    text
}

const HEADER: &str = "\
# Deliberate mistakes, and what finds each

A check is worth what it finds. So `cargo xtask mutants` copies the tree to a folder below `target/`, makes
each of these mistakes there in turn, expects the checks below to fail, and fails itself if one of them
does not (exit code 1). By default it runs the first check of each, with `--all` all of them. The
published sources hold no trace of it: a mistake is a text that occurs exactly once in a file, the part of
it that is right, and what is wrong instead. A text that does not occur exactly once is an error.

`cargo xtask mutants --write` writes this file from `check/xtask/src/mutant_table`.

*In the model*: whether `cargo xtask model` has a counterexample for the same mistake (`check/model/README.md`).

| mutant | the mistake | where | found by | in the model |
| --- | --- | --- | --- | --- |
";

const FOOTER: &str = "
## What is not among them

- The release with which a waiter is promoted, and the acquire that reads it: relaxed, nothing fails,
  and nothing can. What the lock protects travels through the lock word; what the promotion publishes
  beside that is the CPU that the new head waits for, which is advice.
- The head that takes the lock in `Bounded` does not name its successor in the same step, because that
  one may have left since: what it would name is put right before any other CPU reads it as a head, so
  a wrong name would cost a wrong hint at most.
- The compiler fences around the claim of a node: they keep an interrupt handler of the same CPU out,
  and neither loom nor the simulator has handlers between two instructions.
- loom orders the stores to one atomic as they were executed, and so cannot show a promotion that
  lands before the node was reset. Under loom each node therefore has a cell that its owner writes when
  it builds the node, and that others read before they change it (`Built` in
  `crates/pvqspin/src/atomic.rs`): `weak_link` and `weak_join` are found through it.
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mutant_has_a_check_and_a_name_of_its_own() {
        let names: BTreeSet<_> = mutants().map(|mutant| mutant.name).collect();
        assert_eq!(names.len(), mutants().count());
        assert!(mutants().all(|mutant| !mutant.checks.is_empty()));
    }

    /// A run of all mistakes takes minutes until it comes to a name that a move of tests has changed.
    #[test]
    fn every_scripted_check_is_a_test_of_the_module_that_it_names() {
        let checks = mutants().flat_map(|mutant| mutant.checks);
        for check in checks.filter(|check| check.suite == Suite::Scripted) {
            let (module, test) = check.test.split_once("::").expect(check.test);
            let file = root().join(format!("crates/pvqspin/tests/scripted/{module}.rs"));
            let text = std::fs::read_to_string(&file).expect(check.test);
            assert!(text.contains(&format!("fn {test}()")), "{check}");
        }
    }
}
