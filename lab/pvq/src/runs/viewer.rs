//! What is told how a plan goes on: a bar, or a whole screen.

use std::time::Duration;

use pvqspin_hypervisor::Snapshot;
use pvqspin_report::Record;

use crate::output::progress::Progress;
use crate::runs::plan::PlannedRun;

/// A viewer is told how a plan goes on.
pub(crate) trait Viewer {
    /// A run begins: its name in words, and where it stands in the plan.
    fn begin(&mut self, name: &str, run: &PlannedRun);

    /// How often to look at a run while it goes on. `None`: not at all.
    fn looks_every(&self) -> Option<Duration> {
        None
    }

    /// What a run looks like.
    fn show(&mut self, _snapshot: &Snapshot) {}

    /// A run is done.
    fn end(&mut self, record: &Record);
}

impl Viewer for Progress {
    fn begin(&mut self, name: &str, _run: &PlannedRun) {
        Progress::begin(self, name);
    }

    fn end(&mut self, _record: &Record) {
        Progress::end(self);
    }
}
