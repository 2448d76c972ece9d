//! The same comparison in virtual time: any number of pCPUs, the same figures every time.

pub(crate) mod profile;
mod schedule;
mod torture;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Instant;

use pvqspin_report::estimate::Evidence;
use pvqspin_report::figures::{count, counted, exact_time, time};
use pvqspin_report::summarise;
use pvqspin_report::{Machine, Record, table};
use pvqspin_rivals::catalog::Entry;
use pvqspin_simulator::{LongestWait, MAX_COST_NS, Profile, SimConfig, SimResult, TraceEvent};
use serde_json::Value;

use crate::compare::{incomplete, no_bug};
use crate::options::parse;
use crate::options::simulate::SimulateArgs;
use crate::output::begun;
use crate::output::failure::{Done, Failure, note, print};
use crate::output::progress::Progress;
use crate::output::results::{Outputs, written};
use crate::report::changed::Baseline;
use crate::runs::interrupt;
use crate::runs::plan;
use crate::runs::settings::{self, Limits, Settings};
use crate::runs::virtual_time;

/// How many pCPUs are simulated unless an option says otherwise.
pub(crate) const PCPUS: usize = 2;

/// What is shown before the longest wait.
const MARGIN_NS: u64 = 20_000;

/// More lines than this are for a file.
const MOST_LINES: usize = 400;

/// Runs `pvq simulate`.
pub(crate) fn run(args: &SimulateArgs) -> Done {
    let locks = parse::chosen(&args.lock);
    if let Some(seed) = args.replay {
        return (locks.iter()).try_for_each(|lock| torture::replay(lock, seed));
    }
    if let Some(schedules) = args.torture {
        return torture::explore(&locks, args.setup.work.seed, schedules);
    }
    compare(args, &locks)
}

// --- the table -------------------------------------------------------------------------------

