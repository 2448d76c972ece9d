//! All points of a file, their fingerprint, and how they are dealt out to shards.

use core::fmt;
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
        let Shard { index, of } = shard.unwrap_or(Shard::WHOLE);
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
/// assert_eq!("2/8".parse(), Shard::new(2, 8));
/// assert!("0/8".parse::<Shard>().unwrap_err().contains("1/8 to 8/8"));
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(try_from = "Fields")]
pub struct Shard {
    index: usize,
    of: usize,
}

/// What a file says of a shard, which may be anything.
#[derive(Deserialize)]
struct Fields {
    index: usize,
    of: usize,
}

impl Shard {
    /// All of a plan.
    pub const WHOLE: Self = Self { index: 1, of: 1 };

    /// Part `index` of `of`.
    ///
    /// # Errors
    ///
    /// If there is no such part: says which there are.
    pub fn new(index: usize, of: usize) -> Result<Self, String> {
        match of {
            0 => Err("a shard is a number of so many: 1/8 to 8/8".to_owned()),
            _ if index == 0 || index > of => {
                Err(format!("shards are numbered from 1: 1/{of} to {of}/{of}"))
            }
            _ => Ok(Self { index, of }),
        }
    }

    /// Which part, from 1.
    #[must_use]
    pub const fn index(self) -> usize {
        self.index
    }

    /// Of how many.
    #[must_use]
    pub const fn of(self) -> usize {
        self.of
    }
}

impl TryFrom<Fields> for Shard {
    type Error = String;

    fn try_from(fields: Fields) -> Result<Self, String> {
        Self::new(fields.index, fields.of)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/');
        let numbers = numbers.and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
        // No number at all is as wrong as no part at all.
        let (index, of) = numbers.unwrap_or((0, 0));
        Self::new(index, of)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}
