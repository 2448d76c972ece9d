//! Makes a page from results files. Everything is read before anything is written.

pub(crate) mod changed;

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use pvqspin_report::figures::counted;
use pvqspin_report::load::Source;
use pvqspin_report::sets::Set;
use pvqspin_report::{files, table};

use crate::options::report::ReportArgs;
use crate::output::failure::{Done, Failure, print, text_to_stderr};
use crate::output::page_files::PageFiles;
use crate::output::progress::Progress;
use crate::output::results::written;

/// Runs `pvq report`.
pub(crate) fn run(args: &ReportArgs) -> Done {
    let (sources, place) = prepared(args).map_err(Failure::BadInput)?;
    let told = match sources.as_slice() {
        [before, after] => changed::tell(before.clone(), after.clone(), &args.change),
        _ => Ok(()),
    };
    if let Some(path) = &args.markdown {
        write_markdown(&sources, path)?;
    }
    let page = (!args.no_page).then_some(place);
    if let Some(place) = &page {
        place.write(sources).map_err(Failure::Failed)?;
    }
    let tables = args
        .markdown
        .as_deref()
        .filter(|path| *path != Path::new("-"));
    let paths = page.iter().flat_map(PageFiles::paths);
    print(written(tables.into_iter().chain(paths)).trim_start())?;
    told
}

/// Writes the tables of these results as Markdown.
fn write_markdown(sources: &[Source], path: &Path) -> Done {
    let mut text = String::new();
    for set in Set::of(sources.to_vec()) {
        if !text.is_empty() {
            text += "\n";
        }
        text += &format!("### {}\n", set.label);
        for at in &set.points {
            text += &format!("\n{}", table::markdown(at, set.is_threads()));
        }
    }
    text +=
        "\nMedians over the repeats, in brackets the lowest and the highest. \\* one of ours.\n";
    if path == Path::new("-") {
        let mut out = io::stdout().lock();
        let written = out.write_all(text.as_bytes()).and_then(|()| out.flush());
        return written.map_err(Failure::failed);
    }
    files::write_atomically(path, |to| to.write_all(text.as_bytes())).map_err(Failure::Failed)
}

fn prepared(args: &ReportArgs) -> Result<(Vec<Source>, PageFiles)> {
    let labels = labels(args)?;
    let mut progress = Progress::called("files", args.files.len());
    let mut sources = Vec::new();
    for (path, label) in args.files.iter().zip(&labels) {
        progress.begin(&format!("reading {}", path.display()));
        sources.push(Source::read(path, label)?);
        progress.end();
    }
    drop(progress);
    let mut place = PageFiles::named(page(args));
    if let Some(folder) = &args.charts {
        place.pictures = Some(folder.clone());
    }
    if args.no_charts {
        place.pictures = None;
    }
    for path in &args.files {
        ensure!(
            !is_same(path, &place.html),
            "{} would be overwritten by the page; give --out another name",
            path.display()
        );
    }
    if args.files.len() != 2 {
        args.change.refuse("name two files, before and after")?;
        ensure!(
            !args.no_page || args.markdown.is_some(),
            "--no-page leaves nothing to do: name two files, before and after, or give --markdown"
        );
    }
    if !args.no_page {
        place.check()?;
    }
    if let Some(path) = &args.markdown {
        if path == Path::new("-") {
            text_to_stderr();
        } else {
            files::check_writable(path)?;
        }
    }
    Ok((sources, place))
}

/// What the files are called on the page.
fn labels(args: &ReportArgs) -> Result<Vec<String>> {
    let files = args.files.len();
    if !args.label.is_empty() {
        let labels = args.label.len();
        ensure!(
            labels == files,
            "--label is given {}, for {}; give it once for each file, or never",
            counted(labels, "time"),
            counted(files, "file")
        );
        return told_apart(args.label.clone(), "--label");
    }
    let stem = |path: &PathBuf| path.file_stem().unwrap_or_default().display().to_string();
    let stems: Vec<String> = args.files.iter().map(stem).collect();
    match told_apart(stems, "") {
        Ok(stems) => Ok(stems),
        Err(_) => {
            let paths = args.files.iter().map(|path| path.display().to_string());
            told_apart(paths.collect(), "a file")
        }
    }
}

fn told_apart(labels: Vec<String>, what: &str) -> Result<Vec<String>> {
    for (i, label) in labels.iter().enumerate() {
        ensure!(
            !labels[..i].contains(label),
            "{what} {label} is there twice; each needs a name of its own"
        );
    }
    Ok(labels)
}

fn page(args: &ReportArgs) -> PathBuf {
    match (&args.out, args.files.as_slice()) {
        (Some(out), _) => out.clone(),
        (None, [first, _, ..]) => first.with_file_name("report.html"),
        (None, files) => files[0].with_extension("html"),
    }
}

fn is_same(a: &Path, b: &Path) -> bool {
    match (fs::canonicalize(a), fs::canonicalize(b)) {
        (Ok(a), Ok(b)) => a == b,
        _ => a == b,
    }
}
