//! The Markdown files of the repository: where they are, what headings, links and code they have.

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use crate::run::root;

/// Directories that hold no guides of this repository.
const FOREIGN: [&str; 4] = ["target", ".git", "results", "node_modules"];

/// What a Markdown file holds.
#[derive(Debug, Default)]
pub(crate) struct Page {
    /// The ids of its headings, as GitHub and mdBook make them.
    pub(crate) anchors: HashSet<String>,
    /// Where its links and pictures lead, and from where in the text.
    pub(crate) links: Vec<(usize, String)>,
    /// Its code blocks: what follows the fence, and the code's place in the text.
    pub(crate) code: Vec<(String, Range<usize>)>,
}

impl Page {
    pub(crate) fn parse(text: &str) -> Self {
        let mut page = Self::default();
        let mut seen = HashMap::new();
        let mut heading: Option<String> = None;
        let options = Options::ENABLE_TABLES | Options::ENABLE_FOOTNOTES;
        for (event, at) in Parser::new_ext(text, options).into_offset_iter() {
            match event {
                Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
                Event::End(TagEnd::Heading(_)) => {
                    let id = slug(&heading.take().unwrap_or_default());
                    let times = seen.entry(id.clone()).or_insert(0);
                    page.anchors.insert(match *times {
                        0 => id,
                        times => format!("{id}-{times}"),
                    });
                    *times += 1;
                }
                Event::Text(words) | Event::Code(words) => {
                    if let Some(heading) = &mut heading {
                        heading.push_str(&words);
                    }
                }
                Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => {
                    page.links.push((at.start, dest_url.into_string()));
                }
                Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                    page.code.push((info.into_string(), inside_fence(text, at)));
                }
                _ => {}
            }
        }
        page
    }
}

/// The place of the code in a fenced block: all but its first and its last line.
fn inside_fence(text: &str, block: Range<usize>) -> Range<usize> {
    let whole = &text[block.clone()];
    let start = whole.find('\n').map_or(whole.len(), |end| end + 1);
    let end = whole.trim_end().rfind('\n').map_or(start, |end| end + 1);
    block.start + start..block.start + end.max(start)
}

/// The id of a heading: lower case, spaces to hyphens, punctuation dropped.
pub(crate) fn slug(heading: &str) -> String {
    let keep = |c: char| match c {
        c if c.is_alphanumeric() => Some(c.to_lowercase().next().unwrap_or(c)),
        '-' | '_' => Some(c),
        c if c.is_whitespace() => Some('-'),
        _ => None,
    };
    heading.trim().chars().filter_map(keep).collect()
}

/// The line of a place in a text, from 1.
pub(crate) fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// Every Markdown file of the repository, by its path from the root, with its text.
pub(crate) fn files() -> Result<Vec<(PathBuf, String)>> {
    let mut found = Vec::new();
    let mut to_visit = vec![root()];
    while let Some(dir) = to_visit.pop() {
        let entries = std::fs::read_dir(&dir).with_context(|| format!("{}", dir.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name();
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                if !FOREIGN.iter().any(|foreign| name == *foreign) {
                    to_visit.push(path);
                }
            } else if path.extension().is_some_and(|extension| extension == "md") {
                let text = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                found.push((relative(&path), text));
            }
        }
    }
    found.sort();
    Ok(found)
}

fn relative(path: &Path) -> PathBuf {
    path.strip_prefix(root()).unwrap_or(path).to_path_buf()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_get_the_ids_that_github_gives_them() {
        for (heading, id) in [
            ("The `lock_api` 0.4 adapter", "the-lock_api-04-adapter"),
            ("Why not just test-and-set?", "why-not-just-test-and-set"),
            ("HALT, KICK", "halt-kick"),
        ] {
            let page = Page::parse(&format!("# {heading}\n"));
            assert!(page.anchors.contains(id), "{:?}", page.anchors);
        }
    }

    #[test]
    fn a_heading_that_comes_twice_is_numbered() {
        let page = Page::parse("# Same\n\ntext\n\n# Same\n");
        assert!(page.anchors.contains("same") && page.anchors.contains("same-1"));
    }

    #[test]
    fn code_is_what_stands_between_the_fences() {
        let text = "a\n\n```rust,ignore\nlet x = 1;\n```\n\nb\n";
        let page = Page::parse(text);
        let (info, place) = &page.code[0];
        assert_eq!(
            (info.as_str(), &text[place.clone()]),
            ("rust,ignore", "let x = 1;\n")
        );
    }

    #[test]
    fn links_in_code_are_none() {
        let page = Page::parse("[a](b.md) `[c](d.md)` ![e](f.svg)\n\n```text\n[g](h.md)\n```\n");
        let targets: Vec<_> = page.links.iter().map(|(_, to)| to.as_str()).collect();
        assert_eq!(targets, ["b.md", "f.svg"]);
    }
}
