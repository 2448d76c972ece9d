//! What keeps the house in order: no circle among modules, no long file, few words of a dialect.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::module_graph::ModuleGraph;
use crate::run::root;
use crate::sources::{Source, read};

/// Where Rust stands in this repository.
const FOLDERS: [&str; 5] = ["crates", "examples", "linux", "lab", "check"];
/// A file of code has no more lines.
const MOST_LINES: usize = 400;
/// Endings of files of code.
const CODE: [&str; 4] = ["rs", "c", "h", "pml"];
/// Words that hide who is meant (lock holder, waiter, caller, target): beginnings, and the ends that make them vague.
const VAGUE: [(&str, &[&str]); 5] = [
    ("who", &["ever", "m", "mever"]),
    ("some", &["body"]),
    ("no", &["body"]),
    ("any", &["body"]),
    ("every", &["body"]),
];
/// On so many lines of code, and of prose, one of them may stand. The numbers only fall.
const MOST_VAGUE: [usize; 2] = [2, 2];

/// Checks all of it, and says everything that is wrong.
pub(crate) fn check() -> Result<()> {
    let sources = read(&FOLDERS)?;
    let mut wrong = String::new();
    let modules = circles(&sources, &mut wrong);
    let files = tracked()?;
    let (mut code_vague, mut prose_vague) = (0, 0);
    let mut longest = (0, String::new());
    for path in &files {
        let ending = path.rsplit('.').next().unwrap_or_default();
        if ending != "md" && !CODE.contains(&ending) {
            continue;
        }
        let text =
            fs::read_to_string(root().join(path)).with_context(|| format!("cannot read {path}"))?;
        let vague = vague_words(&text);
        if ending == "md" {
            prose_vague += vague;
            continue;
        }
        code_vague += vague;
        let lines = text.lines().count();
        if lines > MOST_LINES {
            let _ = writeln!(wrong, "{path} has {lines} lines, {MOST_LINES} at most");
        }
        longest = longest.max((lines, path.clone()));
    }
    for ((what, count), most) in [("code", code_vague), ("prose", prose_vague)]
        .into_iter()
        .zip(MOST_VAGUE)
    {
        if count > most {
            let words = VAGUE.map(|(begin, ends)| format!("{begin}{}", ends.join("/")));
            let words = words.join(", ");
            let _ = writeln!(
                wrong,
                "{words}: on {count} lines of {what}, {most} at most; name who is meant"
            );
        }
    }
    ensure!(wrong.is_empty(), "the house is not in order:\n{wrong}");
    let (lines, path) = longest;
    println!(
        "house: no circle among {modules} modules; the longest file is {path} with {lines} lines; \
         {code_vague} and {prose_vague} lines of code and prose have vague words"
    );
    Ok(())
}

/// Notes every circle. Returns the number of files looked at.
fn circles(sources: &[Source], wrong: &mut String) -> usize {
    let mut crates: BTreeMap<&str, Vec<&Source>> = BTreeMap::new();
    for source in sources {
        crates.entry(&source.krate).or_default().push(source);
    }
    for (krate, sources) in crates {
        let graph = ModuleGraph::of(sources.into_iter());
        for circle in graph.circles() {
            let shown = graph.shown(&circle);
            let _ = write!(wrong, "{krate}: these modules use each other\n{shown}");
        }
    }
    sources.len()
}

/// The files that git tracks.
fn tracked() -> Result<Vec<String>> {
    let output = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(root())
        .output()
        .context("cannot run git")?;
    ensure!(output.status.success(), "git ls-files failed");
    let names = String::from_utf8(output.stdout).context("a file's name is not UTF-8")?;
    let there = |name: &&str| !name.is_empty() && root().join(name).is_file();
    Ok(names.split('\0').filter(there).map(str::to_owned).collect())
}

/// On how many lines one of the words stands.
fn vague_words(text: &str) -> usize {
    let is_vague = |word: &str| {
        let word = word.to_ascii_lowercase();
        (VAGUE.iter()).any(|(begin, ends)| {
            word.strip_prefix(begin)
                .is_some_and(|end| ends.contains(&end))
        })
    };
    let words = |line: &str| {
        line.split(|at: char| !at.is_alphanumeric() && at != '_')
            .any(is_vague)
    };
    text.lines().filter(|line| words(line)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_whole_and_once_a_line() {
        let text = "Whoever waits, whom nobody wakes.\nnobody_waits(); wholly\nSomebody-else";
        assert_eq!(vague_words(text), 2);
    }
}
