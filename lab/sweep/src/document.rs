//! A document with generated tables between markers, and with pictures whose texts are generated.
//!
//! ```text
//!   <!-- table: variants -->
//!   (whatever stands here is written anew)
//!   <!-- end of table -->
//!
//!   ![(written anew, too)](generated/study-pareto-8-hint.svg)
//! ```

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

const BEGIN: &str = "<!-- table: ";
const END: &str = "<!-- end of table -->";

/// The document with these tables in it. What stands outside of markers stays, and so do tables
/// that were not made.
///
/// ```
/// use std::collections::BTreeMap;
/// use pvqspin_sweep::document::fill;
///
/// let text = "Before.\n<!-- table: one -->\nold\n<!-- end of table -->\nAfter.\n";
/// let new = BTreeMap::from([("one".to_owned(), "new\n".to_owned())]);
/// assert!(fill(text, &new).unwrap().contains("-->\n\nnew\n\n<!--"));
/// ```
///
/// # Errors
///
/// If a marker is not closed, or a table has no place.
pub fn fill(document: &str, tables: &BTreeMap<String, String>) -> Result<String> {
    let mut text = String::new();
    let mut placed = Vec::new();
    let mut lines = document.lines();
    while let Some(line) = lines.next() {
        text.push_str(line);
        text.push('\n');
        let Some(name) = name_in(line) else { continue };
        let old: Vec<&str> = lines.by_ref().take_while(|line| *line != END).collect();
        match tables.get(name) {
            Some(table) => {
                text.push_str(&format!("\n{}\n\n", table.trim_end()));
                placed.push(name.to_owned());
            }
            None => old.iter().for_each(|line| {
                text.push_str(line);
                text.push('\n');
            }),
        }
        text.push_str(END);
        text.push('\n');
    }
    ensure!(
        document.matches(BEGIN).count() == document.matches(END).count(),
        "a table's marker has no '{END}' after it"
    );
    if let Some(name) = tables.keys().find(|name| !placed.contains(name)) {
        bail!("the document has no place for the table '{name}': '{BEGIN}{name} -->'");
    }
    Ok(text)
}

/// The document with these texts, by file as the document names it, for readers who do not see the
/// pictures. Other pictures keep theirs.
///
/// ```
/// use std::collections::BTreeMap;
/// use pvqspin_sweep::document::name_pictures;
///
/// let words = BTreeMap::from([("a.svg".to_owned(), "a line that falls".to_owned())]);
/// let text = "![old](a.svg)\n\nSee [this](a.svg) and ![](b.svg).\n";
/// let named = name_pictures(text, &words);
/// assert_eq!(named, "![a line that falls](a.svg)\n\nSee [this](a.svg) and ![](b.svg).\n");
/// ```
#[must_use]
pub fn name_pictures(document: &str, words: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut rest = document;
    while let Some((before, picture)) = rest.split_once("![") {
        text += before;
        text += "![";
        let file =
            (picture.split_once("](")).and_then(|(old, file)| Some((old, file.split_once(')')?.0)));
        rest = match file.and_then(|(old, file)| Some((old, words.get(file)?))) {
            Some((old, words)) => {
                text += words;
                &picture[old.len()..]
            }
            None => picture,
        };
    }
    text + rest
}

fn name_in(line: &str) -> Option<&str> {
    line.strip_prefix(BEGIN)?.strip_suffix(" -->")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(names: &[&str]) -> BTreeMap<String, String> {
        let table = |name: &&str| ((*name).to_owned(), format!("| {name} |\n"));
        names.iter().map(table).collect()
    }

    const TEXT: &str = "# Study\n\n<!-- table: a -->\nold a\n<!-- end of table -->\n\nProse.\n\n\
                        <!-- table: b -->\n<!-- end of table -->\n";

    #[test]
    fn only_what_was_made_is_replaced() {
        let text = fill(TEXT, &tables(&["b"])).expect("it has a place");
        assert!(text.contains("old a\n<!--"), "{text}");
        assert!(
            text.contains("<!-- table: b -->\n\n| b |\n\n<!--"),
            "{text}"
        );
        assert!(
            text.starts_with("# Study\n\n<!--") && text.contains("\nProse.\n"),
            "{text}"
        );
    }

    #[test]
    fn filling_twice_changes_nothing() {
        let once = fill(TEXT, &tables(&["a", "b"])).expect("they have places");
        assert_eq!(fill(&once, &tables(&["a", "b"])).expect("still"), once);
    }

    #[test]
    fn a_table_without_a_place_and_an_open_marker_are_errors() {
        let error = fill(TEXT, &tables(&["c"]))
            .expect_err("no place")
            .to_string();
        assert!(error.contains("'<!-- table: c -->'"), "{error}");
        let open = TEXT.replacen(END, "", 1);
        assert!(fill(&open, &tables(&["b"])).is_err());
    }
}
