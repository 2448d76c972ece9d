//! One run: threads that want one lock, a warm-up, a measured time, the end.

use std::thread;
use std::time::Duration;
use std::{io, iter};

use pvqspin::Env;
use pvqspin_abi::Cpu;
use pvqspin_load::{Control, Outcome, Record, WorkloadConfig, catalog, summarise};
use pvqspin_rivals::Lock;
use thiserror::Error;

use crate::threads::catalog::{LockId, Visitor, with_lock};
use crate::threads::thread::OnThread;
use crate::threads::work;

/// The most threads of a run: half of the lock's slots, so that the rest of the program has some.
pub const MAX_THREADS: usize = pvqspin::threads::MAX_THREADS / 2;

/// What a run is asked to do.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct RunConfig {
    /// The lock.
    pub lock: LockId,
    /// What every thread does with it.
    pub workload: WorkloadConfig,
    /// How many threads.
    pub threads: usize,
    /// How long to run before measuring.
    pub warmup: Duration,
    /// How long to measure.
    pub duration: Duration,
}

/// Why a run did not take place.
#[derive(Debug, Error)]
pub enum RunError {
    /// There are no threads, or more than a lock word can name.
    #[error("{0} threads; from 1 to {MAX_THREADS} are possible")]
    Threads(usize),
    /// The system gives no more threads.
    #[error(
        "thread {number} of {asked} could not be started: {error}; ask for a lower overcommit, or \
         raise the limit (ulimit -u)"
    )]
    Spawn {
        /// Which one, from 1.
        number: usize,
        /// How many were asked for.
        asked: usize,
        /// What the system says.
        error: io::Error,
    },
}

/// Runs it.
///
/// # Errors
///
/// If there cannot be so many threads. No thread is left when it returns.
///
/// ```
/// use pvqspin_user_space::threads::{LockId, RunConfig, run};
/// use pvqspin_load::{Section, WorkloadConfig};
/// use std::time::Duration;
///
/// let outcome = run(&RunConfig {
///     lock: LockId::Bounded,
///     workload: WorkloadConfig::hot_lock(Section::uniform(200), Section::uniform(400), 1),
///     threads: 3,
///     warmup: Duration::from_millis(1),
///     duration: Duration::from_millis(20),
/// })?;
/// assert!(outcome.acquisitions > 0);
/// assert_eq!(outcome.exclusion_violations, 0);
/// # Ok::<(), pvqspin_user_space::threads::RunError>(())
/// ```
pub fn run(config: &RunConfig) -> Result<Outcome, RunError> {
    if !(1..=MAX_THREADS).contains(&config.threads) {
        return Err(RunError::Threads(config.threads));
    }
    work::turn_ns(); // calibrates before any thread competes
    with_lock(config.lock, OnThreads(config))
}

struct OnThreads<'a>(&'a RunConfig);

impl Visitor for OnThreads<'_> {
    type Output = Result<Outcome, RunError>;

    fn visit<L: Lock<OnThread>>(self) -> Self::Output {
        run_with::<L>(self.0)
    }
}

fn run_with<L: Lock<OnThread>>(config: &RunConfig) -> Result<Outcome, RunError> {
    let workload = catalog::build::<OnThread, L>(&config.workload, config.threads);
    let records: Vec<Record> = iter::repeat_with(Record::new)
        .take(config.threads)
        .collect();
    let control = Control::new();
    let duration_ns = thread::scope(|scope| {
        for (index, record) in records.iter().enumerate() {
            let (workload, control) = (workload.as_ref(), &control);
            let work = move || {
                if let Some(cpu) = Cpu::new(index) {
                    OnThread::become_cpu(cpu);
                    workload.run_vcpu(control, record);
                }
            };
            if let Err(error) = thread::Builder::new().spawn_scoped(scope, work) {
                control.stop();
                return Err(RunError::Spawn {
                    number: index + 1,
                    asked: config.threads,
                    error,
                });
            }
        }
        thread::sleep(config.warmup);
        let began = OnThread::now_ns();
        control.measure(began);
        thread::sleep(config.duration);
        control.stop();
        Ok(OnThread::now_ns() - began)
    })?;
    Ok(summarise(&records, &workload.account(), duration_ns))
}
