//! Doing one turn, and what came of it.

use core::ops::Range;
use std::process::ExitCode;

use anyhow::Result;
use pvqspin::{Bounded, Fifo, FifoHalt, Native, Policy};
use pvqspin_greedy::{Bundled, Case, judge};
use pvqspin_host::Scheduling;
use pvqspin_hypervisor::{Probe, RunError};
use pvqspin_load::Outcome;
use pvqspin_rivals::catalog::LockId;
use pvqspin_simulator::{ReadersAndWriters, torture};
use serde::{Deserialize, Serialize};

use crate::draw::{self, Driver, RwPolicy, Schedules, Tortured, Turn};
use crate::figures::Figures;

/// What came of a turn.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// What was run, in words.
    pub(crate) what: String,
    /// What was counted.
    pub(crate) figures: Figures,
    /// What went wrong, if anything did.
    pub(crate) failure: Option<String>,
    /// Why there was nothing to run, if so.
    pub(crate) skipped: Option<String>,
}

impl Report {
    fn new(what: String, figures: Figures, failure: Option<String>) -> Self {
        Self {
            what,
            figures,
            failure,
            skipped: None,
        }
    }
}

/// Does a turn in this process, and prints what came of it as one line of JSON.
pub(crate) fn print_json(turn: Turn) -> Result<ExitCode> {
    println!("{}", serde_json::to_string(&run(turn))?);
    Ok(ExitCode::SUCCESS)
}

/// Does a turn in this process, and prints what came of it for a reader.
pub(crate) fn replay(turn: Turn) -> Result<ExitCode> {
    let report = run(turn);
    println!("{turn}: {}", report.what);
    for (name, count) in report.figures.named() {
        println!("  {name}: {count}");
    }
    if let Some(reason) = report.skipped {
        println!("skipped: {reason}");
    }
    if let Some(failure) = report.failure {
        println!("FAILED: {failure}");
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn run(turn: Turn) -> Report {
    match turn.driver {
        Driver::Simulator => in_virtual_time(turn.seed),
        Driver::Hypervisor => with_real_preemption(turn.seed),
        Driver::Threads => on_threads(turn.seed),
        Driver::Host => on_the_host(draw::programs(turn.seed)),
    }
}

fn in_virtual_time(seed: u64) -> Report {
    let Schedules { of, seeds } = draw::schedules(seed);
    match of {
        Tortured::Lock(lock) => locks_in_virtual_time(lock, seeds),
        Tortured::ReadersAndWriters(policy) => match policy {
            RwPolicy::Fifo => readers_and_writers::<Fifo>(seeds),
            RwPolicy::FifoHalt => readers_and_writers::<FifoHalt>(seeds),
            RwPolicy::Bounded => readers_and_writers::<Bounded>(seeds),
            RwPolicy::Native => readers_and_writers::<Native>(seeds),
        },
    }
}

fn locks_in_virtual_time(lock: LockId, seeds: Range<u64>) -> Report {
    let name = lock.entry().name;
    let what = format!("{name}, schedules {seeds:?}");
    let explored = pvqspin_simulator::explore(lock, seeds, 1, &|_| true);
    let failure = explored.failure.as_ref().map(|(seed, error)| {
        format!("schedule {seed}: {error}\n`pvq simulate --lock {name} --replay {seed}` shows it")
    });
    Report::new(what, Figures::of_schedules(&explored), failure)
}

/// The machines of the same schedules, with the reader-writer lock on them. A vCPU that writes beside
/// another panics: then the process of this turn ends, which is a failure.
fn readers_and_writers<P: Policy>(seeds: Range<u64>) -> Report {
    let what = format!("readers and writers, {}, schedules {seeds:?}", P::NAME);
    let (mut figures, mut failure) = (Figures::default(), None);
    for seed in seeds {
        let guests = ReadersAndWriters::<P>::of_seed(seed);
        // The lock that the schedule names plays no part.
        match guests.run(&torture(LockId::Fifo, seed)) {
            Ok(faults) => figures.add(&Figures {
                schedules: 1,
                acquisitions: guests.done(),
                preempted_at_points: faults,
                ..Figures::default()
            }),
            Err(error) => {
                failure = Some(format!("schedule {seed}: {error}"));
                break;
            }
        }
    }
    Report::new(what, figures, failure)
}

fn with_real_preemption(seed: u64) -> Report {
    let failed = |what, failure| Report::new(what, Figures::default(), Some(failure));
    let probe = match Probe::run() {
        Ok(probe) => probe,
        Err(error @ pvqspin_hypervisor::Unsupported::Trial(_)) => {
            return failed("the probe of the machine".to_owned(), error.to_string());
        }
        Err(reason) => {
            return Report {
                skipped: Some(reason.to_string()),
                ..Report::new(String::new(), Figures::default(), None)
            };
        }
    };
    let asked = draw::hypervisor_run(seed, &probe);
    let what = format!("{asked:?}");
    match pvqspin_hypervisor::run(&probe, &asked) {
        Ok(result) => Report::new(
            what,
            Figures::of_run(&result.outcome, result.faults_fired),
            broken(&result.outcome),
        ),
        Err(RunError::Unsupported(reason)) => Report {
            skipped: Some(reason.to_string()),
            ..Report::new(what, Figures::default(), None)
        },
        Err(error) => failed(what, error.to_string()),
    }
}

fn on_threads(seed: u64) -> Report {
    let asked = draw::thread_run(seed);
    let what = format!("{asked:?}");
    match pvqspin_user_space::threads::run(&asked) {
        Ok(outcome) => {
            let failure = broken(&outcome);
            Report::new(what, Figures::of_run(&outcome, 0), failure)
        }
        Err(error) => Report::new(what, Figures::default(), Some(error.to_string())),
    }
}

/// Guests that look for a way to take more than their share.
fn on_the_host(seeds: Range<u64>) -> Report {
    let what = format!("programs of guests {seeds:?}");
    let mut figures = Figures::default();
    let failure = seeds.into_iter().find_map(|seed| {
        figures.schedules += 1;
        let mut case = Case::from_seed(seed);
        // Gangs know no caps.
        if seed.is_multiple_of(3) && case.setup.scheduling != Scheduling::CoScheduled {
            case = case.capped(1 + seed / 3 % 19, 1 + seed / 57 % 29);
        }
        let verdict = judge::<Bundled>(&case);
        (!verdict.holds()).then(|| format!("program {seed}: {verdict:?}\n{case:?}"))
    });
    Report::new(what, figures, failure)
}

/// What no lock may do.
fn broken(outcome: &Outcome) -> Option<String> {
    if outcome.exclusion_violations > 0 {
        let times = outcome.exclusion_violations;
        return Some(format!(
            "two were in the critical section at once, {times} times"
        ));
    }
    if outcome.halt_timeouts > 0 {
        let times = outcome.halt_timeouts;
        return Some(format!("a wake-up was lost, {times} times"));
    }
    None
}
