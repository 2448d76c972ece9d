//! The statistics of the `scx_pvq` that runs, from another process.

use std::io;
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::command::Signal;
use crate::counters::{Counters, Running, Style};
use crate::output::{Lines, say};

/// It loads itself again when a CPU comes or goes: for how long it is waited for then, and how often looked for.
const RELOAD: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(250);

/// Prints them at this pace until a signal comes, the reader goes, or the scheduler has ended.
pub(crate) fn monitor(
    signals: &Receiver<Signal>,
    pace: Duration,
    style: Style,
) -> Result<ExitCode> {
    let mut last = Running::find()?;
    let before = Counters::read(&last.map)?;
    let mut lines = Lines::new(io::stdout(), pace, style, before)?;
    let mut missed: Option<Instant> = None;
    loop {
        match signals.recv_timeout(LOOK) {
            Err(RecvTimeoutError::Timeout) if lines.are_read() => {}
            _ => return Ok(ExitCode::SUCCESS),
        }
        if missed.is_none() && !lines.are_due(Instant::now()) {
            continue;
        }
        // Anew each time: one that was loaded again has statistics of its own.
        let Ok(running) = Running::find() else {
            if missed.get_or_insert_with(Instant::now).elapsed() < RELOAD {
                continue;
            }
            say!("it is not running any more");
            return Ok(ExitCode::SUCCESS);
        };
        missed = None;
        if running.id != last.id {
            lines.begin_anew();
        }
        lines.print(Instant::now(), Counters::read(&running.map)?);
        last = running;
    }
}
