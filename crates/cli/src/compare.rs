//! The main job: run the plan, show it, write it.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use pvqspin_hypervisor::{Machine, RunConfig};
use pvqspin_peers::catalog::BOUNDED_WAIT_US;
use pvqspin_report::aggregate::{AtPoint, normalise, summarise};
use pvqspin_report::figures::{count, exact_time, time};
use pvqspin_report::sentences::sentences;
use pvqspin_report::{Record, Report, SCHEMA, TOLERATED, table, targets};

use crate::args::CompareArgs;
use crate::driver::{self, Limits};
use crate::failure::{Done, Failure, print};
use crate::interrupt;
use crate::outputs::Outputs;
use crate::plan::{self, Plan, PlannedRun};
use crate::progress::Progress;

/// Runs `pvq compare`.
pub(crate) fn run(args: &CompareArgs) -> Done {
    let plan = Plan::new(args, &Limits::here()).map_err(Failure::BadInput)?;
    let outputs = Outputs::checked(args.wanted()).map_err(Failure::BadInput)?;
    // Without this Ctrl-C ends the program at once, which is no reason not to measure.
    let listening = interrupt::listen();
    let machine = Machine::probe().map_err(driver::unsupported)?;
    if let Err(error) = listening {
        eprintln!("note: Ctrl-C will lose what was measured ({error})");
    }

    validate(&plan, &machine)?;
    let report = empty_report(&plan, driver::describe(&machine), driver::NAME);
    let cost = format!("hypercall +{}", exact_time(plan.host.hypercall_ns));
    print(&head(&plan, &report, &cost, &report.machine.costs()))?;
    complete(args, &plan, &outputs, report, |run| {
        run_one(&plan, &machine, run)
    })
}

/// Runs the plan, shows what came out, and writes it.
pub(crate) fn complete(
    args: &CompareArgs,
    plan: &Plan,
    outputs: &Outputs,
    mut report: Report,
    run_one: impl FnMut(&PlannedRun) -> Result<Record, Failure>,
) -> Done {
    let stopped = run_plan(plan, &mut report, run_one);
    if !report.results.is_empty() {
        normalise(&mut report.results);
        let points = summarise(&report.results);
        print(&body(args, plan, &points, &report))?;
        outputs.write(&report, &points).map_err(Failure::Failed)?;
        print(&written(outputs))?;
    } else {
        print("No run was finished, so nothing was written.\n")?;
    }
    stopped?;
    mutual_exclusion_held(&report)
}

/// Runs everything, or until somebody stops it or a run fails. What is finished is in the report,
/// and whether that is all.
pub(crate) fn run_plan(
    plan: &Plan,
    report: &mut Report,
    mut run_one: impl FnMut(&PlannedRun) -> Result<Record, Failure>,
) -> Done {
    let mut progress = Progress::new(plan.run_count());
    for run in plan.runs() {
        if interrupt::asked() {
            return Err(Failure::Interrupted);
        }
        progress.begin(&name_of(plan, &run));
        report.results.push(run_one(&run)?);
        progress.end();
    }
    report.complete = true;
    Ok(())
}

/// One run on the embedded hypervisor.
pub(crate) fn run_one(plan: &Plan, machine: &Machine, run: &PlannedRun) -> Result<Record, Failure> {
    let config = config_of(plan, run);
    let result = driver::run(machine, &config, &name_of(plan, run))?;
    let facts = plan::facts(plan.locks[run.lock_index]);
    Ok(Record {
        interruptions: Some(result.noise.interruptions),
        interrupted_ns: Some(result.noise.lost_ns),
        ..Record::new(&facts, &plan.point(run), run.repeat, &result.outcome)
    })
}

pub(crate) fn config_of(plan: &Plan, run: &PlannedRun) -> RunConfig {
    driver::config(
        &plan.host,
        &driver::Run {
            lock: plan.locks[run.lock_index].id,
            workload: plan.workload.id,
            vcpus: run.vcpus,
            section: run.section,
            repeat: run.repeat,
            duration: plan.duration,
            trace: false,
        },
    )
}

/// Lets the hypervisor look at everything that it will be asked for.
pub(crate) fn validate(plan: &Plan, machine: &Machine) -> Done {
    plan.runs()
        .filter(|run| run.repeat == 0)
        .try_for_each(|run| config_of(plan, &run).validate(machine.cpus.len()))
        .map_err(Failure::bad_input)
}

/// What a run is called in messages.
pub(crate) fn name_of(plan: &Plan, run: &PlannedRun) -> String {
    let overcommit = run.vcpus as f64 / plan.host.pcpus as f64;
    let (inside, outside) = run.section;
    format!(
        "{} at overcommit {}, {}/{}",
        run.lock,
        count(overcommit),
        exact_time(inside.into()),
        exact_time(outside.into())
    )
}

/// A report without results.
pub(crate) fn empty_report(plan: &Plan, machine: pvqspin_report::Machine, driver: &str) -> Report {
    Report {
        schema: SCHEMA,
        command: env::args().collect::<Vec<_>>().join(" "),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        machine,
        seed: plan.host.seed,
        driver: driver.to_owned(),
        options: options(plan),
        started_unix_s: unix_s(),
        complete: false,
        planned: plan.run_count() as u64,
        results: Vec::with_capacity(plan.run_count()),
    }
}

