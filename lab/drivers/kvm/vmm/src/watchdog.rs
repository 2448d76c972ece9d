//! Waiting for a run on the caller's thread, and noticing that it has stopped getting anywhere.

use std::time::{Duration, Instant};

// Each look takes some microseconds from a pCPU, if all CPUs are pCPUs.
use pvqspin_real_time::patience::{self, LOOK_EVERY, Patience};

/// What a watchdog watches.
pub(crate) trait Watched {
    /// Whether anything has ended the run.
    fn failed(&self) -> bool;

    /// Wakes those who have halted for too long, where that is the VMM's to do.
    fn check_halts(&self, halt_timeout_ns: u64);
}

/// Why waiting ended early.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Bite {
    /// The guest makes no progress.
    Stuck,
    /// Something has ended the run.
    Failed,
}

/// Watches a counter that has to change.
pub(crate) struct Watchdog<'a> {
    machine: &'a dyn Watched,
    halt_timeout: Duration,
    progress: &'a dyn Fn() -> u64,
    patience: Patience,
    /// When everything went on after it stood still; no halt is as old as that.
    went_on: Option<Instant>,
}

impl<'a> Watchdog<'a> {
    pub(crate) fn new(
        machine: &'a dyn Watched,
        halt_timeout: Duration,
        patience: Duration,
        progress: &'a dyn Fn() -> u64,
    ) -> Self {
        Self {
            machine,
            halt_timeout,
            patience: Patience::new(patience, progress()),
            progress,
            went_on: None,
        }
    }

    /// Lets so much time pass.
    pub(crate) fn sleep(&mut self, length: Duration) -> Result<(), Bite> {
        patience::sleep(length, LOOK_EVERY, || self.look())
    }

    /// Waits until a count has reached a number.
    pub(crate) fn wait_for(&mut self, count: &dyn Fn() -> u64, number: u64) -> Result<(), Bite> {
        const ASK_EVERY: Duration = Duration::from_millis(1);
        while count() < number {
            self.sleep(ASK_EVERY)?;
        }
        Ok(())
    }

    fn look(&mut self) -> Result<(), Bite> {
        if self.machine.failed() {
            return Err(Bite::Failed);
        }
        let halt_timeout_ns = u64::try_from(self.halt_timeout.as_nanos()).unwrap_or(u64::MAX);
        let paused = self.patience.paused();
        let is_over = self.patience.is_over((self.progress)());
        if self.patience.paused() > paused {
            self.went_on = Some(Instant::now());
        }
        if (self.went_on).is_none_or(|since| since.elapsed() > self.halt_timeout) {
            self.machine.check_halts(halt_timeout_ns);
        }
        if is_over { Err(Bite::Stuck) } else { Ok(()) }
    }
}
