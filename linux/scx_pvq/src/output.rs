//! What is said to people and programs. An output that takes no more, such as a closed pipe, ends nothing else.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Prints a message on standard error, after the program's name.
macro_rules! say {
    ($($what:tt)*) => {
        $crate::output::message(&format!("scx_pvq: {}\n", format_args!($($what)*)))
    };
}
pub(crate) use say;

/// Prints text on standard error, if that takes it.
pub(crate) fn message(text: &str) {
    // Where else could it be told?
    let _ = io::stderr().write_all(text.as_bytes());
}

/// Statistics, a line each time.
pub(crate) struct Lines<W> {
    to: Option<W>,
}

impl<W: Write> Lines<W> {
    pub(crate) const fn new(to: W) -> Self {
        Self { to: Some(to) }
    }

    /// Prints a line. Once that fails it is told, and no more lines are printed. Whether they still are.
    pub(crate) fn print(&mut self, line: &str) -> bool {
        if let Some(to) = &mut self.to
            && let Err(error) = writeln!(to, "{line}").and_then(|()| to.flush())
        {
            say!("no more statistics: {error}");
            self.to = None;
        }
        self.to.is_some()
    }
}

/// A file that is written at the end, and opened at the start: what keeps it from being written is known before anything
/// else is done.
pub(crate) struct Report {
    path: PathBuf,
    file: File,
}

impl Report {
    /// Opens the file, and leaves what is in it.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let mut options = OpenOptions::new();
        let file = (options.write(true).create(true).truncate(false).open(path))
            .with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// Replaces what is in it.
    pub(crate) fn write(&mut self, text: &str) -> Result<()> {
        let mut write = || {
            // A pipe or a terminal has no length.
            if self.file.metadata()?.is_file() {
                self.file.set_len(0)?;
            }
            self.file.write_all(text.as_bytes())
        };
        write().with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_ends_the_lines_and_nothing_else() {
        let (reader, writer) = io::pipe().expect("a pipe");
        let mut lines = Lines::new(writer);
        assert!(lines.print("one"));
        drop(reader);
        assert!(!lines.print("two"));
        assert!(!lines.print("three"));
    }

    #[test]
    fn a_report_that_cannot_be_written_is_refused_at_the_start() {
        let error = Report::open(Path::new("/nowhere/report.json"))
            .err()
            .expect("there is no such folder");
        assert_eq!(error.to_string(), "cannot write /nowhere/report.json");
    }

    #[test]
    fn a_report_replaces_an_older_one_at_the_end() {
        let path = std::env::temp_dir().join(format!("scx_pvq-report-{}", std::process::id()));
        std::fs::write(&path, "an older one").expect("a file");
        let mut report = Report::open(&path).expect("it can be written");
        let read = || std::fs::read_to_string(&path).expect("it is there");
        assert_eq!(read(), "an older one");
        report.write("new\n").expect("it is written");
        assert_eq!(read(), "new\n");
        std::fs::remove_file(&path).expect("it is there");
    }
}
