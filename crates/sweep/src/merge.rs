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

/// Puts the files of all shards together.
///
/// # Errors
///
/// If they are not parts of one plan, if one is there twice, or if points are missing: the error
/// says which shards are missing, or which were not finished.
pub fn merge(paths: &[PathBuf]) -> Result<Vec<Row>> {
    let mut parts: Vec<(&Path, Contents)> = Vec::new();
    for path in paths {
        parts.push((path, journal::read(path)?));
    }
    let Some((first_path, first)) = parts.first() else {
        bail!("there is nothing to merge; name the files of the shards");
    };
    let of = |contents: &Contents| contents.head.shard.map_or(1, |shard| shard.of);
    let shards = of(first);
    let mut seen: BTreeMap<usize, &Path> = BTreeMap::new();
    for (path, contents) in &parts {
        ensure_related(first_path, first, path, contents)?;
        ensure!(
            of(contents) == shards,
            "{} is one of {} shards, and {} one of {shards}; they do not fit together",
            path.display(),
            of(contents),
            first_path.display()
        );
        let index = contents.head.shard.map_or(1, |shard| shard.index);
        if let Some(before) = seen.insert(index, path) {
            bail!(
                "{} and {} are both shard {index}/{shards}; leave one out",
                before.display(),
                path.display()
            );
        }
    }
    let missing: Vec<String> = (1..=shards)
        .filter(|index| !seen.contains_key(index))
        .map(|index| format!("{index}/{shards}"))
        .collect();
    ensure!(
        missing.is_empty(),
        "{} of {shards} shards are missing: {}",
        missing.len(),
        some(&missing)
    );
    ensure_complete(&parts)?;
    let mut rows: Vec<Row> = parts.into_iter().flat_map(|(_, part)| part.rows).collect();
    output::sort(&mut rows);
    Ok(rows)
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
        a.plan == b.plan,
        "{} and {} are of different grids ({} and {} points)",
        first_path.display(),
        path.display(),
        a.points,
        b.points
    );
    Ok(())
}

/// Every point is there, once.
fn ensure_complete(parts: &[(&Path, Contents)]) -> Result<()> {
    let mut unfinished = Vec::new();
    for (path, contents) in parts {
        let Shard { index, of } = contents.head.shard.unwrap_or(Shard { index: 1, of: 1 });
        let mut wanted: Vec<usize> = (index - 1..contents.head.points).step_by(of).collect();
        let planned = wanted.len();
        for row in &contents.rows {
            let point = row.facts.point;
            match wanted.binary_search(&point) {
                Ok(at) => drop(wanted.remove(at)),
                Err(_) => bail!(
                    "{} has point {point} twice, or one that is not its own; run that shard again",
                    path.display()
                ),
            }
        }
        if !wanted.is_empty() {
            unfinished.push(format!(
                "{} ({index}/{of}: {} of {planned} points)",
                path.display(),
                planned - wanted.len()
            ));
        }
    }
    ensure!(
        unfinished.is_empty(),
        "not finished: {}; the same command goes on with a shard where it stopped",
        some(&unfinished)
    );
    Ok(())
}

fn some(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(String::as_str);
    let mut text = shown.collect::<Vec<_>>().join(", ");
    if names.len() > SHOWN {
        text += &format!(" and {} more", names.len() - SHOWN);
    }
    text
}
