//! Noticing that a run has stopped getting anywhere, and that the process or the machine stood still.
//!
//! A process that is stopped (Ctrl-Z, a debugger), a machine that is suspended and a virtual machine
//! that is paused have one thing in common: a thread that sleeps for 50 ms wakes up seconds later.
//! Nothing was tried in that time, so it is no time in which a run got nowhere. The clock is the one
//! that goes on while a machine is suspended.

use std::thread;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How long a thread that watches may sleep between two looks.
pub const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A look that is later than this was not late because some other thread had the CPU for a while.
const STOOD_STILL: Duration = Duration::from_millis(150);

/// Watches a count that has to change. It has to look every [`LOOK_EVERY`] at least.
///
/// ```
/// use std::time::Duration;
/// use pvqspin_real_time::patience::Patience;
///
/// let mut patience = Patience::new(Duration::ZERO, 7);
/// assert!(!patience.is_over(8));
/// assert!(patience.is_over(8));
/// assert_eq!(patience.paused(), Duration::ZERO);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    longest: Duration,
    seen: u64,
    /// For how long the count has been the same, pauses excluded.
    waited: Duration,
    looked: Duration,
    paused: Duration,
}

impl Patience {
    /// Waits so long for another count than this one.
    #[must_use]
    pub fn new(longest: Duration, seen: u64) -> Self {
        Self {
            longest,
            seen,
            waited: Duration::ZERO,
            looked: now(),
            paused: Duration::ZERO,
        }
    }

    /// Whether the count has been the same for too long.
    pub fn is_over(&mut self, count: u64) -> bool {
        self.is_over_at(now(), count)
    }

    fn is_over_at(&mut self, now: Duration, count: u64) -> bool {
        let mut since = now.saturating_sub(self.looked);
        self.looked = now;
        if since > STOOD_STILL {
            self.paused += since - LOOK_EVERY;
            since = LOOK_EVERY;
        }
        if count != self.seen {
            self.seen = count;
            self.waited = Duration::ZERO;
            return false;
        }
        self.waited += since;
        self.waited >= self.longest
    }

    /// For how long the process or the machine stood still so far.
    #[must_use]
    pub const fn paused(&self) -> Duration {
        self.paused
    }
}

/// Lets so much time pass and looks in between, every [`LOOK_EVERY`] at least.
///
/// # Errors
///
/// The first of `look`, at once.
pub fn sleep<E>(
    length: Duration,
    every: Duration,
    mut look: impl FnMut() -> Result<(), E>,
) -> Result<(), E> {
    let end = Instant::now() + length;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(LOOK_EVERY).min(every));
        look()?;
    }
}

/// The time since the machine was started, suspension included.
fn now() -> Duration {
    let now = clock_gettime(ClockId::Boottime);
    Duration::new(
        now.tv_sec.try_into().unwrap_or(0),
        now.tv_nsec.try_into().unwrap_or(0),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn begun() -> (Patience, Duration) {
        let patience = Patience::new(5 * SECOND, 7);
        (patience, patience.looked)
    }

    #[test]
    fn a_pause_is_no_time_without_progress() {
        let (mut patience, mut now) = begun();
        for _ in 0..3 {
            now += 8 * SECOND;
            assert!(!patience.is_over_at(now, 7), "a pause of 8 s");
        }
        assert!(patience.paused() > 23 * SECOND);
    }

    #[test]
    fn a_sleep_looks_again_and_again_and_ends_with_the_first_error() {
        let mut looks = 0;
        let slept = sleep(3_600 * SECOND, Duration::from_micros(1), || {
            looks += 1;
            if looks == 3 { Err("stuck") } else { Ok(()) }
        });
        assert_eq!((slept, looks), (Err("stuck"), 3));
        assert_eq!(sleep(Duration::ZERO, LOOK_EVERY, || Err("looked")), Ok(()));
    }

    #[test]
    fn no_progress_in_time_that_passes_is_noticed() {
        let (mut patience, mut now) = begun();
        let mut looks = 0;
        while !patience.is_over_at(now, 7) {
            now += LOOK_EVERY;
            looks += 1;
        }
        assert_eq!((looks, patience.paused()), (100, Duration::ZERO));
        assert!(!patience.is_over_at(now, 8), "progress");
    }
}
