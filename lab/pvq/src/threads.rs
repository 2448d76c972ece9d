//! The lock on ordinary threads, beside other crates' mutexes: run the plan, show it, write it.

mod advice;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use pvqspin_load::catalog::Entry as Workload;
use pvqspin_load::{Distribution, Section as Length, WorkloadConfig};
use pvqspin_report::Point;
use pvqspin_report::aggregate::AtPoint;
use pvqspin_report::figures::{counted, time};
use pvqspin_report::schema::LockFacts;
use pvqspin_report::{Machine, Record, Report, table};
use pvqspin_report::{normalise, summarise};
use pvqspin_sweep::words::{self, distribution_name};
use pvqspin_user_space::threads::{self as driver, Entry, RunConfig};

use crate::compare::{incomplete, no_bug};
use crate::options::parse;
use crate::options::threads::ThreadsArgs;
use crate::output::begun;
use crate::output::failure::{Done, Failure, note, print};
use crate::output::progress::{Progress, in_words};
use crate::output::results::{Outputs, written};
use crate::report::changed::Baseline;
use crate::runs::again::{Again, overslept_ns};
use crate::runs::interrupt;
use crate::runs::plan;
use crate::runs::settings::usable_cpus;
use crate::runs::turns::{Section, Turn, asked_duration, turns, within_a_day};
use crate::threads::advice::advice;

/// The first sections after the start are not representative: threads come one after the other.
const WARMUP: Duration = Duration::from_millis(20);

/// Shorter runs would measure what the scheduler did in a few slices.
const SHORTEST: Duration = Duration::from_millis(20);
const LONGEST: Duration = Duration::from_secs(1);

/// Runs `pvq threads`.
pub(crate) fn run(args: &ThreadsArgs) -> Done {
    let plan = Plan::new(args, usable_cpus()).map_err(Failure::BadInput)?;
    let baseline = Baseline::asked(&args.output).map_err(Failure::BadInput)?;
    let outputs = Outputs::checked(args.wanted()).map_err(Failure::BadInput)?;
    if let Err(error) = interrupt::listen() {
        note(&format!(
            "note: Ctrl-C will lose what was measured ({error})"
        ));
    }
    let mut report = empty_report(&plan);
    print(&head(&plan, &report))?;
    let stopped = run_plan(&plan, &mut report);
    report.complete = report.results.len() == plan.run_count();
    if report.results.is_empty() {
        print("No run was finished, so nothing was written.\n")?;
    } else {
        normalise(&mut report.results);
        let points = summarise(&report.results);
        print(&body(&points, &report))?;
        let outputs = outputs.settled(report.complete);
        outputs.write(&report).map_err(Failure::Failed)?;
        print(&written(outputs.paths()))?;
    }
    stopped?;
    no_bug(&report)?;
    baseline.map_or(Ok(()), |baseline| baseline.tell(&report))
}

/// Everything that will run.
#[derive(Debug)]
struct Plan {
    locks: Vec<&'static Entry>,
    workload: &'static Workload,
    distribution: Distribution,
    sections: Vec<Section>,
    cpus: usize,
    threads: Vec<usize>,
    repeats: usize,
    duration: Duration,
    seed: u64,
}

impl Plan {
    /// The plan that the options ask for.
    ///
    /// # Errors
    ///
    /// Says what cannot be done, and what could.
    fn new(args: &ThreadsArgs, cpus: usize) -> Result<Self> {
        let mut threads = args
            .overcommit
            .iter()
            .map(|overcommit| threads(*overcommit, cpus))
            .collect::<Result<Vec<_>>>()?;
        plan::dedup_in_order(&mut threads);
        let workload = args.work.workload;
        let usual = [(workload.inside_ns, workload.outside_ns)];
        let mut sections = plan::sections(&args.run.inside, &args.run.outside, &usual)?;
        plan::dedup_in_order(&mut sections);
        let (budget, repeats) = match args.quick {
            true => (Duration::from_secs(10), 3),
            false => (Duration::from_secs(60), 3),
        };
        let mut plan = Self {
            locks: parse::chosen_for_threads(&args.lock),
            workload,
            distribution: args.work.distribution,
            sections,
            cpus,
            threads,
            repeats: args.run.repeats.unwrap_or(repeats),
            duration: SHORTEST,
            seed: args.work.seed,
        };
        let runs = u32::try_from(plan.run_count()).unwrap_or(u32::MAX);
        plan.duration = match args.run.duration {
            Some(ns) => asked_duration(ns)?,
            None => (budget / runs.max(1))
                .saturating_sub(WARMUP)
                .clamp(SHORTEST, LONGEST),
        };
        within_a_day(plan.total_time(), plan.run_count())?;
        Ok(plan)
    }

