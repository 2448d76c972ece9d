//! Very many random schedules, on all cores.
//!
//! Threads draw blocks of seeds in ascending order. Once one has found a failure, no thread begins
//! a later seed, and all finish the earlier ones: what comes out is the lowest failing seed,
//! however many threads there are.

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

use pvqspin_load::Hypercalls;
use pvqspin_rivals::catalog::LockId;

use crate::error::SimError;
use crate::run::run;
use crate::torture::torture;

/// How many seeds a thread draws at once.
const BLOCK: u64 = 32;

/// What came out of many schedules.
#[derive(Debug, Default)]
pub struct Explored {
    /// How many went well. If none failed and it was not stopped: all.
    pub schedules: u64,
    /// How often the lock was taken in them.
    pub acquisitions: u64,
    /// How many events they had.
    pub events: u64,
    /// How many preemptions were made at chosen points.
    pub faults: u64,
    /// How often a vCPU lost its pCPU inside a critical section.
    pub lhp: u64,
    /// How many hypercalls they made.
    pub hypercalls: Hypercalls,
    /// The lowest seed that failed, and how.
    pub failure: Option<(u64, SimError)>,
}

/// Runs the [schedules](crate::torture()) of these seeds on so many threads.
///
/// `goes_on` is called after each block with the number of its schedules, on any of the threads; if
/// it says no, everything stops soon.
///
/// ```
/// use pvqspin_rivals::catalog::LockId;
/// use pvqspin_simulator::explore;
///
/// let of = |threads| explore(LockId::Fifo, 0..100, threads, &|_| true);
/// let (one, two) = (of(1), of(2));
/// assert!(one.failure.is_none() && one.schedules == 100);
/// assert_eq!((one.acquisitions, one.events), (two.acquisitions, two.events));
/// ```
pub fn explore(
    lock: LockId,
    seeds: Range<u64>,
    threads: usize,
    goes_on: &(dyn Fn(u64) -> bool + Sync),
) -> Explored {
    let shared = Shared {
        next: AtomicU64::new(seeds.start),
        // Seeds from here on are not begun.
        end: AtomicU64::new(seeds.end),
    };
    let mut all = Explored::default();
    thread::scope(|scope| {
        let worker = || shared.work(lock, goes_on);
        let workers: Vec<_> = (0..threads.max(1)).map(|_| scope.spawn(worker)).collect();
        for worker in workers {
            // A panic in there is a bug in here, and not to be hidden.
            let part = worker
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            all.add(part);
        }
    });
    all
}

struct Shared {
    next: AtomicU64,
    end: AtomicU64,
}

impl Shared {
    fn work(&self, lock: LockId, goes_on: &(dyn Fn(u64) -> bool + Sync)) -> Explored {
        let mut mine = Explored::default();
        loop {
            // Relaxed: the seeds are all that is shared, and each is drawn once.
            let first = self.next.fetch_add(BLOCK, Relaxed);
            let mut done = 0;
            for seed in first..first.saturating_add(BLOCK) {
                if seed >= self.end.load(Relaxed) {
                    break;
                }
                mine.add(one(lock, seed));
                done += 1;
                if mine.failure.is_some() {
                    self.end.fetch_min(seed, Relaxed);
                    return mine;
                }
            }
            if done == 0 {
                return mine;
            }
            if !goes_on(done) {
                self.end.store(0, Relaxed);
            }
        }
    }
}

fn one(lock: LockId, seed: u64) -> Explored {
    match run(&torture(lock, seed)) {
        Ok(result) => Explored {
            schedules: 1,
            acquisitions: result.outcome.acquisitions,
            events: result.events,
            faults: result.faults_fired,
            lhp: result.outcome.lhp,
            hypercalls: result.outcome.hypercalls,
            failure: None,
        },
        Err(error) => Explored {
            failure: Some((seed, error)),
            ..Explored::default()
        },
    }
}

impl Explored {
    fn add(&mut self, other: Self) {
        self.schedules += other.schedules;
        self.acquisitions += other.acquisitions;
        self.events += other.events;
        self.faults += other.faults;
        self.lhp += other.lhp;
        self.hypercalls.halt += other.hypercalls.halt;
        self.hypercalls.kick += other.hypercalls.kick;
        self.hypercalls.yield_to += other.hypercalls.yield_to;
        let earlier = |seed: u64| self.failure.as_ref().is_none_or(|(mine, _)| seed < *mine);
        if other
            .failure
            .as_ref()
            .is_some_and(|(seed, _)| earlier(*seed))
        {
            self.failure = other.failure;
        }
    }
}
