//! A run during which the process or the machine stood still is thrown away and repeated, within a limit.
//!
//! Such a run would show a wait of seconds, or a halt that only a timeout ended, and neither would be the
//! lock's. Where repeating does not help, the last run is kept and says so: it is not judged.

use pvqspin_report::Record;

use crate::output::failure::Failure;
use crate::runs::interrupt;

/// How often one run is repeated at most.
const OF_ONE_RUN: u32 = 3;

/// What is left of the limit that a whole command has: a quarter of its runs, and some.
#[derive(Debug)]
pub(crate) struct Again {
    left: usize,
    thrown_away: usize,
}

impl Again {
    /// For so many runs.
    pub(crate) fn new(runs: usize) -> Self {
        Self {
            left: runs / 4 + 6,
            thrown_away: 0,
        }
    }

    /// Runs it until it can be judged, or the limit is reached.
    ///
    /// # Errors
    ///
    /// What the last run failed with.
    pub(crate) fn run(
        &mut self,
        mut once: impl FnMut() -> Result<Record, Failure>,
    ) -> Result<Record, Failure> {
        let mut discarded = 0;
        loop {
            let done = once();
            let says_nothing = match &done {
                Ok(record) => record.stood_still() || record.halt_timeouts > record.lost_wakeups(),
                Err(failure) => matches!(failure, Failure::Starved(_)),
            };
            if !says_nothing || discarded == OF_ONE_RUN || self.left == 0 || interrupt::asked() {
                return done.map(|record| Record {
                    discarded,
                    ..record
                });
            }
            discarded += 1;
            self.left -= 1;
            self.thrown_away += 1;
        }
    }

    /// What to say of it.
    pub(crate) fn told(&self) -> Option<String> {
        let times = match self.thrown_away {
            0 => return None,
            1 => "once".to_owned(),
            times => format!("{times} times"),
        };
        Some(format!(
            "REPEATED: the process or the machine stood still, or was too busy, during a run. That run was \
             thrown away and repeated, {times} in all."
        ))
    }
}

/// For how long a run took longer than asked, in ns, if that is more than a busy machine explains: its
/// thread slept through a pause.
pub(crate) fn overslept_ns(asked_ns: u64, duration_ns: u64) -> u64 {
    const EXPLAINED_NS: u64 = 150_000_000;
    let over = duration_ns.saturating_sub(asked_ns);
    if over > EXPLAINED_NS.max(asked_ns / 4) {
        over
    } else {
        0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvqspin_load::Outcome;
    use pvqspin_report::schema::LockFacts;

    fn record() -> Record {
        let facts = LockFacts {
            lock: "fifo".to_owned(),
            policy: None,
            word: None,
            fair: true,
        };
        let point = pvqspin_report::Point {
            workload: "hot-lock".to_owned(),
            host_policy: "round-robin".to_owned(),
            yield_mode: "contract".to_owned(),
            pcpus: 2,
            vcpus: 8,
            inside_ns: 1,
            outside_ns: 1,
            distribution: "fixed".to_owned(),
            slice_ns: 3_000_000,
        };
        Record {
            duration_ns: 1_000_000,
            ..Record::new(&facts, &point, 0, &Outcome::default())
        }
    }

    fn paused() -> Record {
        Record {
            paused_ns: Some(2_000_000_000),
            halt_timeouts: 2,
            ..record()
        }
    }

    #[test]
    fn a_run_that_stood_still_is_repeated() {
        let mut runs = [paused(), paused(), record()].into_iter();
        let mut again = Again::new(8);
        let kept = again.run(|| Ok(runs.next().expect("three are enough")));
        let kept = kept.expect("no failure");
        assert_eq!((kept.discarded, kept.stood_still()), (2, false));
        assert!(again.told().is_some_and(|told| told.contains("2 times")));
    }

    #[test]
    fn a_run_that_starved_is_repeated_and_a_real_failure_is_not() {
        let mut starved = 0;
        let failure = Again::new(8).run(|| {
            starved += 1;
            Err(Failure::Starved(anyhow::anyhow!("no CPU")))
        });
        assert!(failure.is_err());
        assert_eq!(starved, 1 + OF_ONE_RUN);
        let mut stuck = 0;
        let _ = Again::new(8).run(|| {
            stuck += 1;
            Err(Failure::failed("no progress"))
        });
        assert_eq!(stuck, 1);
    }

    #[test]
    fn a_lost_wakeup_on_a_quiet_machine_is_not_repeated() {
        let lost = Record {
            halt_timeouts: 1,
            ..record()
        };
        let mut runs = 0;
        let kept = Again::new(8).run(|| {
            runs += 1;
            Ok(lost.clone())
        });
        assert_eq!((runs, kept.expect("a record").lost_wakeups()), (1, 1));
    }

    #[test]
    fn the_limit_is_that_of_the_whole_command() {
        let mut again = Again::new(0);
        let mut runs = 0;
        for _ in 0..4 {
            let kept = again.run(|| {
                runs += 1;
                Ok(paused())
            });
            assert_eq!(kept.expect("a record").lost_wakeups(), 0);
        }
        assert_eq!(runs, 4 + 6);
    }

    #[test]
    fn a_busy_machine_is_no_pause() {
        assert_eq!(overslept_ns(200_000_000, 290_000_000), 0);
        assert_eq!(overslept_ns(200_000_000, 2_200_000_000), 2_000_000_000);
        assert_eq!(overslept_ns(10_000_000_000, 11_000_000_000), 0);
    }
}