/// The time of day, in seconds since 1970.
pub(crate) fn unix_s() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

fn options(plan: &Plan) -> BTreeMap<String, serde_json::Value> {
    let ns = |time: std::time::Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    let warmups: Vec<u64> = plan
        .vcpus
        .iter()
        .map(|v| ns(plan.host.warmup(*v)))
        .collect();
    let mut options = plan.host.options();
    let locks: Vec<&str> = plan.locks.iter().map(|entry| entry.name).collect();
    for (name, value) in [
        ("locks", locks.into()),
        ("workload", plan.workload.name.into()),
        ("vcpus", plan.vcpus.clone().into()),
        (
            "sections_ns",
            plan.sections.iter().map(|(c, n)| vec![*c, *n]).collect(),
        ),
        ("repeats", plan.repeats.into()),
        ("warmup_ns", warmups.into()),
        ("duration_ns", ns(plan.duration).into()),
    ] {
        options.insert(name.to_owned(), value);
    }
    options
}

/// What is printed before anything runs: machine, host, plan. `calls` says what a hypercall is, and
/// `costs` what things cost on this machine.
pub(crate) fn head(plan: &Plan, report: &Report, calls: &str, costs: &str) -> String {
    let (host, machine) = (&plan.host, &report.machine);
    let neighbour = host.neighbour.map_or_else(String::new, |kind| {
        format!(", a lock-free VM beside it ({})", kind.name())
    });
    format!(
        "pvq {}: {}\n\
         machine  {}\n\
         host     {} pCPUs, {} slices of {}, yields: {} (loan {} at least), {calls}{neighbour}\n\
         costs    {costs}\n\
         plan     {} runs of {} (locks: {}, points: {}, repeats: {}), seed {}, about {} s in all\n\n",
        report.version,
        report.command,
        machine.line(),
        host.pcpus,
        host.scheduling.name(),
        exact_time(host.slice_ns),
        host.yields.name(),
        exact_time(host.min_loan_ns),
        plan.run_count(),
        time(plan.duration.as_nanos() as f64),
        plan.locks.len(),
        plan.sections.len() * plan.vcpus.len(),
        plan.repeats,
        report.seed,
        plan.total_time().as_secs().max(1),
    )
}

/// The tables, what they mean, and what they say.
fn body(args: &CompareArgs, plan: &Plan, points: &[AtPoint], report: &Report) -> String {
    let mut text = String::new();
    for at in points {
        let _ = writeln!(text, "{}", table::render(at));
    }
    let _ = writeln!(text, "{}\n", table::LEGEND);
    if args.targets {
        let list = targets::check(points, Some(u64::from(BOUNDED_WAIT_US) * 1_000));
        let _ = writeln!(text, "{}", targets::render(&list));
    }
    for sentence in sentences(points) {
        let _ = writeln!(text, "{sentence}");
    }
    if let Some(warning) = disturbance(plan, report) {
        let _ = writeln!(text, "\n{warning}");
    }
    text + &incomplete(report)
}

/// Says if not all runs were finished.
pub(crate) fn incomplete(report: &Report) -> String {
    if report.complete {
        return String::new();
    }
    let (done, planned) = (report.results.len(), report.planned);
    format!("\nINCOMPLETE: {done} of {planned} runs were finished.\n")
}

/// Whether other work kept the CPUs from a run: it took more than is tolerable of its time, or the run
/// lasted much longer than asked because the thread that ends it did not get a CPU.
pub(crate) fn is_disturbed(plan: &Plan, record: &Record) -> bool {
    let late = record.duration_ns as f64 > 1.25 * plan.duration.as_nanos() as f64;
    late || record.is_disturbed()
}

/// What to say of runs that other work disturbed.
pub(crate) fn disturbance(plan: &Plan, report: &Report) -> Option<String> {
    let disturbed: Vec<&Record> = (report.results.iter())
        .filter(|record| is_disturbed(plan, record))
        .collect();
    let worst = disturbed
        .iter()
        .max_by(|a, b| a.interrupted_share().total_cmp(&b.interrupted_share()))?;
    Some(format!(
        "DISTURBED: in {} of {} runs other work took more than {} % of the CPUs' time, most from {} at \
         overcommit {} ({:.1} %).\nA pCPU that is taken away looks as if it ran, so whoever waits for \
         it waits, and a lock in strict order loses most.\nIf that is many runs, repeat this on an \
         idle machine.",
        disturbed.len(),
        report.results.len(),
        TOLERATED * 100.0,
        worst.lock,
        count(worst.overcommit),
        worst.interrupted_share() * 100.0,
    ))
}

/// The files that were written, in a line.
pub(crate) fn written(outputs: &Outputs) -> String {
    let paths: Vec<String> = outputs
        .paths()
        .map(|path| path.display().to_string())
        .collect();
    match paths.as_slice() {
        [] => String::new(),
        paths => format!("\nwritten: {}\n", paths.join(", ")),
    }
}

/// A lock that lets two in is worse than a slow one: that is an error of the run.
pub(crate) fn mutual_exclusion_held(report: &Report) -> Done {
    let broken = report
        .results
        .iter()
        .find(|record| record.exclusion_violations > 0);
    match broken {
        None => Ok(()),
        Some(record) => Err(Failure::failed(format!(
            "{} let two into its critical section at once; this is a bug, please report it with \
             the JSON file",
            record.lock
        ))),
    }
}
