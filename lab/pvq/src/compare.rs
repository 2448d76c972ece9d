//! The main job: run the plan, show it, write it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;

use pvqspin_host::Config;
use pvqspin_hypervisor::{HvConfig, Probe};
use pvqspin_report::aggregate::AtPoint;
use pvqspin_report::figures::{count, counted, exact_time, time};
use pvqspin_report::repeats::Evidence;
use pvqspin_report::sentences::sentences;
use pvqspin_report::{Record, Report, TOLERATED, table, targets};
use pvqspin_report::{normalise, summarise};
use pvqspin_rivals::catalog::BOUNDED_WAIT_US;

use crate::options::compare::CompareArgs;
use crate::output::begun;
use crate::output::failure::{Done, Failure, note, print};
use crate::output::progress::{Progress, in_words};
use crate::output::results::{Outputs, written};
use crate::report::changed::Baseline;
use crate::runs::again::{Again, overslept_ns};
use crate::runs::driver;
use crate::runs::interrupt;
use crate::runs::plan::{self, Plan, PlannedRun, ns};
use crate::runs::settings::Limits;
use crate::runs::viewer::Viewer;

/// Runs `pvq compare`.
pub(crate) fn run(args: &CompareArgs) -> Done {
    run_for(args, interrupt::listen, |plan| {
        Ok(Box::new(Progress::new(plan.run_count())))
    })
}

/// The same for any viewer, which is made when everything has been checked, and dropped before results
/// are printed.
pub(crate) fn run_for(
    args: &CompareArgs,
    listen: impl FnOnce() -> io::Result<()>,
    viewer: impl FnOnce(&Plan) -> Result<Box<dyn Viewer>, Failure>,
) -> Done {
    let plan = Plan::new(args, &Limits::here()).map_err(Failure::BadInput)?;
    // Before it is known that anything can run: a name that is wrong is wrong at once.
    Baseline::asked(&args.output).map_err(Failure::BadInput)?;
    let outputs = Outputs::checked(args.wanted()).map_err(Failure::BadInput)?;
    // Without this Ctrl-C ends the program at once, which is no reason not to measure.
    let listening = listen();
    let probe = Probe::run().map_err(driver::unsupported)?;
    if let Err(error) = listening {
        note(&format!(
            "note: Ctrl-C will lose what was measured ({error})"
        ));
    }

    validate(&plan, &probe)?;
    let report = empty_report(&plan, driver::describe(&probe), driver::NAME);
    let cost = format!("hypercall +{}", exact_time(plan.settings.hypercall_ns));
    let scheduling = our_scheduling(&plan.settings.host);
    let costs = report.machine.costs_in_words();
    print(&head(&plan, &report, &scheduling, &cost, &costs))?;
    let viewer = viewer(&plan)?;
    complete(args, &plan, outputs, report, viewer, |run, viewer| {
        run_one(&plan, &probe, run, viewer)
    })
}

/// Runs the plan, shows what came out, and writes it.
pub(crate) fn complete(
    args: &CompareArgs,
    plan: &Plan,
    outputs: Outputs,
    mut report: Report,
    mut viewer: Box<dyn Viewer>,
    run_one: impl FnMut(&PlannedRun, &mut dyn Viewer) -> Result<Record, Failure>,
) -> Done {
    let baseline = Baseline::asked(&args.output).map_err(Failure::BadInput)?;
    let mut again = Again::new(plan.run_count());
    let stopped = run_plan(plan, &mut report, &mut *viewer, &mut again, run_one);
    // Before anything is printed: it may have taken the whole screen.
    drop(viewer);
    if !report.results.is_empty() {
        normalise(&mut report.results);
        let points = summarise(&report.results);
        print(&body(args, &points, &report))?;
        if let Some(told) = again.told() {
            print(&format!("\n{told}\n"))?;
        }
        let outputs = outputs.settled(report.complete);
        outputs.write(&report).map_err(Failure::Failed)?;
        print(&written(outputs.paths()))?;
    } else {
        print("No run was finished, so nothing was written.\n")?;
    }
    stopped?;
    no_bug(&report)?;
    baseline.map_or(Ok(()), |baseline| baseline.tell(&report))
}

