//! How many instructions an uncontended pair of lock and unlock executes, exactly.
//!
//! `examples/pairs.rs` of the user-space crate takes each lock N times and then 2N times, in the
//! same loop, and callgrind writes what ran in each part. The difference over N is one turn of the
//! loop, with nothing else in it; less the turn of a loop without a lock, it is the lock. No noise
//! and no clock: the same compiler gives the same counts on every machine.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::baseline::{Baseline, Counts};
use crate::callgrind::{self, Part};
use crate::machine_code::{Kind, Objects};
use crate::run::{cargo, replace, root, succeed, target_dir};

/// N. Large enough that what happens once would show up as a fraction.
const PAIRS: u32 = 1_000;
/// What the loop without a lock is called.
const NOTHING: &str = "nothing";
/// The feature that changes the release of the native lock, which is counted as well.
pub(crate) const BYTE_RELEASE: &str = "byte_release";
/// The lock whose release it is.
const NATIVE: &str = "native-queued";
/// Where the example says that a part ends.
const MARK: &str = "pairs_mark";

/// Counts, and compares with what is recorded, or records.
pub(crate) fn check(write: bool) -> Result<()> {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        println!("instructions: skipped, recorded for x86-64 Linux only");
        return Ok(());
    }
    let now = count()?;
    if write {
        replace(&path(), &now.render())?;
        println!("instructions: wrote {}", path().display());
        return Ok(());
    }
    let differences = recorded()?.differences(&now);
    for line in &differences {
        println!("instructions: {line}");
    }
    ensure!(
        differences.is_empty(),
        "the uncontended paths are not those that are recorded in {}.\n\
         If the toolchain or a dependency has changed, or a path became shorter, record the new counts with\n\
         `cargo xtask instructions --write`, then `cargo xtask asm --write`. Otherwise some change has made it longer.",
        path().display()
    );
    println!("instructions: {} locks, as recorded", now.locks.len());
    Ok(())
}

/// The counts that are recorded.
pub(crate) fn recorded() -> Result<Baseline> {
    let text = fs::read_to_string(path()).with_context(|| {
        format!(
            "cannot read {}; `cargo xtask instructions --write` makes it",
            path().display()
        )
    })?;
    Baseline::parse(&text)
}

fn path() -> PathBuf {
    root().join("lab/drivers/user-space/instructions.toml")
}

fn count() -> Result<Baseline> {
    ensure!(
        Command::new("valgrind").arg("--version").output().is_ok(),
        "valgrind is not installed, and nothing else counts instructions exactly: `apt-get install valgrind`"
    );
    let mut locks = count_all("")?;
    let with_byte_release = count_all(&format!("pvqspin/{BYTE_RELEASE}"))?;
    let find = |locks: &[(String, Counts)]| locks.iter().position(|(name, _)| name == NATIVE);
    if let (Some(at), Some(other)) = (find(&locks), find(&with_byte_release)) {
        let (_, counts) = with_byte_release[other];
        locks.insert(at + 1, (format!("{NATIVE}, {BYTE_RELEASE}"), counts));
    }
    let (rustc, target) = toolchain()?;
    Ok(Baseline {
        rustc,
        target,
        locks,
    })
}

/// Counts every lock, compiled with these features.
fn count_all(features: &str) -> Result<Vec<(String, Counts)>> {
    let binary = build(features)?;
    let dir = tempfile::tempdir()?;
    let dumps = dir.path().join("part");
    let output = callgrind::run(&dumps, Some(MARK), &binary, &[PAIRS.to_string()])?;
    let names = String::from_utf8(output.stdout)?;
    let mut objects = Objects::default();
    let mut turns = Vec::new();
    for (at, name) in names.lines().enumerate() {
        // The parts of each: setting up, N, 2N. The first one is number 1.
        let [once, twice] = [3 * at + 2, 3 * at + 3].map(|number| part(&dumps, number));
        let mut kind = |object: &Path, address| objects.kind(object, address);
        let turn = turn(&once?, &twice?, u64::from(PAIRS), &mut kind);
        turns.push((name.to_owned(), turn.with_context(|| name.to_owned())?));
    }
    over_nothing(turns)
}

fn build(features: &str) -> Result<PathBuf> {
    let target = target_dir("instructions");
    succeed(
        cargo()
            .env("CARGO_TARGET_DIR", &target)
            // The counts are those of the plain target, whatever this machine would rather have.
            .env("RUSTFLAGS", "")
            .args(["build", "--release", "--quiet", "--locked"])
            .args(["-p", "pvqspin-user-space", "--example", "pairs"])
            .args(["--features", features]),
    )?;
    Ok(target.join("release/examples/pairs"))
}

fn part(dumps: &Path, number: usize) -> Result<Part> {
    let path = dumps.with_extension(number.to_string());
    let text = fs::read_to_string(&path)
        .with_context(|| format!("callgrind wrote no part {number}: is {MARK} gone?"))?;
    Part::parse(&text)
}

