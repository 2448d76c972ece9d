//! Where a page and its pictures go: beside the results, checked before anything runs.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};
use pvqspin_report::files;
use pvqspin_report::load::Source;
use pvqspin_report::page::Page;
use pvqspin_report::sets::Set;

use crate::output::progress::Progress;

/// The page's file, and the folder of its pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PageFiles {
    pub(crate) html: PathBuf,
    pub(crate) pictures: Option<PathBuf>,
}

impl PageFiles {
    /// `X.html` and `X-charts` beside the results `X.json`; nothing beside a pipe or a device.
    pub(crate) fn beside(results: &Path) -> Option<Self> {
        let is_file = fs::metadata(results).map_or(true, |there| there.is_file());
        is_file.then(|| Self::named(results.with_extension("html")))
    }

    /// The page there, its pictures in a folder beside it.
    pub(crate) fn named(html: PathBuf) -> Self {
        let mut folder = html.file_stem().unwrap_or_default().to_owned();
        folder.push("-charts");
        Self {
            pictures: Some(html.with_file_name(folder)),
            html,
        }
    }

    /// What will be written, the page last.
    pub(crate) fn paths(&self) -> impl Iterator<Item = &Path> {
        self.pictures
            .as_deref()
            .into_iter()
            .chain([self.html.as_path()])
    }

    /// Makes sure that it can be written.
    ///
    /// # Errors
    ///
    /// Says what is in the way.
    pub(crate) fn check(&self) -> Result<()> {
        files::check_writable(&self.html)?;
        let Some(folder) = &self.pictures else {
            return Ok(());
        };
        match fs::metadata(folder) {
            Ok(there) => {
                ensure!(
                    there.is_dir(),
                    "cannot write pictures into {}: it is a file; name a folder",
                    folder.display()
                );
                files::check_writable(&folder.join("1-throughput.svg"))
            }
            // The folder will be made where a file could be.
            Err(_) => files::check_writable(folder),
        }
    }

    /// Writes the page of these results.
    ///
    /// # Errors
    ///
    /// If something cannot be drawn or written.
    pub(crate) fn write(&self, sources: Vec<Source>) -> Result<()> {
        let shown = self.pictures.as_deref().map(|folder| {
            let beside = folder.parent() == self.html.parent();
            let name = folder.file_name().filter(|_| beside);
            name.map_or_else(
                || folder.display().to_string(),
                |name| name.display().to_string(),
            )
        });
        let page = Page::new(&Set::of(sources), shown.as_deref())?;
        let mut progress = None;
        page.write_telling(&self.html, self.pictures.as_deref(), &mut |done, all| {
            let progress = progress.get_or_insert_with(|| Progress::called("pictures", all));
            if done > 0 {
                progress.end();
            }
            progress.begin("drawing");
        })
    }
}
