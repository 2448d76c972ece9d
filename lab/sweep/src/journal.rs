//! What is finished, kept while the rest runs: the file that a second call goes on from, and the
//! file that a shard hands over.
//!
//! ```text
//!   {"journal":1,"plan":"91c0…","version":"0.1.0, build…","points":96,"shard":null}     the head
//!   {"grid":"policies","point":17,…}                                            rows, in the
//!   {"grid":"policies","point":3,…}                                             order in which
//!   {"failed":5,"why":"fifo, …"}                                                they came; a point
//!   {"grid":"poli                                                               that has none
//!                 ^ a process that is killed leaves half a line: it is cut off
//! ```
//!
//! The head is written beside its place and renamed; rows are appended, one write each. So the
//! file never says less than it did, and rewriting it for each row would take time that grows
//! with the square of their number.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use pvqspin_report::files;
use serde::{Deserialize, Serialize};

use crate::grid::MAX_POINTS;
use crate::plan::{Plan, Shard, program};
use crate::point::Row;
use crate::run::PointError;

/// The version of the format.
const FORMAT: u32 = 1;

/// The first line.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Head {
    /// The version of the format.
    pub journal: u32,
    /// [`Plan::fingerprint`].
    pub plan: String,
    /// The version and the build of the program.
    pub version: String,
    /// How many points the whole plan has.
    pub points: usize,
    /// Which part of it this is; null if it is all.
    pub shard: Option<Shard>,
}

impl Head {
    /// Of a plan, or a part of it.
    #[must_use]
    pub fn new(plan: &Plan, shard: Option<Shard>) -> Self {
        Self {
            journal: FORMAT,
            plan: plan.fingerprint().to_owned(),
            version: program().to_owned(),
            points: plan.points.len(),
            shard,
        }
    }
}

/// What a journal says.
#[derive(Clone, PartialEq, Debug)]
pub struct Contents {
    /// The first line.
    pub head: Head,
    /// The rows, in the order in which they came.
    pub rows: Vec<Row>,
    /// The points that were tried and have no row, each with the reason.
    pub failed: BTreeMap<usize, String>,
    /// How much of the file that is, in bytes.
    whole: u64,
}

/// How the line of a point without a row begins.
const FAILED: &[u8] = b"{\"failed\":";

/// A point without a row.
#[derive(Debug, Serialize, Deserialize)]
struct FailedPoint {
    failed: usize,
    why: String,
}

/// Reads a journal.
///
/// # Errors
///
/// If it is none, or damaged before its last line.
pub fn read(path: &Path) -> Result<Contents> {
    let shown = path.display().to_string();
    let text = fs::read(path).with_context(|| format!("cannot read {shown}"))?;
    parse(&text, &shown)
}

/// Reads what stands in a journal, which errors call `shown`.
///
/// # Errors
///
/// As [`read`].
pub fn parse(text: &[u8], shown: &str) -> Result<Contents> {
    let mut lines = text.split_inclusive(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let head: Head = serde_json::from_slice(first).with_context(|| {
        format!("{shown} is not a file of `pvq sweep`: its first line says no plan")
    })?;
    ensure!(
        head.journal == FORMAT,
        "{shown} has format {}, and this program reads {FORMAT}",
        head.journal
    );
    // No plan has more; and lists of that many points are made of this number.
    ensure!(
        head.points <= MAX_POINTS,
        "{shown} is damaged in line 1: it says that its grid has {} points, and no grid has more than \
         {MAX_POINTS}",
        head.points
    );
    let mut contents = Contents {
        head,
        rows: Vec::new(),
        failed: BTreeMap::new(),
        whole: first.len() as u64,
    };
    for (number, line) in (2..).zip(lines) {
        if !line.ends_with(b"\n") {
            break;
        }
        let damaged = || format!("{shown} is damaged in line {number}");
        if line.starts_with(FAILED) {
            let FailedPoint { failed, why } = serde_json::from_slice(line).with_context(damaged)?;
            contents.failed.insert(failed, why);
        } else {
            let row = serde_json::from_slice(line).with_context(damaged)?;
            contents.rows.push(row);
        }
        contents.whole += line.len() as u64;
    }
    // Tried again, and better.
    for row in &contents.rows {
        contents.failed.remove(&row.facts.point);
    }
    Ok(contents)
}

/// A journal that is being written.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// Goes on with a journal, or begins one. Returns the rows that it has: a point that failed has
    /// none, and is tried again.
    ///
    /// # Errors
    ///
    /// If there is one of another plan: it would be lost.
    pub fn open(path: &Path, head: &Head, restart: bool) -> Result<(Self, Vec<Row>)> {
        files::check_writable(path)?;
        let mut rows = Vec::new();
        if path.exists() && !restart {
            let contents = read(path)?;
            ensure_same(path, &contents.head, head)?;
            rows = contents.rows;
            cut(path, contents.whole)?;
        } else {
            files::write_atomically(path, |to| {
                serde_json::to_writer(&mut *to, head)?;
                to.write_all(b"\n")
            })?;
        }
        let file = File::options().append(true).open(path);
        let file = file.with_context(|| format!("cannot write {}", path.display()))?;
        let path = path.to_owned();
        Ok((Self { path, file }, rows))
    }

    /// Adds a row.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn add(&mut self, row: &Row) -> Result<()> {
        self.append(serde_json::to_vec(row)?)
    }

    /// Adds that a point has no row, and why.
    ///
    /// # Errors
    ///
    /// What the file system says.
    pub fn add_failed(&mut self, error: &PointError) -> Result<()> {
        // The first line of the reason: the others show how everything stood.
        let reason = error.error.to_string();
        let reason = reason.lines().next().unwrap_or_default();
        let failed = FailedPoint {
            failed: error.number,
            why: format!("{}: {reason}", error.point),
        };
        self.append(serde_json::to_vec(&failed)?)
    }

    fn append(&mut self, mut line: Vec<u8>) -> Result<()> {
        line.push(b'\n');
        let written = self.file.write_all(&line);
        written.with_context(|| format!("cannot write {}", self.path.display()))
    }
}

fn ensure_same(path: &Path, found: &Head, wanted: &Head) -> Result<()> {
    if found == wanted {
        return Ok(());
    }
    let difference = if found.version != wanted.version {
        format!(
            "another program ({}, and this is {})",
            found.version, wanted.version
        )
    } else if found.plan != wanted.plan {
        format!("another grid, of {} points", found.points)
    } else {
        match found.shard {
            Some(shard) => format!("shard {shard}"),
            None => "the whole grid".to_owned(),
        }
    };
    bail!(
        "{} holds results of {difference}; give another output, or --restart to throw them away",
        path.display()
    )
}

fn cut(path: &Path, whole: u64) -> Result<()> {
    let file = File::options().write(true).open(path);
    file.and_then(|file| file.set_len(whole))
        .with_context(|| format!("cannot write {}", path.display()))
}
