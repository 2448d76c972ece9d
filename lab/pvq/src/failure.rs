//! Errors and exit codes: 1 a run failed, 2 something that was asked for cannot be done, 130
//! interrupted.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What was asked for cannot be done here. Nothing has run.
    BadInput(anyhow::Error),
    /// A run failed, or a result could not be written. What was finished is kept.
    Failed(anyhow::Error),
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
            Self::Failed(error) => {
                eprintln!("error: {error:#}");
                ExitCode::from(1)
            }
            Self::Interrupted => ExitCode::from(130),
        }
    }
}

/// Prints to standard output. A reader that has seen enough (`pvq list | head`) is no error.
pub(crate) fn print(text: &str) -> Done {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}