    fn run_count(&self) -> usize {
        [
            self.locks.len(),
            self.threads.len(),
            self.sections.len(),
            self.repeats,
        ]
        .into_iter()
        .fold(1, usize::saturating_mul)
    }

    fn total_time(&self) -> Duration {
        let runs = u32::try_from(self.run_count()).unwrap_or(u32::MAX);
        (self.duration + WARMUP).saturating_mul(runs)
    }

    fn turns(&self) -> impl Iterator<Item = Turn> {
        turns(
            self.locks.len(),
            &self.sections,
            &self.threads,
            self.repeats,
        )
    }

    fn point(&self, turn: &Turn) -> Point {
        point(
            self.workload,
            self.distribution,
            self.cpus,
            turn.vcpus,
            turn.section,
        )
    }

    fn config(&self, turn: &Turn) -> RunConfig {
        let length = |mean_ns| Length {
            mean_ns,
            distribution: self.distribution,
        };
        RunConfig {
            lock: self.locks[turn.lock_index].id,
            workload: WorkloadConfig {
                id: self.workload.id,
                inside: length(turn.section.0),
                outside: length(turn.section.1),
                // Each repeat has section lengths of its own, the same for every lock.
                seed: self.seed.wrapping_add(u64::from(turn.repeat)),
            },
            threads: turn.vcpus,
            warmup: WARMUP,
            duration: self.duration,
        }
    }
}

/// How many threads an overcommit means.
fn threads(overcommit: f64, cpus: usize) -> Result<usize> {
    let exact = overcommit * cpus as f64;
    let threads = exact.round();
    ensure!(
        (exact - threads).abs() < 1e-6 && threads >= 1.0,
        "--overcommit {overcommit} on {} would be {exact} threads, and they come whole; \
         multiples of {} are possible",
        counted(cpus, "CPU"),
        1.0 / cpus as f64
    );
    let most = driver::MAX_THREADS;
    ensure!(
        threads <= most as f64,
        "--overcommit {overcommit} on {} is {threads} threads, and {most} at most are possible{}",
        counted(cpus, "CPU"),
        words::or_less(most / cpus)
    );
    Ok(threads as usize)
}

/// Describes a point for the report. There is no host: what is said of one is empty.
pub(crate) fn point(
    workload: &Workload,
    distribution: Distribution,
    cpus: usize,
    threads: usize,
    section: Section,
) -> Point {
    Point {
        workload: workload.name.to_owned(),
        host_policy: "operating-system".to_owned(),
        yield_mode: "none".to_owned(),
        pcpus: cpus,
        vcpus: threads,
        inside_ns: section.0.into(),
        outside_ns: section.1.into(),
        distribution: distribution_name(distribution).to_owned(),
        slice_ns: 0,
    }
}

/// Describes a lock for the report.
pub(crate) fn facts(entry: &Entry) -> LockFacts {
    LockFacts {
        lock: entry.name.to_owned(),
        policy: entry.policy.map(str::to_owned),
        word: entry.policy.map(|_| "idx3".to_owned()),
        fair: entry.fair,
    }
}

/// Runs everything, or until the user stops it or a run fails. What is finished is in the report.
fn run_plan(plan: &Plan, report: &mut Report) -> Done {
    let mut progress = Progress::new(plan.run_count());
    let mut again = Again::new(plan.run_count());
    for turn in plan.turns() {
        if interrupt::asked() {
            return Err(Failure::Interrupted);
        }
        let entry = plan.locks[turn.lock_index];
        let name = format!("{} on {}", entry.name, counted(turn.vcpus, "thread"));
        progress.begin(&name);
        let record = again.run(|| {
            let outcome = driver::run(&plan.config(&turn))
                .with_context(|| format!("{name} failed"))
                .map_err(Failure::Failed)?;
            let asked_ns = u64::try_from(plan.duration.as_nanos()).unwrap_or(u64::MAX);
            Ok(Record {
                paused_ns: Some(overslept_ns(asked_ns, outcome.duration_ns)),
                ..Record::new(&facts(entry), &plan.point(&turn), turn.repeat, &outcome)
            })
        })?;
        report.results.push(record);
        progress.end();
    }
    Ok(())
}