/// Runs everything, or until the user stops it or a run fails. What is finished is in the report,
/// and whether that is all.
pub(crate) fn run_plan(
    plan: &Plan,
    report: &mut Report,
    viewer: &mut dyn Viewer,
    again: &mut Again,
    mut run_one: impl FnMut(&PlannedRun, &mut dyn Viewer) -> Result<Record, Failure>,
) -> Done {
    for run in plan.runs() {
        if interrupt::asked() {
            return Err(Failure::Interrupted);
        }
        viewer.begin(&name_of(plan, &run), &run);
        let record = again.run(|| run_one(&run, viewer))?;
        viewer.end(&record);
        report.results.push(record);
    }
    report.complete = true;
    Ok(())
}

/// One run on the embedded hypervisor.
pub(crate) fn run_one(
    plan: &Plan,
    probe: &Probe,
    run: &PlannedRun,
    viewer: &mut dyn Viewer,
) -> Result<Record, Failure> {
    let config = config_of(plan, run);
    let name = name_of(plan, run);
    let result = match viewer.looks_every() {
        None => driver::run(probe, &config, &name)?,
        Some(every) => driver::run_watched(probe, &config, &name, every, &mut |snapshot| {
            viewer.show(snapshot);
        })?,
    };
    let facts = plan::facts(plan.locks[run.lock_index]);
    let overslept = overslept_ns(ns(plan.duration), result.outcome.duration_ns);
    Ok(Record {
        interruptions: Some(result.noise.interruptions),
        interrupted_ns: Some(result.noise.lost_ns),
        paused_ns: Some(result.noise.paused_ns.max(overslept)),
        ..Record::new(&facts, &plan.point(run), run.repeat, &result.outcome)
    })
}

/// A run of the plan, as the embedded hypervisor is asked for it.
fn config_of(plan: &Plan, run: &PlannedRun) -> HvConfig {
    HvConfig {
        hypercall_ns: plan.settings.hypercall_ns,
        ..HvConfig::from(plan.asked(run))
    }
}

/// Lets the hypervisor look at everything that it will be asked for.
pub(crate) fn validate(plan: &Plan, probe: &Probe) -> Done {
    plan.runs()
        .filter(|run| run.repeat == 0)
        .try_for_each(|run| config_of(plan, &run).validate(probe.cpus.len()))
        .map_err(Failure::bad_input)
}

/// What a run is called in messages.
pub(crate) fn name_of(plan: &Plan, run: &PlannedRun) -> String {
    let overcommit = run.vcpus as f64 / plan.settings.host.pcpus as f64;
    let (inside, outside) = run.section;
    format!(
        "{} at overcommit {}, {}/{}",
        run.lock,
        count(overcommit),
        exact_time(inside.into()),
        exact_time(outside.into())
    )
}

pub(crate) fn empty_report(plan: &Plan, machine: pvqspin_report::Machine, driver: &str) -> Report {
    begun::report(
        driver,
        machine,
        plan.settings.seed,
        options(plan),
        plan.run_count(),
    )
}

