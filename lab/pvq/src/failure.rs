//! Errors and exit codes: 1 a run failed, 2 something that was asked for cannot be done, 130
//! interrupted.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for cannot be done here. Nothing has run.
    BadInput(anyhow::Error),
    /// A run failed, or a result could not be written. What was finished is kept.
    Failed(anyhow::Error),
    /// A run gave no result, and other work on this machine may be why: it is worth another try.
    Starved(anyhow::Error),
    /// The user stopped it. What was finished is kept.
    Interrupted,
}

/// What every command returns.
pub(crate) type Done = Result<(), Failure>;

impl Failure {
    /// Something that was asked for cannot be done.
    pub(crate) fn bad_input(error: impl Display) -> Self {
        Self::BadInput(anyhow::anyhow!("{error}"))
    }

    /// A run failed.
    pub(crate) fn failed(error: impl Display) -> Self {
        Self::Failed(anyhow::anyhow!("{error}"))
    }

    /// Tells the user, and returns the exit code.
    pub(crate) fn report(self) -> ExitCode {
        match self {
            Self::BadInput(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(2)
            }
            Self::Failed(error) | Self::Starved(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(1)
            }
            Self::Interrupted => ExitCode::from(130),
        }
    }
}

/// Whether standard output is taken by results, and text for people goes to standard error.
static TEXT_TO_STDERR: AtomicBool = AtomicBool::new(false);

/// From now on text for people goes to standard error.
pub(crate) fn text_to_stderr() {
    TEXT_TO_STDERR.store(true, Relaxed);
}

/// Prints to standard output. A reader that has seen enough (`pvq list | head`) is no error.
pub(crate) fn print(text: &str) -> Done {
    // Relaxed: nothing else is published with it.
    let printed = if TEXT_TO_STDERR.load(Relaxed) {
        print_to(&mut io::stderr().lock(), text)
    } else {
        print_to(&mut io::stdout().lock(), text)
    };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

fn print_to(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}
