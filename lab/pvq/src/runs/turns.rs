//! The order of the runs, and how long they may take: the same for every command that compares.
//!
//! ```text
//! for each repeat                     noise that comes and goes hits every point and lock alike
//!   for each section length
//!     for each overcommit
//!       for each lock, starting with another one in each repeat
//! ```

use std::time::Duration;

use anyhow::{Result, ensure};
use pvqspin_report::figures::counted;

use crate::output::progress::in_words;

/// Mean time inside and outside, in ns.
pub(crate) type Section = (u32, u32);

/// The workload records fairness for so long.
const LONGEST: Duration = Duration::from_secs(100);

const DAY: Duration = Duration::from_secs(24 * 3600);

/// The measured time of a run, if it makes sense.
pub(crate) fn asked_duration(ns: u64) -> Result<Duration> {
    let duration = Duration::from_nanos(ns);
    ensure!(
        duration >= Duration::from_millis(1),
        "--duration {ns}ns is too short to measure anything; 20ms is a start (a number without a \
         unit is in ns)"
    );
    ensure!(
        duration <= LONGEST,
        "--duration is at most {} s, for fairness is recorded so long; take more --repeats",
        LONGEST.as_secs()
    );
    Ok(duration)
}

/// Refuses what would take longer than a day.
pub(crate) fn within_a_day(total: Duration, runs: usize) -> Result<()> {
    ensure!(
        total <= DAY,
        "{} would take {}; ask for fewer repeats, points or locks, or a \
         shorter --duration",
        counted(runs, "run"),
        in_words(total)
    );
    Ok(())
}

/// One run, whatever its lock is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Turn {
    pub(crate) lock_index: usize,
    pub(crate) vcpus: usize,
    pub(crate) section: Section,
    pub(crate) repeat: u32,
}

/// Every run in its order, starting with another lock in each repeat.
pub(crate) fn turns(
    locks: usize,
    sections: &[Section],
    vcpus: &[usize],
    repeats: usize,
) -> impl Iterator<Item = Turn> {
    // Spreads the first places evenly over the locks.
    let step = (locks / repeats.max(1)).max(1);
    (0..repeats).flat_map(move |repeat| {
        sections.iter().flat_map(move |&section| {
            vcpus.iter().flat_map(move |&vcpus| {
                (0..locks).map(move |place| Turn {
                    lock_index: (place + repeat * step) % locks,
                    vcpus,
                    section,
                    repeat: repeat as u32,
                })
            })
        })
    })
}
