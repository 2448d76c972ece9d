//! All points of a file, their fingerprint, and how they are dealt out to shards.

use core::hash::Hasher;
use core::str::FromStr;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

use crate::grid;
use crate::point::Point;
use crate::source::{FileError, Source};

/// Everything that a file asks for, in the order of the rows.
#[derive(Clone, PartialEq, Debug)]
pub struct Plan {
    /// The points.
    pub points: Vec<Point>,
    fingerprint: String,
}

impl Plan {
    /// Reads a file.
    ///
    /// # Errors
    ///
    /// The first thing that cannot be run, with its line.
    pub fn read(source: Source<'_>) -> Result<Self, FileError> {
        let points = grid::points(source)?;
        let fingerprint = fingerprint(&points);
        Ok(Self {
            points,
            fingerprint,
        })
    }

    /// What two plans share if and only if they ask for the same simulations: comments and the
    /// way in which a file says things do not matter.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The points of a shard; every point without one.
    #[must_use]
    pub fn part(&self, shard: Option<Shard>) -> Vec<usize> {
        let Shard { index, of } = shard.unwrap_or(Shard { index: 1, of: 1 });
        // Every n-th: neighbours in a grid take about the same time, so shards do too.
        (0..self.points.len()).skip(index - 1).step_by(of).collect()
    }
}

/// The version of this program, and a fingerprint of its very build: a lock or a host that was
/// changed meanwhile gives other rows, which must not be mixed with those before.
pub(crate) fn program() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let version = env!("CARGO_PKG_VERSION");
        let Ok(bytes) = std::env::current_exe().and_then(std::fs::read) else {
            return version.to_owned();
        };
        let mut hasher = fnv::FnvHasher::default();
        hasher.write(&bytes);
        format!("{version}, build {:016x}", hasher.finish())
    })
}

fn fingerprint(points: &[Point]) -> String {
    let mut hasher = fnv::FnvHasher::default();
    for point in points {
        hasher.write(format!("{point:?}").as_bytes());
    }
    format!("{:016x}", hasher.finish())
}

/// One of several equal parts of a plan, from 1.
///
/// ```
/// use pvqspin_sweep::plan::Shard;
///
/// assert_eq!("2/8".parse(), Ok(Shard { index: 2, of: 8 }));
/// assert!("0/8".parse::<Shard>().unwrap_err().contains("1/8 to 8/8"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Shard {
    /// Which part, from 1.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/');
        let numbers = numbers.and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        match numbers {
            Some((_, 0)) | None => Err("a shard is a number of so many: 1/8 to 8/8".to_owned()),
            Some((index, of)) if index == 0 || index > of => {
                Err(format!("shards are numbered from 1: 1/{of} to {of}/{of}"))
            }
            Some((index, of)) => Ok(Self { index, of }),
        }
    }
}
