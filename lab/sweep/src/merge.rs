//! From the files of all shards to one set of rows, or the reason why not.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail, ensure};

use crate::journal::{self, Contents};
use crate::output;
use crate::plan::Shard;
use crate::point::Row;

/// Names of files that are shown before the rest is counted.
const SHOWN: usize = 8;

/// All shards of a sweep.
#[derive(Debug)]
pub struct Merged {
    /// The rows, in the order of their points.
    pub rows: Vec<Row>,
    /// The points that have none, each with the reason.
    pub failed: BTreeMap<usize, String>,
}

/// Puts the files of all shards together.
///
/// # Errors
///
/// If they are not parts of one plan, if one is there twice, or if points are missing: the error
/// says which shards are missing, or which were not finished.
pub fn merge(paths: &[PathBuf]) -> Result<Merged> {
    let read = |path: &'_ PathBuf| Ok((path.clone(), journal::read(path)?));
    merge_parts(paths.iter().map(read).collect::<Result<_>>()?)
}

/// The same, of what was read already; errors name the paths.
///
/// # Errors
///
/// As [`merge`].
pub fn merge_parts(parts: Vec<(PathBuf, Contents)>) -> Result<Merged> {
    let Some((first_path, first)) = parts.first() else {
        bail!("there is nothing to merge; name the files of the shards");
    };
    let shards = part_of(first).of();
    let mut seen: BTreeMap<usize, &Path> = BTreeMap::new();
    for (path, contents) in &parts {
        ensure_related(first_path, first, path, contents)?;
        let shard = part_of(contents);
        ensure!(
            shard.of() == shards,
            "{} is one of {} shards, and {} one of {shards}; they do not fit together",
            path.display(),
            shard.of(),
            first_path.display()
        );
        if let Some(before) = seen.insert(shard.index(), path) {
            bail!(
                "{} and {} are both shard {shard}; leave one out",
                before.display(),
                path.display()
            );
        }
    }
    // A file may say that it is one of billions: only those that are shown are looked for.
    let missing = (1..=shards)
        .filter(|index| !seen.contains_key(index))
        .map(|index| format!("{index}/{shards}"));
    let count = shards - seen.len();
    ensure!(
        count == 0,
        "{count} of {shards} shards are missing: {}",
        some(missing, count)
    );
    ensure_complete(&parts)?;
    let (mut rows, mut failed) = (Vec::new(), BTreeMap::new());
    for (_, part) in parts {
        rows.extend(part.rows);
        failed.extend(part.failed);
    }
    output::sort(&mut rows);
    Ok(Merged { rows, failed })
}

fn ensure_related(
    first_path: &Path,
    first: &Contents,
    path: &Path,
    contents: &Contents,
) -> Result<()> {
    let (a, b) = (&first.head, &contents.head);
    ensure!(
        a.version == b.version,
        "{} is from the program {}, and {} from {}; they may simulate differently, so run the shards of \
         one of them again",
        first_path.display(),
        a.version,
        path.display(),
        b.version
    );
    ensure!(
        a.plan == b.plan && a.points == b.points,
        "{} and {} are of different grids ({} and {} points)",
        first_path.display(),
        path.display(),
        a.points,
        b.points
    );
    Ok(())
}

/// Which part of the plan it is.
fn part_of(contents: &Contents) -> Shard {
    contents.head.shard.unwrap_or(Shard::WHOLE)
}

/// Every point is there, once, with a row or with the reason why it has none.
fn ensure_complete(parts: &[(PathBuf, Contents)]) -> Result<()> {
    let mut unfinished = Vec::new();
    for (path, contents) in parts {
        let shard = part_of(contents);
        let first = shard.index() - 1;
        // As many as `journal::read` lets a file say at most.
        let planned = (first..contents.head.points).step_by(shard.of()).len();
        let mut there = vec![false; planned];
        let with_rows = contents.rows.iter().map(|row| row.facts.point);
        for point in with_rows.chain(contents.failed.keys().copied()) {
            let past = point.checked_sub(first);
            let own = past.filter(|past| past.is_multiple_of(shard.of()));
            let place = own.and_then(|past| there.get_mut(past / shard.of()));
            match place {
                Some(there) if !*there => *there = true,
                _ => bail!(
                    "{} has point {point} twice, or one that is not its own; run that shard again",
                    path.display()
                ),
            }
        }
        let done = contents.rows.len() + contents.failed.len();
        if done < planned {
            let path = path.display();
            unfinished.push(format!("{path} ({shard}: {done} of {planned} points)"));
        }
    }
    let count = unfinished.len();
    ensure!(
        count == 0,
        "not finished: {}; the same command goes on with a shard where it stopped",
        some(unfinished.into_iter(), count)
    );
    Ok(())
}

/// The first of `count` names, and how many more there are.
fn some(names: impl Iterator<Item = String>, count: usize) -> String {
    let shown: Vec<String> = names.take(SHOWN).collect();
    let mut text = shown.join(", ");
    if count > SHOWN {
        text += &format!(" and {} more", count - SHOWN);
    }
    text
}
