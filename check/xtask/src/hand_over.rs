//! How many instructions a contended hand-over executes, exactly, in this tree and in another revision.
//!
//! `hand_over/turns.rs` plays the CPUs as coroutines of one thread: one holds the lock while the others
//! queue, releases it, and queues again. Callgrind counts a run with N turns for each CPU and one with 2N;
//! the difference is N turns with nothing else in it. No noise and no clock, and no cache either: what
//! moves between caches it does not see. The switches between coroutines are in the counts, the same in
//! both trees.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::callgrind::{self, Part};
use crate::instructions::in_all;
use crate::machine_code::{Kind, Objects};
use crate::run::{cargo, root, succeed, target_dir};

/// N, for each CPU.
const TURNS: u64 = 500;
const POLICIES: [&str; 4] = ["native", "fifo", "fifo-halt", "bounded"];
/// Two: each waits behind the holder. Three and four: in the queue first.
const CPUS: [u64; 3] = [2, 3, 4];
/// What a tree consists of here.
const CRATES: [&str; 2] = ["crates/abi", "crates/pvqspin"];

/// Prints the counts of this tree, beside those of another revision if there is one. Fails if a
/// hand-over has become longer.
pub(crate) fn count(against: Option<&str>) -> Result<()> {
    let dir = target_dir("hand-over");
    let now = build(&dir.join("now"), None)?;
    let then = against
        .map(|revision| build(&dir.join("then"), Some(revision)))
        .transpose()?;
    println!(
        "Instructions (and locked ones among them) for each hand-over, switches of coroutines included"
    );
    println!(
        "{:<10} {:>4}  {:>16}  {}",
        "policy",
        "CPUs",
        "now",
        against.unwrap_or_default()
    );
    let mut longer = Vec::new();
    for policy in POLICIES {
        for cpus in CPUS {
            let here = each(&now, policy, cpus)?;
            let there = then
                .as_ref()
                .map(|then| each(then, policy, cpus))
                .transpose()?;
            println!(
                "{policy:<10} {cpus:>4}  {:>16}  {}",
                shown(here),
                there.map(shown).unwrap_or_default()
            );
            if there.is_some_and(|there| here.0 > there.0 || here.1 > there.1) {
                longer.push(format!("{policy} on {cpus} CPUs"));
            }
        }
    }
    ensure!(
        longer.is_empty(),
        "longer than before: {}",
        longer.join(", ")
    );
    Ok(())
}

fn shown((instructions, locked): (f64, f64)) -> String {
    format!("{instructions:.1} ({locked:.1})")
}

/// Builds the program with the lock of a tree. Returns where it is.
fn build(dir: &Path, revision: Option<&str>) -> Result<PathBuf> {
    let tree = dir.join("tree");
    if tree.exists() {
        fs::remove_dir_all(&tree).with_context(|| format!("cannot clear {}", tree.display()))?;
    }
    fs::create_dir_all(tree.join("turns/src"))?;
    // `git archive` knows nothing of what is not committed: `stash create` makes it a revision.
    let uncommitted = git(&["stash", "create"])?;
    let uncommitted = uncommitted.trim();
    let revision = match (revision, uncommitted) {
        (Some(revision), _) => revision,
        (None, "") => "HEAD",
        (None, uncommitted) => uncommitted,
    };
    let archive = tree.join("tree.tar");
    let output = format!("--output={}", archive.display());
    let mut arguments = vec![
        "archive",
        output.as_str(),
        revision,
        "Cargo.toml",
        "Cargo.lock",
    ];
    arguments.extend(CRATES);
    git(&arguments)?;
    succeed(
        Command::new("tar")
            .arg("-xf")
            .arg(&archive)
            .current_dir(&tree),
    )?;
    let manifest = tree.join("Cargo.toml");
    let text = fs::read_to_string(&manifest)?;
    let (before, rest) = text.split_once("members = [").context("no members")?;
    let (_, rest) = rest
        .split_once("[workspace.package]")
        .context("no package")?;
    let text = format!("{before}members = [\"crates/*\", \"turns\"]\n\n[workspace.package]{rest}");
    fs::write(&manifest, text)?;
    fs::write(
        tree.join("turns/Cargo.toml"),
        "[package]\nname = \"turns\"\nedition = \"2024\"\n\n[dependencies]\ncorosensei = \"0.3\"\n\
         pvqspin = { path = \"../crates/pvqspin\", default-features = false }\n",
    )?;
    fs::write(
        tree.join("turns/src/main.rs"),
        include_str!("hand_over/turns.rs"),
    )?;
    succeed(
        cargo()
            .current_dir(&tree)
            .env("CARGO_TARGET_DIR", dir.join("target"))
            .env("RUSTFLAGS", "")
            .args(["build", "--release", "--quiet", "--offline", "-p", "turns"]),
    )?;
    Ok(dir.join("target/release/turns"))
}

fn git(arguments: &[&str]) -> Result<String> {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(root())
        .output()
        .context("cannot start git")?;
    ensure!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Instructions and locked instructions for each hand-over.
fn each(program: &Path, policy: &str, cpus: u64) -> Result<(f64, f64)> {
    let once = run(program, policy, cpus, TURNS)?;
    let twice = run(program, policy, cpus, 2 * TURNS)?;
    let hand_overs = (cpus * TURNS) as f64;
    let per = |once: u64, twice: u64| (twice as f64 - once as f64) / hand_overs;
    Ok((per(once.0, twice.0), per(once.1, twice.1)))
}

fn run(program: &Path, policy: &str, cpus: u64, turns: u64) -> Result<(u64, u64)> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("counts");
    let arguments = [policy.to_owned(), cpus.to_string(), turns.to_string()];
    callgrind::run(&out, None, program, &arguments)?;
    let part = Part::parse(&fs::read_to_string(&out)?)?;
    let mut objects = Objects::default();
    // Start-up runs code that callgrind finds no file for: none of it is in the difference.
    let counts = in_all(&part, &mut |object, address| {
        if object.is_file() {
            objects.kind(object, address)
        } else {
            Ok(Kind::Plain)
        }
    })?;
    Ok((counts.instructions, counts.locked))
}
