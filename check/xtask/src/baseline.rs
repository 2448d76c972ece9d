//! The recorded instruction counts, and what is said when they are not met.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use anyhow::{Context, Result};
use serde::Deserialize;

/// What a pair of lock and unlock executes without contention.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    /// Instructions.
    pub(crate) instructions: u64,
    /// Those of them that lock their cache line.
    pub(crate) locked: u64,
    /// Conditional branches.
    pub(crate) branches: u64,
}

/// The counts of all locks, and what they hold for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Baseline {
    /// What `rustc --version` says.
    pub(crate) rustc: String,
    /// The target triple.
    pub(crate) target: String,
    /// Name and counts, in the order in which they were counted.
    pub(crate) locks: Vec<(String, Counts)>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    rustc: String,
    target: String,
    locks: BTreeMap<String, Counts>,
}

const HEADER: &str = "\
# What one uncontended pair of lock and unlock executes, over the same section without a lock.
# Counted by callgrind; written by `cargo xtask instructions --write`, and compared without `--write`.
";

impl Baseline {
    /// Reads the file. The locks come out sorted by name.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let file: File = toml::from_str(text).context("the recorded counts cannot be read")?;
        Ok(Self {
            rustc: file.rustc,
            target: file.target,
            locks: file.locks.into_iter().collect(),
        })
    }

    /// Writes the file.
    pub(crate) fn render(&self) -> String {
        let mut text = format!(
            "{HEADER}rustc = {:?}\ntarget = {:?}\n\n[locks]\n",
            self.rustc, self.target
        );
        let quoted = |name: &str| format!("{name:?}");
        let width = self.locks.iter().map(|(name, _)| quoted(name).len()).max();
        for (name, counts) in &self.locks {
            let _ = writeln!(
                text,
                "{:<width$} = {{ instructions = {}, locked = {}, branches = {} }}",
                quoted(name),
                counts.instructions,
                counts.locked,
                counts.branches,
                width = width.unwrap_or(0),
            );
        }
        text
    }

    /// The counts of a lock.
    pub(crate) fn of(&self, name: &str) -> Option<Counts> {
        let found = self.locks.iter().find(|(other, _)| other == name);
        found.map(|&(_, counts)| counts)
    }

    /// What is different now, a line each; nothing if it is the same.
    pub(crate) fn differences(&self, now: &Self) -> Vec<String> {
        let mut lines = Vec::new();
        for (what, recorded, current) in [
            ("rustc", &self.rustc, &now.rustc),
            ("target", &self.target, &now.target),
        ] {
            if recorded != current {
                lines.push(format!(
                    "{what}: recorded with {recorded}, this is {current}"
                ));
            }
        }
        for (name, current) in &now.locks {
            match self.of(name) {
                None => lines.push(format!("{name}: not recorded, now {}", in_words(*current))),
                Some(recorded) if recorded != *current => lines.push(format!(
                    "{name}: recorded {}, now {}",
                    in_words(recorded),
                    in_words(*current)
                )),
                Some(_) => {}
            }
        }
        for (name, _) in &self.locks {
            if now.of(name).is_none() {
                lines.push(format!("{name}: recorded, and no longer there"));
            }
        }
        lines
    }
}

fn in_words(counts: Counts) -> String {
    format!(
        "{} instructions ({} locked, {} branches)",
        counts.instructions, counts.locked, counts.branches
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn counts(instructions: u64, locked: u64, branches: u64) -> Counts {
        Counts {
            instructions,
            locked,
            branches,
        }
    }

    fn recorded() -> Baseline {
        Baseline {
            rustc: "rustc 1.95.0".to_owned(),
            target: "x86_64-unknown-linux-gnu".to_owned(),
            locks: vec![
                ("fifo".to_owned(), counts(10, 2, 2)),
                ("swap, then store".to_owned(), counts(5, 1, 1)),
            ],
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let text = recorded().render();
        assert_eq!(Baseline::parse(&text).expect("our own file"), recorded());
    }

    #[test]
    fn the_same_counts_pass_in_any_order() {
        let mut now = recorded();
        now.locks.reverse();
        assert_eq!(recorded().differences(&now), Vec::<String>::new());
    }

    #[test]
    fn each_difference_is_named() {
        let mut now = recorded();
        now.locks[0].1 = counts(11, 2, 2);
        assert_eq!(
            recorded().differences(&now),
            ["fifo: recorded 10 instructions (2 locked, 2 branches), \
              now 11 instructions (2 locked, 2 branches)"]
        );
        // The same number of instructions, one of them a locked one.
        now.locks[0].1 = counts(10, 3, 2);
        assert_eq!(recorded().differences(&now).len(), 1);

        now.locks[0].0 = "fofi".to_owned();
        now.rustc = "rustc 1.96.0".to_owned();
        assert_eq!(
            recorded().differences(&now),
            [
                "rustc: recorded with rustc 1.95.0, this is rustc 1.96.0",
                "fofi: not recorded, now 10 instructions (3 locked, 2 branches)",
                "fifo: recorded, and no longer there",
            ]
        );
    }

    #[test]
    fn a_damaged_file_is_refused() {
        let text = recorded().render();
        for (from, to) in [
            ("locked = 2", "locked = -2"),
            ("branches", "branch"),
            ("rustc =", "compiler ="),
        ] {
            assert!(Baseline::parse(&text.replace(from, to)).is_err(), "{to}");
        }
    }
}
