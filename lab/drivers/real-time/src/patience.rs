//! Noticing that a run has stopped getting anywhere.

use std::time::{Duration, Instant};

/// Watches a count that has to change.
///
/// ```
/// use std::time::Duration;
/// use pvqspin_real_time::patience::Patience;
///
/// let mut patience = Patience::new(Duration::ZERO, 7);
/// assert!(!patience.is_over(8));
/// assert!(patience.is_over(8));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    longest: Duration,
    seen: u64,
    since: Instant,
}

impl Patience {
    /// Waits so long for another count than this one.
    #[must_use]
    pub fn new(longest: Duration, seen: u64) -> Self {
        Self {
            longest,
            seen,
            since: Instant::now(),
        }
    }

    /// Whether the count has been the same for too long.
    pub fn is_over(&mut self, now: u64) -> bool {
        if now != self.seen {
            self.seen = now;
            self.since = Instant::now();
            return false;
        }
        self.since.elapsed() >= self.longest
    }
}
