//! A page and its pictures as files.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::Page;
use crate::chart::png;
use crate::files::write_atomically;

impl Page {
    /// Writes the pictures into a folder, which is made if it is not there, and then the page.
    /// Pictures of an earlier page that this one does not have are removed, so that the folder
    /// holds one page's; files with other names are left alone.
    ///
    /// # Errors
    ///
    /// At the first file that cannot be written. Those written before it are whole.
    pub fn write(&self, html: &Path, folder: Option<&Path>) -> Result<()> {
        self.write_telling(html, folder, &mut |_, _| ())
    }

    /// The same; `drawn` is told how many pictures of how many are drawn.
    ///
    /// # Errors
    ///
    /// As for [`write`](Self::write).
    pub fn write_telling(
        &self,
        html: &Path,
        folder: Option<&Path>,
        drawn: &mut dyn FnMut(usize, usize),
    ) -> Result<()> {
        if let Some(folder) = folder {
            self.write_pictures(folder, drawn)?;
        }
        write_atomically(html, |to| to.write_all(self.html.as_bytes()))
    }

    fn write_pictures(&self, folder: &Path, drawn: &mut dyn FnMut(usize, usize)) -> Result<()> {
        // All of it is drawn before any of it is written.
        let all = self.pictures.len();
        let pictures = self.pictures.iter().enumerate().map(|(done, (name, svg))| {
            drawn(done, all);
            Ok((name, svg.as_bytes(), png(svg)?))
        });
        let pictures: Vec<(&String, &[u8], Vec<u8>)> = pictures.collect::<Result<_>>()?;
        fs::create_dir_all(folder).with_context(|| {
            format!(
                "cannot make the folder {} for the pictures",
                folder.display()
            )
        })?;
        for (name, svg, png) in &pictures {
            for (ending, bytes) in [("svg", *svg), ("png", png)] {
                let path = folder.join(format!("{name}.{ending}"));
                write_atomically(&path, |to| to.write_all(bytes))?;
            }
        }
        self.remove_older(folder)
    }

    fn remove_older(&self, folder: &Path) -> Result<()> {
        let failed = || format!("cannot read the folder {}", folder.display());
        for entry in fs::read_dir(folder).with_context(failed)? {
            let path = entry.with_context(failed)?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let ending = path.extension().unwrap_or_default();
            let mine = self.pictures.iter().any(|(known, _)| *known == name);
            if !mine && is_picture(&name) && (ending == "svg" || ending == "png") {
                let _ = fs::remove_file(path);
            }
        }
        Ok(())
    }
}

/// Whether a page gives such a name to a picture: `7-longest-wait`.
fn is_picture(name: &str) -> bool {
    const KINDS: [&str; 9] = [
        "throughput",
        "longest-wait",
        "pareto",
        "waits",
        "hypercalls",
        "fairness",
        "neighbour",
        "beside-throughput",
        "beside-longest-wait",
    ];
    name.split_once('-')
        .is_some_and(|(number, kind)| number.parse::<u32>().is_ok() && KINDS.contains(&kind))
}
