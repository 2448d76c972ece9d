//! Random schedules: very many of them, or one again.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use pvqspin_report::figures::{count, counted};
use pvqspin_rivals::catalog::Entry;
use pvqspin_simulator::{Explored, torture};

use crate::output::failure::{Done, Failure, note, print};
use crate::runs::interrupt;
use crate::simulate::schedule;

/// How often a plain line is printed where there is no terminal.
const LINE_EVERY: Duration = Duration::from_secs(10);

/// Runs so many random schedules of each lock on all CPUs, until one fails.
pub(crate) fn explore(locks: &[&'static Entry], first: u64, schedules: u64) -> Done {
    let end = first.checked_add(schedules).ok_or_else(|| {
        Failure::bad_input("--seed and --torture together are more than there are seeds")
    })?;
    // Without it Ctrl-C just ends the program.
    let _ = interrupt::listen_within_runs();
    let threads = thread::available_parallelism().map_or(1, usize::from);
    for lock in locks {
        let progress = Progress::new(lock.name, schedules);
        let goes_on = |done| {
            progress.add(done);
            !interrupt::asked()
        };
        let explored = pvqspin_simulator::explore(lock.id, first..end, threads, &goes_on);
        drop(progress);
        report(lock, first, schedules, explored)?;
    }
    Ok(())
}

fn report(lock: &Entry, first: u64, schedules: u64, explored: Explored) -> Done {
    let name = lock.name;
    if let Some((seed, error)) = explored.failure {
        return Err(Failure::failed(format!(
            "{name}, seed {seed}: {error}\n`pvq simulate --lock {name} --replay {seed}` shows it again"
        )));
    }
    print(&format!(
        "{name}: {} from seed {first} on; acquisitions: {}, events: {}, preemptions at chosen points: {}; \
         nothing went wrong\n",
        counted(explored.schedules, "schedule"),
        count(explored.acquisitions as f64),
        count(explored.events as f64),
        count(explored.faults as f64),
    ))?;
    if explored.schedules < schedules {
        return Err(Failure::Interrupted);
    }
    Ok(())
}

/// Runs one random schedule again, and shows all of it.
pub(crate) fn replay(lock: &Entry, seed: u64) -> Done {
    let schedule = torture(lock.id, seed).with(|sim| sim.run.trace = true);
    print(&schedule::described(&schedule))?;
    let result = pvqspin_simulator::run(&schedule).map_err(Failure::failed)?;
    let mut text = String::new();
    for event in &result.trace.events {
        let _ = writeln!(text, "{event}");
    }
    print(&text)
}

/// How far it is, on standard error. Told by several threads.
enum Progress {
    Bar(ProgressBar),
    Lines(Mutex<Lines>),
}

struct Lines {
    name: &'static str,
    schedules: u64,
    done: u64,
    last: Instant,
}

impl Progress {
    fn new(name: &'static str, schedules: u64) -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines(Mutex::new(Lines {
                name,
                schedules,
                done: 0,
                last: Instant::now(),
            }));
        }
        let style =
            ProgressStyle::with_template(TEMPLATE).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = ProgressBar::new(schedules).with_message(name);
        bar.set_style(style.progress_chars("=> "));
        Self::Bar(bar)
    }

    fn add(&self, done: u64) {
        match self {
            Self::Bar(bar) => bar.inc(done),
            Self::Lines(lines) => {
                let Ok(mut lines) = lines.lock() else { return };
                lines.done += done;
                if lines.last.elapsed() >= LINE_EVERY {
                    lines.last = Instant::now();
                    note(&format!(
                        "{}: {} of {} schedules",
                        lines.name, lines.done, lines.schedules
                    ));
                }
            }
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Self::Bar(bar) = self {
            bar.finish_and_clear();
        }
    }
}

const TEMPLATE: &str = "{msg} [{bar:30}] {pos}/{len} schedules, {eta} left";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_template_is_one() {
        ProgressStyle::with_template(TEMPLATE).expect("indicatif takes it");
    }
}
