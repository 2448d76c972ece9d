//! The caller of a run: told how far it is, and asked whether it goes on.

use crate::config::SimConfig;
use crate::error::SimError;
use crate::shared::DAWN_NS;
use crate::underway::{GoesOn, Underway};

/// After so many events the caller is told: some milliseconds.
pub(crate) const TOLD_EVERY: u64 = 1 << 14;

/// The caller of a run, who may stop it.
pub(crate) struct Caller<'a> {
    goes_on: &'a mut GoesOn<'a>,
    whole_ns: u64,
}

impl<'a> Caller<'a> {
    pub(crate) fn new(config: &SimConfig, goes_on: &'a mut GoesOn<'a>) -> Self {
        Self {
            goes_on,
            whole_ns: config.warmup_ns() + config.run.duration_ns,
        }
    }

    /// Tells how far the run is at that time. An error if it is not to go on.
    #[cold]
    pub(crate) fn tell(&mut self, now: u64) -> Result<(), SimError> {
        let underway = Underway {
            passed_ns: now - DAWN_NS,
            whole_ns: self.whole_ns,
        };
        if (self.goes_on)(underway) {
            Ok(())
        } else {
            Err(SimError::Stopped(underway))
        }
    }
}
