//! A copy of the tree below `target/` in which every deliberate mistake can be made.
//!
//! ```text
//!   the table: file, text with «what is right», what is wrong      each text occurs exactly once
//!       │
//!       ▼
//!   the copy:  «right» becomes  mutate!("name", right, wrong)      in crates/abi: the macro, and
//!                                                                  the variable MUTANT that chooses
//! ```
//!
//! Blanks and line breaks do not count when a text is looked for. Files that are as they should be
//! are left alone, so that cargo builds only what has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::mutant::Place;
use crate::mutant_table::mutants;
use crate::run::{root, target_dir};

/// The crate that gets the macro: all others depend on it.
const HOME: &str = "crates/abi/src/lib.rs";

/// What is added to it.
const SELECTOR: &str = r#"
extern crate std;

#[doc(hidden)]
#[allow(missing_docs)]
pub fn mutant_is_chosen(name: &str) -> bool {
    static CHOSEN: std::sync::OnceLock<std::string::String> = std::sync::OnceLock::new();
    CHOSEN.get_or_init(|| std::env::var("MUTANT").unwrap_or_default()) == name
}

#[doc(hidden)]
#[macro_export]
macro_rules! mutate {
    ($name:literal, $right:expr, $wrong:expr) => {
        if $crate::mutant_is_chosen($name) { $wrong } else { $right }
    };
}
"#;

/// Brings the copy up to date and returns its root.
pub(crate) fn make() -> Result<PathBuf> {
    let copy = target_dir("mutants").join("tree");
    let changed = with_mistakes(&root())?;
    let mut kept = BTreeSet::new();
    for path in files(&root())? {
        let from = root().join(&path);
        let bytes = match changed.get(&path) {
            Some(text) => text.clone().into_bytes(),
            None => fs::read(&from).with_context(|| format!("cannot read {}", path.display()))?,
        };
        update(&copy.join(&path), &bytes)?;
        kept.insert(path);
    }
    for path in files(&copy)? {
        if !kept.contains(&path) {
            fs::remove_file(copy.join(&path))?;
        }
    }
    Ok(copy)
}

/// Writes a file unless it is there already.
fn update(path: &Path, bytes: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|there| there == bytes) {
        return Ok(());
    }
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, bytes).with_context(|| format!("cannot write {}", path.display()))
}

/// All files below a folder, but for build outputs and git's own.
fn files(top: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else {
            continue; // the copy does not exist yet
        };
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if name != "target" && name != ".git" && name != "node_modules" {
                    folders.push(path);
                }
            } else if name != ".git" {
                found.push(path.strip_prefix(top)?.to_owned());
            }
        }
    }
    Ok(found)
}

/// The files that have mistakes, and the one that has the macro, with their new texts.
fn with_mistakes(top: &Path) -> Result<BTreeMap<PathBuf, String>> {
    let mut edits = BTreeMap::<&str, Vec<(Range<usize>, String)>>::new();
    let mut texts = BTreeMap::new();
    for file in mutants()
        .flat_map(|mutant| mutant.places)
        .map(|place| place.file)
    {
        let text = fs::read_to_string(top.join(file));
        texts.insert(file, text.with_context(|| format!("cannot read {file}"))?);
    }
    let mut wrong = Vec::new();
    for mutant in mutants() {
        for place in mutant.places {
            match find(&texts[place.file], place) {
                Ok(range) => {
                    let krate = if place.file.starts_with("crates/abi/") {
                        "crate"
                    } else {
                        "pvqspin_abi"
                    };
                    let right = &texts[place.file][range.clone()];
                    let edit = format!(
                        "{krate}::mutate!(\"{}\", {right}, {})",
                        mutant.name, place.wrong
                    );
                    edits.entry(place.file).or_default().push((range, edit));
                }
                Err(why) => wrong.push(format!("{}: {}: {why}", mutant.name, place.file)),
            }
        }
    }
    ensure!(
        wrong.is_empty(),
        "check/xtask/src/mutant_table does not fit the sources:\n{}",
        wrong.join("\n")
    );
    let mut changed = BTreeMap::new();
    for (file, mut edits) in edits {
        edits.sort_by_key(|(range, _)| range.start);
        let mut text = texts[file].clone();
        for (range, edit) in edits.into_iter().rev() {
            text.replace_range(range, &edit);
        }
        changed.insert(PathBuf::from(file), text);
    }
    let home = changed.entry(PathBuf::from(HOME));
    let home = home.or_insert(fs::read_to_string(top.join(HOME))?);
    home.push_str(SELECTOR);
    Ok(changed)
}

/// Where in a text what is right stands.
pub(crate) fn find(text: &str, place: &Place) -> Result<Range<usize>> {
    let (before, rest) = place.text.split_once('«').context("no « in the text")?;
    let (right, after) = rest.split_once('»').context("no » in the text")?;
    let dense = |text: &str| -> Vec<char> { text.chars().filter(|c| !c.is_whitespace()).collect() };
    let (start, length) = (dense(before).len(), dense(right).len());
    ensure!(length > 0, "nothing between « and »");
    let wanted = dense(&format!("{before}{right}{after}"));
    let there: Vec<_> = text
        .char_indices()
        .filter(|(_, c)| !c.is_whitespace())
        .collect();
    let found: Vec<_> = (there.windows(wanted.len()).enumerate())
        .filter(|(_, window)| window.iter().map(|(_, c)| c).eq(&wanted))
        .map(|(at, _)| at)
        .collect();
    match found[..] {
        [at] => {
            let first = there[at + start].0;
            let (last, c) = there[at + start + length - 1];
            Ok(first..last + c.len_utf8())
        }
        [] => bail!("the text is not there: {}", place.text),
        _ => bail!("the text is there {} times: {}", found.len(), place.text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &'static str) -> Place {
        Place {
            file: "a.rs",
            text,
            wrong: "2",
        }
    }

    #[test]
    fn a_text_is_found_whatever_its_blanks_are() {
        let text = "fn f() {\n    g(\n        1,\n        h( 3 ),\n    );\n}\n";
        let range = find(text, &place("g(1, «h(3)»,")).expect("it is there");
        assert_eq!(&text[range], "h( 3 )");
    }

    #[test]
    fn a_text_that_is_not_there_exactly_once_is_an_error() {
        let error =
            |text, wanted| format!("{}", find(text, &place(wanted)).expect_err("it is not"));
        assert_eq!(error("a b", "a «c»"), "the text is not there: a «c»");
        assert_eq!(
            error("a b a b", "a «b»"),
            "the text is there 2 times: a «b»"
        );
        assert_eq!(error("a b", "a b"), "no « in the text");
        assert_eq!(error("a b", "a «b"), "no » in the text");
        assert_eq!(error("a b", "a «» b"), "nothing between « and »");
    }

    #[test]
    fn the_table_fits_the_sources() {
        let changed = with_mistakes(&root()).expect("every text occurs exactly once");
        let made: usize = changed
            .values()
            .map(|text| text.matches("::mutate!(").count())
            .sum();
        assert_eq!(
            made,
            mutants().map(|mutant| mutant.places.len()).sum::<usize>()
        );
    }
}
