//! Hypercalls and directed yields, as they stand in a file.

use pvqspin_load::YieldResults;
use serde::{Deserialize, Serialize};

/// Hypercalls by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hypercalls {
    /// Halts.
    pub halt: u64,
    /// Kicks.
    pub kick: u64,
    /// Directed yields.
    pub yield_to: u64,
}

impl From<pvqspin_load::Hypercalls> for Hypercalls {
    fn from(calls: pvqspin_load::Hypercalls) -> Self {
        Self {
            halt: calls.halt,
            kick: calls.kick,
            yield_to: calls.yield_to,
        }
    }
}

impl Hypercalls {
    /// All of them. Guests and files may say anything: what does not fit is the highest number.
    #[must_use]
    pub const fn total(&self) -> u64 {
        self.halt
            .saturating_add(self.kick)
            .saturating_add(self.yield_to)
    }
}

/// Directed yields by what became of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Yields {
    /// The target was put on a pCPU.
    pub ran: u64,
    /// The target was running.
    pub already_running: u64,
    /// The hint was out of date.
    pub stale: u64,
    /// The host would not.
    pub refused: u64,
}

impl From<YieldResults> for Yields {
    fn from(results: YieldResults) -> Self {
        Self {
            ran: results.ran,
            already_running: results.already_running,
            stale: results.stale,
            refused: results.refused,
        }
    }
}
