//! Whether every link of the Markdown files and of the built book leads somewhere. No network: a
//! link to elsewhere only has to look like one.

use std::collections::{HashMap, HashSet};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use crate::markdown::{Page, line_of};
use crate::run::root;

/// Checks the links of these files; returns what is wrong with them.
pub(crate) fn in_files(files: &[(PathBuf, String)]) -> Vec<String> {
    let pages: HashMap<&Path, Page> = files
        .iter()
        .map(|(path, text)| (path.as_path(), Page::parse(text)))
        .collect();
    let mut wrong = Vec::new();
    for (path, text) in files {
        for (at, to) in &pages[path.as_path()].links {
            if let Err(problem) = follow(path, to, &pages) {
                let line = line_of(text, *at);
                wrong.push(format!("{}:{line}: {to}: {problem}", path.display()));
            }
        }
    }
    wrong
}

/// Where one link leads.
fn follow(from: &Path, to: &str, pages: &HashMap<&Path, Page>) -> Result<(), String> {
    if is_elsewhere(to) {
        return looks_like_a_url(to);
    }
    let (path, anchor) = to.split_once('#').map_or((to, None), |(p, a)| (p, Some(a)));
    if path.starts_with('/') {
        return Err("starts at the root of the disk; write it from the file's own place".into());
    }
    let target = match path {
        "" => from.to_path_buf(),
        path => from_root(&from.parent().unwrap_or(Path::new("")).join(path))
            .ok_or("leads out of the repository")?,
    };
    if !pages.contains_key(target.as_path()) && !root().join(&target).exists() {
        return Err(format!("there is no {}", target.display()));
    }
    match (anchor, pages.get(target.as_path())) {
        (Some(anchor), Some(page)) if !page.anchors.contains(anchor) => {
            Err(format!("{} has no heading with that id", target.display()))
        }
        _ => Ok(()),
    }
}

/// Resolves `..`; `None` if it leads out.
fn from_root(path: &Path) -> Option<PathBuf> {
    let mut resolved = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                if !resolved.pop() {
                    return None;
                }
            }
            Component::CurDir => {}
            part => resolved.push(part),
        }
    }
    Some(resolved)
}

fn is_elsewhere(to: &str) -> bool {
    to.split_once(':')
        .is_some_and(|(scheme, _)| scheme.chars().all(|c| c.is_ascii_alphanumeric()))
}

fn looks_like_a_url(to: &str) -> Result<(), String> {
    if to.starts_with("mailto:") && to.contains('@') {
        return Ok(());
    }
    let host = to
        .strip_prefix("https://")
        .or_else(|| to.strip_prefix("http://"))
        .and_then(|rest| rest.split(['/', '?', '#']).next());
    match host {
        Some(host) if host.contains('.') && !to.contains(char::is_whitespace) => Ok(()),
        _ => Err("is no URL".into()),
    }
}

/// Checks the links of a built book, from page to page.
pub(crate) fn in_book(book: &Path) -> Result<Vec<String>> {
    let mut pages = HashMap::new();
    let mut to_visit = vec![book.to_path_buf()];
    while let Some(dir) = to_visit.pop() {
        for entry in std::fs::read_dir(&dir).with_context(|| format!("{}", dir.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                to_visit.push(path);
            } else if path
                .extension()
                .is_some_and(|extension| extension == "html")
            {
                let html = std::fs::read_to_string(&path)
                    .with_context(|| format!("cannot read {}", path.display()))?;
                pages.insert(path.strip_prefix(book).unwrap_or(&path).to_path_buf(), html);
            }
        }
    }
    let ids: HashMap<&Path, HashSet<&str>> = pages
        .iter()
        .map(|(path, html)| (path.as_path(), attribute(html, "id").collect()))
        .collect();
    let mut wrong = Vec::new();
    for (path, html) in &pages {
        // A page for printing repeats all others, with the links of their places; one for errors
        // has links from the root of a server.
        if path.ends_with("print.html") || path.ends_with("404.html") {
            continue;
        }
        for to in attribute(html, "href").chain(attribute(html, "src")) {
            if let Some(problem) = dead_in_book(book, path, to, &ids) {
                wrong.push(format!("book, {}: {to}: {problem}", path.display()));
            }
        }
    }
    wrong.sort();
    Ok(wrong)
}

fn dead_in_book(
    book: &Path,
    from: &Path,
    to: &str,
    ids: &HashMap<&Path, HashSet<&str>>,
) -> Option<&'static str> {
    if is_elsewhere(to) || to.is_empty() {
        return None;
    }
    let (path, anchor) = to.split_once('#').map_or((to, None), |(p, a)| (p, Some(a)));
    let target = match path {
        "" => from.to_path_buf(),
        path => match from_root(&from.parent().unwrap_or(Path::new("")).join(path)) {
            Some(target) => target,
            None => return Some("leads out of the book"),
        },
    };
    if !book.join(&target).exists() {
        return Some("is not in the book");
    }
    let known = ids.get(target.as_path());
    match (anchor, known) {
        (Some(anchor), Some(known)) if !anchor.is_empty() && !known.contains(anchor) => {
            Some("has no such place")
        }
        _ => None,
    }
}

/// The values of an attribute in HTML that a program wrote.
fn attribute<'a>(html: &'a str, name: &str) -> impl Iterator<Item = &'a str> {
    let opening = format!(" {name}=\"");
    html.match_indices(&opening)
        .map(|(at, found)| at + found.len())
        .collect::<Vec<_>>()
        .into_iter()
        .filter_map(|start| html[start..].split_once('"').map(|(value, _)| value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(text: &str) -> Vec<String> {
        in_files(&[
            (PathBuf::from("docs/one.md"), text.to_owned()),
            (PathBuf::from("README.md"), "# Start\n".to_owned()),
        ])
    }

    #[test]
    fn good_links_are_good() {
        let text = "# Here\n[a](#here) [b](../README.md#start) [c](../Cargo.toml) [d](https://docs.rs/loom) [e](mailto:a@b.c)\n";
        assert_eq!(problems(text), Vec::<String>::new());
    }

    #[test]
    fn each_way_to_be_dead_is_found() {
        for (link, word) in [
            ("#nowhere", "no heading"),
            ("../README.md#end", "no heading"),
            ("gone.md", "there is no docs/gone.md"),
            ("../../etc/passwd", "out of the repository"),
            ("/etc/passwd", "root of the disk"),
            ("https://nothing", "no URL"),
            ("ftp:x", "no URL"),
        ] {
            let found = problems(&format!("# Here\n\n[x]({link})\n"));
            assert!(
                found.len() == 1 && found[0].contains(word) && found[0].contains("one.md:3"),
                "{link}: {found:?}"
            );
        }
    }
}