fn compare(args: &SimulateArgs, locks: &[&'static Entry]) -> Done {
    // Nothing here takes a CPU of this machine: only the lock word bounds what can be asked for.
    let limits = Limits {
        cpus: usize::MAX,
        vcpus_in_word: pvqspin::MAX_CPUS.saturating_mul(args.vms),
    };
    let mut settings = Settings::new(&args.setup, &limits).map_err(Failure::BadInput)?;
    let profile = (args.profile.as_deref()).map(profile::load).transpose()?;
    let profile_pcpus = profile.as_ref().and_then(Profile::pcpus);
    settings.host.pcpus = args.setup.pcpus.or(profile_pcpus).unwrap_or(PCPUS);
    let vcpus: Result<Vec<usize>, _> = (args.overcommit.iter())
        .map(|&overcommit| settings::vcpus(overcommit, settings.host.pcpus, &limits))
        .collect();
    let vcpus = vcpus.map_err(Failure::BadInput)?;
    let (inside, outside) = args.setup.section(args.inside, args.outside);
    let round_ns = u64::from(inside) + u64::from(outside);
    if args.duration < round_ns {
        let [duration, round] = [args.duration, round_ns].map(exact_time);
        return Err(Failure::bad_input(format!(
            "--duration {duration} is too short: one round of the two sections takes {round}"
        )));
    }
    // All of it is looked at before any of it runs.
    for &vcpus in &vcpus {
        config(args, &settings, profile.as_ref(), locks[0], vcpus)?
            .validate()
            .map_err(Failure::bad_input)?;
    }

    let baseline = Baseline::asked(&args.output).map_err(Failure::BadInput)?;
    let outputs = Outputs::checked(args.output.wanted("simulate")).map_err(Failure::BadInput)?;

    let planned = vcpus.len() * locks.len();
    let hypercall_ns = config(args, &settings, profile.as_ref(), locks[0], vcpus[0])?
        .costs
        .hypercall_ns;
    let options = options(args, &settings, &vcpus, locks, hypercall_ns);
    let mut report = begun::report(
        "simulator",
        Machine::describe(),
        settings.seed,
        options,
        planned,
    );
    // Without this Ctrl-C ends the program at once, which is no reason not to simulate.
    let _ = interrupt::listen_within_runs();
    let records = &mut report.results;
    let mut longest = String::new();
    let mut events = 0;
    let began = Instant::now();
    let mut progress = Progress::new(planned);
    let mut stopped = Ok(());
    let runs = vcpus
        .iter()
        .flat_map(|&vcpus| locks.iter().map(move |lock| (vcpus, *lock)));
    for (vcpus, lock) in runs {
        if interrupt::asked() {
            stopped = Err(Failure::Interrupted);
            break;
        }
        progress.begin(&format!("{} on {}", lock.name, counted(vcpus, "vCPU")));
        let config = config(args, &settings, profile.as_ref(), lock, vcpus)?;
        let result = match virtual_time::simulate(&config, &mut progress) {
            Ok(result) => result,
            Err(Failure::Failed(error)) => {
                // A lock that fails does not take the others' results with it.
                let name = format!("{} on {}", lock.name, counted(vcpus, "vCPU"));
                note(&format!("note: {name} failed, the others go on"));
                if stopped.is_ok() {
                    stopped = Err(Failure::Failed(error.context(name)));
                }
                progress.end();
                continue;
            }
            Err(failure) => {
                stopped = Err(failure);
                break;
            }
        };
        events += result.events;
        let point = plan::point(
            args.setup.work.workload.name,
            &settings,
            vcpus,
            (inside, outside),
        );
        let mut record = Record::new(&plan::facts(lock), &point, 0, &result.outcome);
        if let Some(over_bound) = config.over_bound(record.throughput_per_s) {
            record.throughput_over_bound = over_bound;
        }
        records.push(record);
        if args.longest {
            longest += &around_longest(lock, vcpus, &result);
        }
        progress.end();
    }
    drop(progress);
    if records.is_empty() {
        print("No run was finished, so nothing was written.\n")?;
        return stopped;
    }
    let wall_s = began.elapsed().as_secs_f64();
    report.complete = stopped.is_ok();
    let mut text = String::new();
    let points = summarise(&report.results);
    for at in &points {
        let _ = writeln!(text, "{}", table::render(at));
    }
    let _ = writeln!(text, "{}", table::legend(&points, Evidence::Simulated));
    let _ = writeln!(
        text,
        "Simulated: {} in virtual time, seed {}, {} events; the same on every machine.",
        exact_time(args.duration),
        settings.seed,
        count(events as f64)
    );
    print(&(text + &incomplete(&report) + &longest))?;
    // How long it took is this machine's, so it does not stand among what is the same everywhere.
    let rate = count(events as f64 / wall_s);
    note(&format!("note: {wall_s:.2} s, {rate} events/s"));
    let outputs = outputs.settled(report.complete);
    outputs.write(&report).map_err(Failure::Failed)?;
    print(&written(outputs.paths()))?;
    stopped?;
    no_bug(&report)?;
    baseline.map_or(Ok(()), |baseline| baseline.tell(&report))
}

/// Every parameter, for the results file.
fn options(
    args: &SimulateArgs,
    settings: &Settings,
    vcpus: &[usize],
    locks: &[&'static Entry],
    hypercall_ns: u32,
) -> BTreeMap<String, Value> {
    let (inside, outside) = args.setup.section(args.inside, args.outside);
    let locks: Vec<&str> = locks.iter().map(|lock| lock.name).collect();
    let mut options = settings.options();
    // Without that option, as slices and sections are.
    if args.setup.watchdog.is_none() {
        options.remove("watchdog_ns");
    }
    let more: [(&str, Value); 8] = [
        ("locks", locks.into()),
        ("workload", args.setup.work.workload.name.into()),
        ("vcpus", vcpus.into()),
        ("sections_ns", vec![vec![inside, outside]].into()),
        ("duration_ns", args.duration.into()),
        ("hypercall_cost_ns", hypercall_ns.into()),
        ("vms", args.vms.into()),
        ("profile", args.profile.as_deref().unwrap_or("flat").into()),
    ];
    options.extend(more.map(|(name, value)| (name.to_owned(), value)));
    options
}

fn config(
    args: &SimulateArgs,
    settings: &Settings,
    profile: Option<&Profile>,
    lock: &Entry,
    vcpus: usize,
) -> Result<SimConfig, Failure> {
    if !vcpus.is_multiple_of(args.vms) {
        return Err(Failure::bad_input(format!(
            "--vms {} does not divide {}; the overcommit counts those of all VMs",
            args.vms,
            counted(vcpus, "vCPU")
        )));
    }
    let run = settings
        .run(
            args.setup.work.workload.id,
            args.setup.section(args.inside, args.outside),
            vcpus / args.vms,
        )
        .with(|run| {
            run.lock = lock.id;
            run.duration_ns = args.duration;
            run.trace = args.longest;
        });
    let mut config = SimConfig {
        vms: args.vms,
        seed: settings.seed,
        ..SimConfig::from(run)
    };
    if let Some(profile) = profile {
        profile.apply(&mut config);
    }
    if let Some(ns) = args.setup.hypercall_cost {
        config.costs.hypercall_ns = u32::try_from(ns)
            .ok()
            .filter(|ns| *ns <= MAX_COST_NS)
            .ok_or_else(|| {
                let most = exact_time(MAX_COST_NS.into());
                Failure::bad_input(format!("--hypercall-cost: {most} at most, in a simulation"))
            })?;
    }
    Ok(config)
}

/// What happened around the longest wait.
fn around_longest(lock: &Entry, vcpus: usize, result: &SimResult) -> String {
    let LongestWait { ns, ended_ns, vcpu } = result.longest_wait;
    let name = format!("{}, {}", lock.name, counted(vcpus, "vCPU"));
    if ns == 0 {
        return format!("\n{name}: there was no wait.\n");
    }
    let from = ended_ns.saturating_sub(ns + MARGIN_NS);
    let near: Vec<&TraceEvent> = (result.trace.events.iter())
        .filter(|event| (from..=ended_ns).contains(&event.at_ns))
        .collect();
    let mut text = format!(
        "\n{name}: the longest wait, warm-up and all, was cpu{vcpu}'s, {}:\n",
        time(ns as f64)
    );
    text += &shortened(&near);
    text
}

/// The beginning and the end: how it came about, and what ended it.
fn shortened(events: &[&TraceEvent]) -> String {
    let half = MOST_LINES / 2;
    let skipped = events.len().saturating_sub(2 * half);
    let mut text = String::new();
    for (index, event) in events.iter().enumerate() {
        if index < half || index >= half + skipped {
            let _ = writeln!(text, "{event}");
        } else if index == half {
            let _ = writeln!(text, "... {skipped} more events ...");
        }
    }
    text
}