fn empty_report(plan: &Plan) -> Report {
    let machine = Machine {
        cpus_allowed: plan.cpus,
        ..Machine::describe()
    };
    begun::report(
        "threads",
        machine,
        plan.seed,
        options(plan),
        plan.run_count(),
    )
}

fn options(plan: &Plan) -> BTreeMap<String, serde_json::Value> {
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let locks: Vec<&str> = plan.locks.iter().map(|entry| entry.name).collect();
    let sections = plan.sections.iter().map(|(c, n)| vec![*c, *n]);
    BTreeMap::from(
        [
            ("locks", locks.into()),
            ("workload", plan.workload.name.into()),
            ("distribution", distribution_name(plan.distribution).into()),
            ("cpus", plan.cpus.into()),
            ("threads", plan.threads.clone().into()),
            ("sections_ns", sections.collect()),
            ("repeats", plan.repeats.into()),
            ("warmup_ns", ns(WARMUP).into()),
            ("duration_ns", ns(plan.duration).into()),
        ]
        .map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value)),
    )
}

/// What is printed before anything runs.
fn head(plan: &Plan, report: &Report) -> String {
    format!(
        "pvq {}: {}\n\
         machine  {}\n\
         threads  not pinned, scheduled by the operating system on {}\n\
         plan     {} of {} (locks: {}, points: {}, repeats: {}), seed {}, about {} in all\n\n",
        report.version,
        report.command,
        report.machine.line(),
        counted(plan.cpus, "CPU"),
        counted(plan.run_count(), "run"),
        time(plan.duration.as_nanos() as f64),
        plan.locks.len(),
        plan.sections.len() * plan.threads.len(),
        plan.repeats,
        plan.seed,
        in_words(plan.total_time()),
    )
}

/// The tables, what they mean, and what they say.
fn body(points: &[AtPoint], report: &Report) -> String {
    let mut text = String::new();
    for at in points {
        let _ = writeln!(text, "{}", table::render_threads(at));
    }
    let _ = writeln!(text, "{}\n", table::threads_legend(points));
    text + &advice(points) + &disturbance(&report.machine) + &incomplete(report)
}

/// Whether other programs probably took CPUs: no thread can tell, but the load at the start does.
fn disturbance(machine: &Machine) -> String {
    if machine.load_1min <= 0.5 * machine.cpus_allowed as f64 {
        return String::new();
    }
    format!(
        "\nDISTURBED: the load was {:.1} when this began. Who yields or sleeps gives its CPU to that other work, \
         who spins keeps it: repeat this on an idle machine.\n",
        machine.load_1min
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Cli, Command};
    use clap::Parser;
    use pvqspin_load::WorkloadId;

    fn plan(options: &str) -> Result<Plan> {
        let words = ["pvq", "threads"]
            .into_iter()
            .chain(options.split_whitespace());
        match Cli::try_parse_from(words).expect("well formed").command {
            Some(Command::Threads(args)) => Plan::new(&args, 2),
            _ => unreachable!("the command was given"),
        }
    }

    #[test]
    fn the_default_takes_about_a_minute_and_quick_ten_seconds() {
        for (options, seconds) in [("", 60.0), ("--quick", 10.0)] {
            let total = plan(options).expect("the defaults").total_time();
            assert!(
                (total.as_secs_f64() / seconds - 1.0).abs() < 0.15,
                "{total:?}"
            );
        }
    }

    #[test]
    fn threads_come_whole_and_have_slots() {
        assert_eq!(
            plan("--overcommit 1,1.5,8").expect("fine").threads,
            [2, 3, 16]
        );
        let refused = |options| plan(options).expect_err("impossible").to_string();
        assert!(refused("--overcommit 1.3").contains("they come whole"));
        assert!(refused("--overcommit 2000").contains("2048 at most"));
        assert!(refused("--repeats 99999999").contains(" h "));
        assert!(refused("--duration 20").contains("too short"));
    }

    #[test]
    fn every_lock_has_its_turn_at_every_point() {
        let plan = plan("--repeats 2 --lock bounded,std,mcs").expect("fine");
        let turns: Vec<Turn> = plan.turns().collect();
        assert_eq!(turns.len(), plan.run_count());
        assert_ne!(turns[0].lock_index, turns[turns.len() / 2].lock_index);
        let config = plan.config(&turns[turns.len() / 2]);
        assert_eq!(
            config.workload.seed, 2,
            "repeats have sections of their own"
        );
        assert_eq!(config.workload.id, WorkloadId::HotLock);
    }
}