fn options(plan: &Plan) -> BTreeMap<String, serde_json::Value> {
    let warmups: Vec<u64> = plan
        .vcpus
        .iter()
        .map(|v| ns(plan.settings.warmup(*v)))
        .collect();
    let mut options = plan.settings.options();
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

/// What the host of pvqspin does with its pCPUs, in words.
pub(crate) fn our_scheduling(host: &Config) -> String {
    format!(
        "{} slices of {}, yields: {} (loan {} at least)",
        host.scheduling.name(),
        exact_time(host.slice_ns),
        host.yields.name(),
        exact_time(host.min_loan_ns),
    )
}

/// What is printed before anything runs: machine, host, plan. `scheduling` says who runs when,
/// `calls` what a hypercall is, and `costs` what things cost on this machine.
pub(crate) fn head(
    plan: &Plan,
    report: &Report,
    scheduling: &str,
    calls: &str,
    costs: &str,
) -> String {
    let (settings, machine) = (&plan.settings, &report.machine);
    let neighbour = settings.neighbour.map_or_else(String::new, |kind| {
        format!(", a lock-free VM beside it ({})", kind.name())
    });
    format!(
        "pvq {}: {}\n\
         machine  {}\n\
         host     {}, {scheduling}, {calls}{neighbour}\n\
         costs    {costs}\n\
         plan     {} of {} (locks: {}, points: {}, repeats: {}), seed {}, about {} in all\n\n",
        report.version,
        report.command,
        machine.line(),
        counted(settings.host.pcpus, "pCPU"),
        counted(plan.run_count(), "run"),
        time(plan.duration.as_nanos() as f64),
        plan.locks.len(),
        plan.sections.len() * plan.vcpus.len(),
        plan.repeats,
        report.seed,
        in_words(plan.total_time()),
    )
}

/// The tables, what they mean, and what they say.
fn body(args: &CompareArgs, points: &[AtPoint], report: &Report) -> String {
    let mut text = String::new();
    for at in points {
        let _ = writeln!(text, "{}", table::render(at));
    }
    let _ = writeln!(text, "{}\n", table::legend(points, Evidence::Measured));
    if args.targets {
        let list = targets::check(
            points,
            Some(u64::from(BOUNDED_WAIT_US) * 1_000),
            Evidence::Measured,
        );
        let _ = writeln!(text, "{}", targets::render(&list));
    }
    for sentence in sentences(points, Evidence::Measured) {
        let _ = writeln!(text, "{sentence}");
    }
    if let Some(warning) = disturbance(report) {
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

/// What to say of runs that other work disturbed.
pub(crate) fn disturbance(report: &Report) -> Option<String> {
    let disturbed: Vec<&Record> = (report.results.iter())
        .filter(|record| record.is_disturbed())
        .collect();
    let worst = disturbed
        .iter()
        .max_by(|a, b| a.interrupted_share().total_cmp(&b.interrupted_share()))?;
    Some(format!(
        "DISTURBED: in {} of {} runs other work took more than {} % of the CPUs' time, most from {} at \
         overcommit {} ({:.1} %).\nA pCPU that is taken away looks as if it ran, so the \
         vCPUs that wait for it wait, and a lock in strict order loses most.\nThose runs are not judged. \
         If they are many, repeat this on an idle machine.",
        disturbed.len(),
        report.results.len(),
        TOLERATED * 100.0,
        worst.lock,
        count(worst.overcommit),
        worst.interrupted_share() * 100.0,
    ))
}

/// A lock that lets two in, or loses a wake-up, is worse than a slow one: that is an error of the run.
pub(crate) fn no_bug(report: &Report) -> Done {
    for record in &report.results {
        let what = if record.exclusion_violations > 0 {
            "let two into its critical section at once"
        } else if record.lost_wakeups() > 0 {
            "lost a wake-up: a timeout ended a halt that nothing else was going to end"
        } else {
            continue;
        };
        return Err(Failure::failed(format!(
            "{} {what}; this is a bug, please report it with the JSON file",
            record.lock
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::process::ExitCode;

    use clap::Parser;
    use pvqspin_load::Outcome;

    use super::*;
    use crate::cli::Cli;

    /// Ends like a comparison each of whose runs has this outcome.
    fn ended(outcome: &Outcome) -> Done {
        let options =
            "pvq --lock fifo --overcommit 2 --inside 1us --repeats 1 --duration 20ms --no-files";
        let cli = Cli::try_parse_from(options.split_whitespace()).expect("well formed");
        let args = &cli.compare.compare;
        let limits = Limits {
            cpus: 2,
            vcpus_in_word: 100,
        };
        let plan = Plan::new(args, &limits).expect("possible");
        let outputs = Outputs::checked(args.wanted()).expect("none");
        let report = empty_report(&plan, pvqspin_report::Machine::default(), driver::NAME);
        let viewer = Box::new(Progress::new(plan.run_count()));
        complete(args, &plan, outputs, report, viewer, |run, _| {
            let facts = plan::facts(plan.locks[run.lock_index]);
            Ok(Record::new(&facts, &plan.point(run), run.repeat, outcome))
        })
    }

    #[test]
    fn a_lost_wake_up_and_a_broken_exclusion_end_with_exit_code_1() {
        let whole = Outcome {
            duration_ns: 20_000_000,
            acquisitions: 1_000,
            ..Outcome::default()
        };
        ended(&whole).expect("nothing is wrong with it");
        let lost = Outcome {
            halt_timeouts: 1,
            ..whole.clone()
        };
        let crowded = Outcome {
            exclusion_violations: 1,
            ..whole
        };
        for (outcome, message) in [(lost, "lost a wake-up"), (crowded, "let two into")] {
            let failure = ended(&outcome).expect_err(message);
            let Failure::Failed(error) = &failure else {
                panic!("{failure:?}");
            };
            assert!(error.to_string().contains(message), "{error}");
            let code = format!("{:?}", failure.report());
            assert_eq!(code, format!("{:?}", ExitCode::from(1)));
        }
    }
}
