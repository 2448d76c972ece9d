//! Whether what the model and the documents about the protocol say of the source is still there: every
//! file that they name, and every function that a comment of the model names.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::run::root;
use crate::sources::{Source, read};

/// The folders whose files documents name.
const ROOMS: [&str; 4] = ["crates/", "linux/", "lab/", "check/"];

/// Fails unless all of it exists.
pub(crate) fn check() -> Result<()> {
    let sources = read(&["crates", "linux", "lab", "check"])?;
    let mut wrong = Vec::new();
    let models = files("check/model", "pml")?;
    let own: String = models.iter().map(|(_, text)| text.as_str()).collect();
    for (path, text) in &models {
        for comment in comments(text) {
            wrong.extend(missing(&comment, &sources, &own).map(|what| format!("{path}: {what}")));
        }
    }
    for folder in ["docs", "check/model"] {
        for (path, text) in files(folder, "md")? {
            let named = named_files(&text).into_iter().map(|(_, file)| file);
            // Others are short for one that was named before, or lie elsewhere.
            let own = named.filter(|file| ROOMS.iter().any(|room| file.starts_with(room)));
            let gone = own.filter(|file| !exists(file, &sources));
            wrong.extend(gone.map(|file| format!("{path}: there is no {file}")));
        }
    }
    ensure!(
        wrong.is_empty(),
        "the source has moved:\n{}",
        wrong.join("\n")
    );
    Ok(())
}

/// The files of a folder with this extension, by their paths from the root, in order.
fn files(folder: &str, extension: &str) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let at = root().join(folder);
    for entry in fs::read_dir(&at).with_context(|| format!("cannot read {folder}/"))? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let text = fs::read_to_string(&path)
                .with_context(|| format!("cannot read {folder}/{name}"))?;
            found.push((format!("{folder}/{name}"), text));
        }
    }
    found.sort();
    Ok(found)
}

/// The comments of a model.
fn comments(text: &str) -> Vec<String> {
    let parts = text.split("/*").skip(1);
    let inside = parts.filter_map(|part| part.split_once("*/"));
    inside
        .map(|(comment, _)| comment.replace("\n *", "\n"))
        .collect()
}

/// What a comment names and no source has. `own` is the model, which may name its own parts.
fn missing<'a>(
    comment: &'a str,
    sources: &'a [Source],
    own: &'a str,
) -> impl Iterator<Item = String> + 'a {
    let files = named_files(comment);
    let gone = files.clone().into_iter();
    let gone = gone.filter(|(_, file)| !exists(file, sources));
    let gone = gone.map(|(_, file)| format!("there is no {file}"));
    let functions = named_functions(comment).into_iter();
    let lost = functions.filter_map(move |(at, name)| {
        let before = &comment[..at];
        // `file.rs: name()` and `file.rs, name()` say where it is.
        let file = files
            .iter()
            .rev()
            .find(|(end, _)| *end <= at && [": ", ", "].contains(&&before[*end..]));
        let among = |source: &&Source| file.is_none_or(|(_, file)| is(&source.path, file));
        let has = |source: &Source| {
            [format!("fn {name}("), format!("fn {name}<")]
                .iter()
                .any(|start| source.text.contains(start.as_str()))
        };
        let of_model = file.is_none() && own.contains(&format!("inline {name}("));
        (!of_model && !sources.iter().filter(among).any(has)).then(|| match file {
            Some((_, file)) => format!("{file} has no {name}()"),
            None => format!("there is no {name}()"),
        })
    });
    gone.chain(lost)
}

/// The Rust files that a text names, with the places where their names end.
fn named_files(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (at, end) in text.match_indices(".rs") {
        let after = text[at + end.len()..].chars().next();
        if after.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '/') {
            continue;
        }
        let part = |c: char| c.is_alphanumeric() || "_-/{},.".contains(c);
        let stem = text[..at].trim_end_matches(part).len();
        let stem = &text[stem..at];
        let (folder, names) = match stem.split_once('{') {
            Some((folder, names)) => (folder, names.trim_end_matches('}')),
            None => ("", stem.trim_start_matches([',', '.'])),
        };
        let names = names.split(',').filter(|name| !name.is_empty());
        found.extend(names.map(|name| (at + end.len(), format!("{folder}{name}.rs"))));
    }
    found
}

/// The functions that a comment names, `name()`, with the places where their names begin.
fn named_functions(comment: &str) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (at, _) in comment.match_indices('(') {
        let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
        let begin = comment[..at].trim_end_matches(part).len();
        if begin < at {
            found.push((begin, &comment[begin..at]));
        }
    }
    found
}

fn exists(file: &str, sources: &[Source]) -> bool {
    // What lies outside the workspace's sources is looked up on the disk.
    sources.iter().any(|source| is(&source.path, file)) || root().join(Path::new(file)).is_file()
}

/// Whether a path is the one that a name, perhaps without its first folders, means.
fn is(path: &str, name: &str) -> bool {
    path.strip_suffix(name)
        .is_some_and(|rest| rest.is_empty() || rest.ends_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_model_names_what_there_is() {
        check().expect("it does");
    }

    #[test]
    fn what_is_gone_is_missed() {
        let source = Source {
            path: "crates/a/src/b.rs".to_owned(),
            krate: "crates/a".to_owned(),
            text: "fn here() {}".to_owned(),
            file: syn::parse_file("fn here() {}").expect("it is Rust"),
        };
        let sources = [source];
        let wrong = |comment| missing(comment, &sources, "inline mine()").collect::<Vec<_>>();
        assert_eq!(wrong("b.rs: here(), mine()"), [] as [&str; 0]);
        assert_eq!(wrong("a/src/{b,c}.rs"), ["there is no a/src/c.rs"]);
        assert_eq!(
            wrong("b.rs: gone(), then lost()"),
            ["b.rs has no gone()", "there is no lost()"]
        );
        assert_eq!(
            wrong("c.rs, here()"),
            ["there is no c.rs", "c.rs has no here()"]
        );
    }
}
