//! Code in the guides: each Rust block is either tested as it stands, or a piece of a file that is
//! compiled.
//!
//! ```text
//! <!-- excerpt: crates/host/examples/toy.rs main -->
//! ```
//!
//! before a block says that it is what stands between `// excerpt: main` and `// end: main` in that
//! file; without a name, the whole file. `cargo xtask book --write` puts it there.

use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::markdown::{Page, line_of};
use crate::run::{replace, root};

const MARK: &str = "<!-- excerpt: ";

/// The crate whose documentation tests are the guides.
const TESTED_BY: &str = "check/guides/src/lib.rs";

/// Compares every excerpt with its file, or writes it; returns what is wrong with code blocks.
pub(crate) fn check(files: &[(PathBuf, String)], write: bool) -> Result<Vec<String>> {
    let tested = std::fs::read_to_string(root().join(TESTED_BY))
        .with_context(|| format!("cannot read {TESTED_BY}"))?;
    let mut wrong = Vec::new();
    for (path, text) in files {
        let mut mended = text.clone();
        // From the end, so that the places before stay where they are.
        for (info, code) in Page::parse(text).code.into_iter().rev() {
            let at = format!("{}:{}", path.display(), line_of(text, code.start));
            let Some(source) = source_of(text, &code) else {
                if let Some(problem) = untested(path, &info, &tested) {
                    wrong.push(format!("{at}: {problem}"));
                }
                continue;
            };
            match excerpt(&source) {
                Err(problem) => wrong.push(format!("{at}: {problem:#}")),
                Ok(excerpt) if write => mended.replace_range(code, &excerpt),
                Ok(excerpt) if excerpt != text[code] => wrong.push(format!(
                    "{at}: differs from {source}; `cargo xtask book --write` copies it"
                )),
                Ok(_) => {}
            }
        }
        if mended != *text {
            println!("writes {}", path.display());
            replace(&root().join(path), &mended)?;
        }
    }
    Ok(wrong)
}

/// What the mark before a block says, if there is one.
fn source_of(text: &str, code: &Range<usize>) -> Option<String> {
    let before = text[..code.start].trim_end_matches('\n');
    // The fence itself is the last line before the code.
    let before = &before[..before.rfind('\n')?];
    let line = before.trim_end().rsplit('\n').next()?;
    let source = line.strip_prefix(MARK)?.strip_suffix("-->")?;
    Some(source.trim().to_owned())
}

/// What is wrong with a block that is no excerpt.
fn untested(path: &Path, info: &str, tested: &str) -> Option<String> {
    let words: Vec<_> = info.split([',', ' ']).collect();
    if !words.contains(&"rust") {
        return None;
    }
    if words.contains(&"ignore") {
        return Some("nothing compiles this: test it, or make it an excerpt of a file".into());
    }
    let name = path.to_string_lossy();
    let known = tested.contains(&format!("/{name}\""));
    (!known).then(|| format!("{TESTED_BY} does not include this file, so nothing tests its code"))
}

/// The piece of a file that a mark names.
fn excerpt(source: &str) -> Result<String> {
    let (file, name) = match source.split_once(' ') {
        Some((file, name)) => (file, Some(name)),
        None => (source, None),
    };
    let text = std::fs::read_to_string(root().join(file))
        .with_context(|| format!("cannot read {file}"))?;
    match name {
        None => Ok(text),
        Some(name) => between(&text, name).with_context(|| {
            format!("{file} has no `// excerpt: {name}` with its `// end: {name}`")
        }),
    }
}

/// The lines between the marks, moved to the left as far as they go.
fn between(text: &str, name: &str) -> Option<String> {
    let is = |line: &&str, mark: &str| line.trim() == format!("// {mark}: {name}");
    let lines: Vec<_> = text
        .lines()
        .skip_while(|line| !is(line, "excerpt"))
        .skip(1)
        .collect();
    let end = lines.iter().position(|line| is(line, "end"))?;
    let lines = &lines[..end];
    let indent = lines
        .iter()
        .filter(|line| !line.trim().is_empty())
        .map(|line| line.len() - line.trim_start().len())
        .min()?;
    let moved = |line: &&str| line.get(indent..).unwrap_or("").to_owned() + "\n";
    Some(lines.iter().map(moved).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_excerpt_is_what_stands_between_its_marks() {
        let file = "x\n    // excerpt: a\n    one\n\n        two\n    // end: a\ny\n";
        assert_eq!(between(file, "a").as_deref(), Some("one\n\n    two\n"));
        assert_eq!(between(file, "b"), None);
        assert_eq!(between("// excerpt: a\nx\n", "a"), None);
    }

    #[test]
    fn a_mark_counts_for_the_block_below_it() {
        let text = "<!-- excerpt: a/b.rs c -->\n```rust\nx\n```\n\n```rust\ny\n```\n";
        let sources: Vec<_> = Page::parse(text)
            .code
            .iter()
            .map(|(_, code)| source_of(text, code))
            .collect();
        assert_eq!(sources, [Some("a/b.rs c".to_owned()), None]);
    }

    #[test]
    fn code_that_nobody_compiles_is_found() {
        let docs = Path::new("docs/a.md");
        let tested = "include_str!(\"../../../docs/a.md\")";
        assert_eq!(untested(docs, "rust", tested), None);
        assert_eq!(untested(docs, "text", ""), None);
        assert!(untested(docs, "rust", "").is_some());
        assert!(untested(docs, "rust,ignore", tested).is_some());
    }
}
