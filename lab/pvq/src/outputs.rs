//! Where results go. Checked before anything runs: a minute of measuring must not end with "no
//! such folder".

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pvqspin_report::load::Source;
use pvqspin_report::{Report, files, rows, schema};

use crate::page_files::PageFiles;

/// Where results are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// What was said.
    pub(crate) json: Option<&'a Path>,
    /// What was said.
    pub(crate) csv: Option<&'a Path>,
    /// Whether no page is to be written.
    pub(crate) no_page: bool,
    /// Whether nothing is to be written.
    pub(crate) no_files: bool,
    /// Where the JSON goes if nothing is said.
    pub(crate) default_json: &'a str,
}

/// The files that will be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outputs {
    json: Option<PathBuf>,
    csv: Option<PathBuf>,
    page: Option<PageFiles>,
}

impl Outputs {
    /// What the options ask for, or else `default`: CSV and page beside the JSON unless said otherwise.
    ///
    /// # Errors
    ///
    /// Says what is in the way of writing one of them.
    pub(crate) fn checked(wanted: Wanted<'_>) -> Result<Self> {
        if wanted.no_files {
            return Ok(Self::default());
        }
        let csv = wanted.csv.map(Path::to_owned);
        let mut outputs = match (wanted.json, csv) {
            (None, None) => Self::beside(in_its_folder(wanted.default_json)?, None),
            (Some(json), csv) => Self::beside(json.to_owned(), csv),
            (None, csv) => Self {
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
        for path in [&outputs.json, &outputs.csv].into_iter().flatten() {
            files::check_writable(path)?;
        }
        if let Some(page) = &outputs.page {
            page.check()?;
        }
        Ok(outputs)
    }

    fn beside(json: PathBuf, csv: Option<PathBuf>) -> Self {
        // A pipe or a device has nothing beside it.
        let is_file = fs::metadata(&json).map_or(true, |there| there.is_file());
        Self {
            csv: csv.or_else(|| is_file.then(|| json.with_extension("csv"))),
            page: PageFiles::beside(&json),
            json: Some(json),
        }
    }

    /// Everything, in the order in which it is written: the page last.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        let results = [&self.json, &self.csv].into_iter();
        results
            .filter_map(|path| path.as_deref())
            .chain(self.page.iter().flat_map(PageFiles::paths))
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
            page: None,
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
        if let Some(path) = &self.json {
            files::write_atomically(path, |to| schema::write_json(report, to))?;
        }
        if let Some(path) = &self.csv {
            files::write_atomically(path, |to| rows::write_csv(report, to))?;
        }
        Ok(())
    }

    /// Writes one page of several sets of results.
    ///
    /// # Errors
    ///
    /// If it cannot be drawn or written.
    pub(crate) fn write_page(&self, reports: &[(&str, &Report)]) -> Result<()> {
        let Some(page) = &self.page else {
            return Ok(());
        };
        let sources = reports
            .iter()
            .map(|(label, report)| Source::of_report(report, label));
        page.write(sources.collect::<Result<_>>()?)
    }
}

/// What was written, in a line after an empty one; nothing if that is nothing.
pub(crate) fn written<'a>(paths: impl Iterator<Item = &'a Path>) -> String {
    let paths: Vec<String> = paths.map(|path| path.display().to_string()).collect();
    match paths.as_slice() {
        [] => String::new(),
        paths => format!("\nwritten: {}\n", paths.join(", ")),
    }
}

/// A default place, whose folder is made if it is not there.
fn in_its_folder(default: &str) -> Result<PathBuf> {
    let path = PathBuf::from(default);
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(|| {
            format!(
                "cannot make the folder {} for the results; say --json FILE or --no-files",
                folder.display()
            )
        })?;
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::Cli;
    use clap::Parser;

    fn outputs(options: &[&str]) -> Result<Outputs> {
        let words = ["pvq"].iter().chain(options);
        let cli = Cli::try_parse_from(words).expect("well formed");
        Outputs::checked(cli.compare.wanted())
    }

    #[test]
    fn csv_and_page_go_beside_the_json() {
        let folder = tempfile::tempdir().expect("a folder");
        let json = folder.path().join("mine.json");
        let json = json.to_str().expect("text");
        let outputs = outputs(&["--json", json]).expect("writable");
        let names: Vec<_> = outputs
            .paths()
            .map(|path| path.file_name().expect("a name").to_str().expect("text"))
            .collect();
        assert_eq!(names, ["mine.json", "mine.csv", "mine-charts", "mine.html"]);
    }

    #[test]
    fn a_page_can_be_done_without() {
        let folder = tempfile::tempdir().expect("a folder");
        let json = folder.path().join("mine.json");
        let options = ["--no-page", "--json", json.to_str().expect("text")];
        assert_eq!(outputs(&options).expect("writable").paths().count(), 2);
    }

    #[test]
    fn what_is_in_the_way_of_the_pictures_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("mine-charts"), "a file").expect("writable");
        let json = folder.path().join("mine.json");
        let error = outputs(&["--json", json.to_str().expect("text")]).expect_err("no folder");
        assert!(error.to_string().contains("it is a file"), "{error}");
    }

    #[test]
    fn a_device_gets_no_siblings() {
        let outputs = outputs(&["--json", "/dev/null"]).expect("writable");
        assert_eq!(outputs.paths().count(), 1);
    }

    #[test]
    fn one_file_is_not_written_twice() {
        let folder = tempfile::tempdir().expect("a folder");
        let csv = folder.path().join("a.csv");
        let error = outputs(&["--json", csv.to_str().expect("text")]).expect_err("its own sibling");
        assert!(error.to_string().contains("written twice"), "{error}");
    }

    #[test]
    fn a_second_set_has_names_of_its_own() {
        let folder = tempfile::tempdir().expect("a folder");
        let json = folder.path().join("mine.json");
        let first = outputs(&["--json", json.to_str().expect("text")]).expect("writable");
        let second = first.named("simulated");
        let names: Vec<_> = second.paths().filter_map(|path| path.file_name()).collect();
        assert_eq!(names, ["mine-simulated.json", "mine-simulated.csv"]);
        let device = outputs(&["--json", "/dev/null"]).expect("writable");
        assert_eq!(
            device.named("simulated").paths().count(),
            0,
            "a device has no second name"
        );
    }

    #[test]
    fn nothing_is_written_if_so_asked() {
        assert_eq!(
            outputs(&["--no-files"]).expect("nothing to check"),
            Outputs::default()
        );
    }
}