/// What one turn of the loop costs, from a part with `pairs` turns and one with twice as many.
fn turn(
    once: &Part,
    twice: &Part,
    pairs: u64,
    kind: &mut dyn FnMut(&Path, u64) -> Result<Kind>,
) -> Result<Counts> {
    let [once, twice] = [in_all(once, kind)?, in_all(twice, kind)?];
    let each = |of: fn(&Counts) -> u64, what: &str| {
        let (once, twice) = (of(&once), of(&twice));
        let more = twice.checked_sub(once).filter(|more| more % pairs == 0);
        more.map(|more| more / pairs).with_context(|| {
            format!(
                "{pairs} pairs took {once} {what}, twice as many {twice}: not the same each time"
            )
        })
    };
    Ok(Counts {
        instructions: each(|counts| counts.instructions, "instructions")?,
        locked: each(|counts| counts.locked, "locked instructions")?,
        branches: each(|counts| counts.branches, "branches")?,
    })
}

/// Everything that ran in a part.
pub(crate) fn in_all(
    part: &Part,
    kind: &mut dyn FnMut(&Path, u64) -> Result<Kind>,
) -> Result<Counts> {
    let mut counts = Counts {
        instructions: part.instructions,
        locked: 0,
        branches: 0,
    };
    for ((object, address), ran) in &part.ran {
        match kind(object, *address)? {
            Kind::Locked => counts.locked += ran,
            Kind::Branch => counts.branches += ran,
            Kind::Plain => {}
        }
    }
    Ok(counts)
}

/// Takes away from each what the loop without a lock costs.
fn over_nothing(turns: Vec<(String, Counts)>) -> Result<Vec<(String, Counts)>> {
    let mut turns = turns.into_iter();
    let Some((first, nothing)) = turns.next().filter(|(name, _)| name == NOTHING) else {
        bail!("the first loop must be the one without a lock");
    };
    let less = |counts: Counts| {
        Some(Counts {
            instructions: counts.instructions.checked_sub(nothing.instructions)?,
            locked: counts.locked.checked_sub(nothing.locked)?,
            branches: counts.branches.checked_sub(nothing.branches)?,
        })
    };
    turns
        .map(|(name, counts)| {
            let counts = less(counts).with_context(|| format!("{name} does less than {first}"))?;
            Ok((name, counts))
        })
        .collect()
}

/// What `rustc --version` says, and the target triple.
fn toolchain() -> Result<(String, String)> {
    let output = Command::new("rustc")
        .arg("-vV")
        .current_dir(root())
        .output()
        .context("cannot start rustc")?;
    let text = String::from_utf8(output.stdout)?;
    let fields: BTreeMap<_, _> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .collect();
    let version = text.lines().next().unwrap_or_default();
    let host = fields.get("host").context("rustc names no host")?;
    Ok((version.to_owned(), (*host).to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A part in which the instructions at 0, 1, 2.. ran so often.
    fn part(ran: &[u64]) -> Part {
        Part {
            instructions: ran.iter().sum(),
            ran: (0..)
                .zip(ran)
                .map(|(address, &ran)| ((PathBuf::from("pairs"), address), ran))
                .collect(),
        }
    }

    /// Address 1 locks, 2 branches.
    fn kind(_object: &Path, address: u64) -> Result<Kind> {
        Ok(match address {
            1 => Kind::Locked,
            2 => Kind::Branch,
            _ => Kind::Plain,
        })
    }

    #[test]
    fn what_happens_once_is_no_part_of_a_turn() {
        let once = part(&[28, 2 * 100, 100]);
        let twice = part(&[28, 2 * 200, 200]);
        let counts = turn(&once, &twice, 100, &mut kind).expect("the same each time");
        assert_eq!(
            (counts.instructions, counts.locked, counts.branches),
            (3, 2, 1)
        );
    }

    #[test]
    fn what_happens_now_and_then_is_refused() {
        // As many instructions, but one locked in place of a plain one.
        let once = part(&[100, 100]);
        let twice = part(&[199, 201]);
        let error = turn(&once, &twice, 100, &mut kind).expect_err("not whole");
        assert!(error.to_string().contains("locked instructions"), "{error}");
        assert!(
            turn(&twice, &once, 100, &mut kind).is_err(),
            "fewer for more"
        );
    }

    #[test]
    fn the_loop_itself_does_not_count() {
        let counts = |instructions| Counts {
            instructions,
            locked: 0,
            branches: 1,
        };
        let turns = |names: [(&str, u64); 2]| {
            names
                .map(|(name, count)| (name.to_owned(), counts(count)))
                .to_vec()
        };
        let over = over_nothing(turns([(NOTHING, 7), ("fifo", 17)])).expect("more than nothing");
        assert_eq!(over.len(), 1);
        assert_eq!((over[0].1.instructions, over[0].1.branches), (10, 0));
        assert!(over_nothing(turns([("fifo", 17), (NOTHING, 7)])).is_err());
        assert!(over_nothing(turns([(NOTHING, 7), ("fifo", 6)])).is_err());
    }
}
