//! Makes a page from results files. Everything is read before anything is written.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use pvqspin_report::load::Source;

use crate::failure::{Done, Failure, print};
use crate::outputs::written;
use crate::page_files::PageFiles;
use crate::report_args::ReportArgs;

/// Runs `pvq report`.
pub(crate) fn run(args: &ReportArgs) -> Done {
    let (sources, place) = prepared(args).map_err(Failure::BadInput)?;
    place.write(sources).map_err(Failure::Failed)?;
    print(written(place.paths()).trim_start())
}

fn prepared(args: &ReportArgs) -> Result<(Vec<Source>, PageFiles)> {
    let labels = labels(args)?;
    let sources = args.files.iter().zip(&labels);
    let sources: Vec<Source> = sources
        .map(|(path, label)| Source::read(path, label))
        .collect::<Result<_>>()?;
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
    place.check()?;
    Ok((sources, place))
}

/// What the files are called on the page.
fn labels(args: &ReportArgs) -> Result<Vec<String>> {
    let files = args.files.len();
    if !args.label.is_empty() {
        let labels = args.label.len();
        ensure!(
            labels == files,
            "--label is there {labels} times, for {files} files; give it once for each file, or never"
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
