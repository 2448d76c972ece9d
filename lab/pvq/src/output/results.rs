//! Where results go. Checked before anything runs: a minute of measuring must not end with "no
//! such folder".
//!
//! ```text
//!   (nothing said)   results/compare-20260131T120000Z.json, and the links results/compare-latest.*
//!   --save NAME      results/NAME.json, which must not be there yet
//!   --json FILE      FILE; results that are not complete never replace some that are
//!   --json -         standard output; what is for people goes to standard error
//! ```

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::{Context, Result, ensure};
use pvqspin_report::load::Source;
use pvqspin_report::{Report, csv_rows, files, schema};

use crate::output::failure::{note, text_to_stderr};
use crate::output::file_lock::OutputLock;
use crate::output::page_files::PageFiles;

/// The folder of results that have no place of their own.
pub(crate) const FOLDER: &str = "results";

/// Stands for standard output in a file's place.
const STANDARD_OUTPUT: &str = "-";

/// Where results are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// What was said.
    pub(crate) json: Option<&'a Path>,
    /// What was said.
    pub(crate) csv: Option<&'a Path>,
    /// The name of a baseline.
    pub(crate) save: Option<&'a str>,
    /// Whether no page is to be written.
    pub(crate) no_page: bool,
    /// Whether nothing is to be written.
    pub(crate) no_files: bool,
    /// What results of this command are called if nothing is said.
    pub(crate) command: &'a str,
}

/// The files that will be written.
#[derive(Debug, Default)]
pub(crate) struct Outputs {
    json: Option<PathBuf>,
    csv: Option<PathBuf>,
    page: Option<PageFiles>,
    /// The stem of the links to the latest results.
    latest: Option<PathBuf>,
    lock: Option<OutputLock>,
}

impl Outputs {
    /// What the options ask for, or else a name of its own: CSV and page beside the JSON unless said
    /// otherwise.
    ///
    /// # Errors
    ///
    /// Says what is in the way of writing one of them.
    pub(crate) fn checked(wanted: Wanted<'_>) -> Result<Self> {
        if wanted.no_files {
            return Ok(Self::default());
        }
        let csv = wanted.csv.map(Path::to_owned);
        let mut outputs = match (wanted.json, wanted.save, csv) {
            (None, Some(name), _) => Self::beside(baseline(name)?, None),
            (None, None, None) => Self {
                latest: Some(Path::new(FOLDER).join(format!("{}-latest", wanted.command))),
                ..Self::beside(named_by_time(wanted.command, "json")?, None)
            },
            (Some(json), _, csv) if json == Path::new(STANDARD_OUTPUT) => {
                text_to_stderr();
                Self {
                    json: Some(json.to_owned()),
                    csv,
                    ..Self::default()
                }
            }
            (Some(json), _, csv) => Self::beside(json.to_owned(), csv),
            (None, None, csv) => Self {
                csv,
                ..Self::default()
            },
        };
        if wanted.no_page {
            outputs.page = None;
        }
        let paths: Vec<&Path> = outputs.paths().collect();
        for (i, path) in paths.iter().enumerate() {
            ensure!(
                !paths[..i].contains(path),
                "{} would be written twice; give --json a name that ends in .json, and --csv one \
                 that ends in .csv",
                path.display()
            );
        }
        let files = outputs
            .json_file()
            .into_iter()
            .chain(outputs.csv.as_deref());
        for path in files {
            files::check_writable(path)?;
        }
        if let Some(page) = &outputs.page {
            page.check()?;
        }
        outputs.lock = match outputs.json_file().or(outputs.csv.as_deref()) {
            Some(first) => OutputLock::take(first)?,
            None => None,
        };
        Ok(outputs)
    }

    fn beside(json: PathBuf, csv: Option<PathBuf>) -> Self {
        // A pipe or a device has nothing beside it.
        let is_file = fs::metadata(&json).map_or(true, |there| there.is_file());
        Self {
            csv: csv.or_else(|| is_file.then(|| json.with_extension("csv"))),
            page: PageFiles::beside(&json),
            json: Some(json),
            ..Self::default()
        }
    }

    /// The JSON file, if it is one.
    fn json_file(&self) -> Option<&Path> {
        let json = self.json.as_deref();
        json.filter(|json| *json != Path::new(STANDARD_OUTPUT))
    }

