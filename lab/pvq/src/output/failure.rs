//! Errors and exit codes: 1 a run failed, 2 something that was asked for cannot be done, 130
//! interrupted.

use std::fmt::Display;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use pvqspin_report::figures::exact_time;

use crate::output::terminal::shown;

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
                note(&format!("error: {}", in_units(&format!("{error:#}"))));
                ExitCode::from(2)
            }
            Self::Failed(error) | Self::Starved(error) => {
                note(&format!("error: {}", in_units(&format!("{error:#}"))));
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
        print_to(&mut io::stderr().lock(), &shown(text, &io::stderr()))
    } else {
        print_to(&mut io::stdout().lock(), &shown(text, &io::stdout()))
    };
    match printed {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::failed(format!("cannot print: {error}")))
        }
        _ => Ok(()),
    }
}

/// Tells people something on standard error. Where nothing reads it any more, nothing is lost.
pub(crate) fn note(text: &str) {
    let text = format!("{text}\n");
    let _ = print_to(&mut io::stderr().lock(), &shown(&text, &io::stderr()));
}

/// Times in ns in the units that people give them in: drivers and hosts count in ns, and so do their
/// errors.
pub(crate) fn in_units(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    for word in text.split_inclusive(' ') {
        let number = words.last().and_then(|last| {
            let digits = last.trim_end().trim_start_matches('(');
            digits.parse::<u64>().ok().map(|ns| (ns, digits.len()))
        });
        let rest = word.strip_prefix("ns");
        let rest = rest.filter(|rest| !rest.starts_with(char::is_alphanumeric));
        match (number, rest) {
            (Some((ns, digits)), Some(rest)) => {
                if let Some(last) = words.last_mut() {
                    last.truncate(last.trim_end().len() - digits);
                    last.push_str(&exact_time(ns));
                    last.push_str(rest);
                }
            }
            _ => words.push(word.to_owned()),
        }
    }
    words.concat()
}

fn print_to(out: &mut dyn Write, text: &str) -> io::Result<()> {
    out.write_all(text.as_bytes())?;
    out.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_in_errors_have_the_units_that_options_have() {
        for (raw, told) in [
            (
                "a slice of 10000 ns asked for",
                "a slice of 10 µs asked for",
            ),
            (
                "the loan (3000000 ns) must not exceed (1500001 ns)",
                "the loan (3 ms) must not exceed (1500001 ns)",
            ),
            ("at most 3600000000000 ns", "at most 3600 s"),
            ("3000 nsomething, 7 vCPUs", "3000 nsomething, 7 vCPUs"),
            ("ns", "ns"),
        ] {
            assert_eq!(in_units(raw), told);
        }
    }
}
