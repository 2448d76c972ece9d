//! Where results go. Checked before anything runs: a minute of measuring must not end with "no
//! such folder".

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use pvqspin_report::aggregate::AtPoint;
use pvqspin_report::{Report, chart, files, rows, schema};

/// Where results are wanted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    /// What was said.
    pub(crate) json: Option<&'a Path>,
    /// What was said.
    pub(crate) csv: Option<&'a Path>,
    /// Whether nothing is to be written.
    pub(crate) no_files: bool,
    /// Where the JSON goes if nothing is said.
    pub(crate) default_json: &'a str,
    /// Whether there is a picture of these results.
    pub(crate) picture: bool,
}

/// The files that will be written.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Outputs {
    json: Option<PathBuf>,
    csv: Option<PathBuf>,
    svg: Option<PathBuf>,
}

impl Outputs {
    /// What the options ask for, or else `default`: the CSV and the picture beside the JSON unless said otherwise.
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
        if !wanted.picture {
            outputs.svg = None;
        }
        let paths: Vec<&Path> = outputs.paths().collect();
        for (i, path) in paths.iter().enumerate() {
            ensure!(
                !paths[..i].contains(path),
                "{} would be written twice; give --json a name that ends in .json, and --csv one \
                 that ends in .csv",
                path.display()
            );
            files::check_writable(path)?;
        }
        Ok(outputs)
    }

    fn beside(json: PathBuf, csv: Option<PathBuf>) -> Self {
        // A pipe or a device has nothing beside it.
        let is_file = fs::metadata(&json).map_or(true, |there| there.is_file());
        let sibling = |ending: &str| is_file.then(|| json.with_extension(ending));
        Self {
            csv: csv.or_else(|| sibling("csv")),
            svg: sibling("svg"),
            json: Some(json),
        }
    }

    /// Every file, in the order in which they are written.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        [&self.json, &self.csv, &self.svg]
            .into_iter()
            .filter_map(|path| path.as_deref())
    }

    /// The same places for a second set of results, told apart by this word in their names.
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
            svg: renamed(&self.svg),
        }
    }

    /// Writes them all.
    ///
    /// # Errors
    ///
    /// At the first that cannot be written.
    pub(crate) fn write(&self, report: &Report, points: &[AtPoint]) -> Result<()> {
        if let Some(path) = &self.json {
            files::write_atomically(path, |to| schema::write_json(report, to))?;
        }
        if let Some(path) = &self.csv {
            files::write_atomically(path, |to| rows::write_csv(report, to))?;
        }
        if let Some(path) = &self.svg {
            let picture = chart::svg(points)?;
            files::write_atomically(path, |to| to.write_all(picture.as_bytes()))?;
        }
        Ok(())
    }
}

/// A default place, whose folder is made if it is not there: nobody named it.
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
    fn csv_and_picture_go_beside_the_json() {
        let folder = tempfile::tempdir().expect("a folder");
        let json = folder.path().join("mine.json");
        let json = json.to_str().expect("text");
        let outputs = outputs(&["--json", json]).expect("writable");
        let names: Vec<_> = outputs
            .paths()
            .map(|path| path.file_name().expect("a name").to_str().expect("text"))
            .collect();
        assert_eq!(names, ["mine.json", "mine.csv", "mine.svg"]);
    }

    #[test]
    fn there_is_not_always_a_picture() {
        let folder = tempfile::tempdir().expect("a folder");
        let json = folder.path().join("mine.json");
        let wanted = Wanted {
            json: Some(&json),
            csv: None,
            no_files: false,
            default_json: "unused",
            picture: false,
        };
        assert_eq!(
            Outputs::checked(wanted).expect("writable").paths().count(),
            2
        );
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
        assert_eq!(
            names,
            [
                "mine-simulated.json",
                "mine-simulated.csv",
                "mine-simulated.svg"
            ]
        );
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