    /// Everything, in the order in which it is written: the page last.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let results = self.json_file().into_iter().chain(self.csv.as_deref());
        results.chain(self.page.iter().flat_map(PageFiles::paths))
    }

    /// Where results go that are complete, or are not: those never replace a file that is there.
    pub(crate) fn settled(mut self, complete: bool) -> Self {
        if complete {
            return self;
        }
        self.latest = None;
        if self.json.is_some() && self.json_file().is_none() {
            return self;
        }
        if !self.paths().any(|path| path.is_file()) {
            return self;
        }
        let lock = self.lock.take();
        let page = self.page.is_some();
        let mut beside = self.named("incomplete");
        if page && let Some(json) = beside.json_file() {
            beside.page = PageFiles::beside(json);
        }
        Self { lock, ..beside }
    }

    /// The places for a second set of results, told apart by this word in their names. It has no
    /// page of its own.
    pub(crate) fn named(&self, word: &str) -> Self {
        let renamed = |path: &Option<PathBuf>| {
            let path = path
                .as_deref()
                .filter(|path| fs::metadata(path).map_or(true, |there| there.is_file()))?;
            let mut name = path.file_stem()?.to_owned();
            name.push(format!("-{word}"));
            if let Some(ending) = path.extension() {
                name.push(".");
                name.push(ending);
            }
            Some(path.with_file_name(name))
        };
        Self {
            json: renamed(&self.json),
            csv: renamed(&self.csv),
            ..Self::default()
        }
    }

    /// Writes results, and their page.
    ///
    /// # Errors
    ///
    /// At the first that cannot be written.
    pub(crate) fn write(&self, report: &Report) -> Result<()> {
        self.write_results(report)?;
        let json = self.json.as_deref().and_then(Path::file_stem);
        let label = json.unwrap_or_default().display().to_string();
        self.write_page(&[(&label, report)])
    }

    /// Writes results only.
    ///
    /// # Errors
    ///
    /// At the first that cannot be written.
    pub(crate) fn write_results(&self, report: &Report) -> Result<()> {
        match (&self.json, self.json_file()) {
            (_, Some(path)) => {
                files::write_atomically(path, |to| schema::write_json(report, to))?;
            }
            (Some(_), None) => {
                let mut out = io::stdout().lock();
                schema::write_json(report, &mut out)
                    .and_then(|()| out.flush())
                    .context("cannot write the JSON to standard output")?;
            }
            (None, None) => {}
        }
        if let Some(path) = &self.csv {
            files::write_atomically(path, |to| csv_rows::write_csv(report, to))?;
        }
        Ok(())
    }

    /// Writes one page of several sets of results.
    ///
    /// # Errors
    ///
    /// If it cannot be drawn or written.
    pub(crate) fn write_page(&self, reports: &[(&str, &Report)]) -> Result<()> {
        let sources = reports
            .iter()
            .map(|(label, report)| Source::of_report(report, label));
        let drawn = match &self.page {
            Some(page) => sources
                .collect::<Result<_>>()
                .and_then(|sources| page.write(sources)),
            None => Ok(()),
        };
        self.link_latest()?;
        drawn.with_context(|| match self.json_file() {
            Some(json) => format!(
                "the results are in {0}, but not their page (`pvq report {0}` makes it)",
                json.display()
            ),
            None => "there is no page".to_owned(),
        })
    }

    /// Points the links to the latest results at these. What these lack has no link: it would lead to
    /// older ones.
    fn link_latest(&self) -> Result<()> {
        let (Some(latest), Some(json)) = (&self.latest, self.json_file()) else {
            return Ok(());
        };
        let stem = |path: &Path| path.file_stem().unwrap_or_default().display().to_string();
        for ending in [".json", ".csv", ".html", "-charts"] {
            let mine = stem(json) + ending;
            let link = latest.with_file_name(stem(latest) + ending);
            if json.with_file_name(&mine).exists() {
                replace_link(Path::new(&mine), &link)?;
            } else if fs::symlink_metadata(&link).is_ok_and(|there| there.is_symlink()) {
                let removed = fs::remove_file(&link);
                removed.with_context(|| format!("cannot remove the link {}", link.display()))?;
            }
        }
        Ok(())
    }
}

/// Points `COMMAND-latest` beside this file at it.
pub(crate) fn link_latest(file: &Path, command: &str) -> Result<()> {
    let ending = file.extension().unwrap_or_default().display();
    let link = file.with_file_name(format!("{command}-latest.{ending}"));
    replace_link(Path::new(file.file_name().unwrap_or_default()), &link)
}

/// Makes a link, or points the one that is there elsewhere. What is no link is left alone.
fn replace_link(to: &Path, link: &Path) -> Result<()> {
    if fs::symlink_metadata(link).is_ok_and(|there| !there.is_symlink()) {
        note(&format!(
            "note: {} is no link, and is left alone",
            link.display()
        ));
        return Ok(());
    }
    let mut name = link.file_name().unwrap_or_default().to_owned();
    name.push(format!(".{}", std::process::id()));
    let temporary = link.with_file_name(name);
    let made = symlink(to, &temporary).and_then(|()| fs::rename(&temporary, link));
    made.with_context(|| format!("cannot make the link {}", link.display()))
}

/// The time, as it stands in the names of results: they sort by it.
fn stamp() -> String {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    now.replace(['-', ':'], "")
}

/// A place that nothing has yet.
pub(crate) fn named_by_time(command: &str, ending: &str) -> Result<PathBuf> {
    let folder = made_folder()?;
    let stamp = stamp();
    let name = |more: &str| folder.join(format!("{command}-{stamp}{more}.{ending}"));
    let first = name("");
    let mut others = (2..).map(|number| name(&format!("_{number}")));
    let is_free = |path: &PathBuf| !path.exists() && OutputLock::take(path).is_ok();
    Ok(if is_free(&first) {
        first
    } else {
        others.find(is_free).unwrap_or(first)
    })
}

/// The place of a baseline that is about to be saved.
fn baseline(name: &str) -> Result<PathBuf> {
    let path = baseline_path(name)?;
    made_folder()?;
    ensure!(
        !path.exists(),
        "there are results in {} already; save these under another name, or remove those",
        path.display()
    );
    Ok(path)
}

/// Where the baseline of this name is.
pub(crate) fn baseline_path(name: &str) -> Result<PathBuf> {
    ensure!(
        !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\']),
        "--save and --baseline take a plain name, which becomes {FOLDER}/NAME.json; for a file \
         elsewhere give its path to `pvq report`"
    );
    Ok(Path::new(FOLDER).join(format!("{name}.json")))
}

/// The default folder, which is made if it is not there: the user has not named it.
fn made_folder() -> Result<PathBuf> {
    fs::create_dir_all(FOLDER).with_context(|| {
        format!("cannot make the folder {FOLDER} for the results; say --json FILE or --no-files")
    })?;
    Ok(FOLDER.into())
}

/// What was written, in a line after an empty one; nothing if that is nothing.
pub(crate) fn written<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    match paths.as_slice() {
        [] => String::new(),
        paths => format!("\nwritten: {}\n", paths.join(", ")),
    }
}

#[cfg(test)]
mod tests;
