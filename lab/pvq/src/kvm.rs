//! The comparison on KVM: the same plan, tables and files as `compare`, with guests in virtual
//! machines.

mod choice;
mod greedy;

use std::path::PathBuf;

use pvqspin_kvm::{Guest, Image, KvmHost, Probe, RunError, RunResult};
use pvqspin_kvm_boot::Transport;
use pvqspin_report::{Machine, Point, Record};

use crate::compare;
use crate::kvm::choice::Wishes;
use crate::options::kvm::KvmArgs;
use crate::output::failure::{Done, Failure, note, print};
use crate::output::progress::Progress;
use crate::output::results::{Outputs, Wanted};
use crate::runs::again;
use crate::runs::interrupt;
use crate::runs::plan::{self, Plan, PlannedRun};
use crate::runs::settings::{Limits, usable_cpus};

/// The name of this driver in results.
const NAME: &str = "kvm";

/// Runs `pvq kvm`.
pub(crate) fn run(args: &KvmArgs) -> Done {
    if !args.greedy.is_empty() {
        return greedy::run(args);
    }
    let wishes = Wishes::of(args)?;
    let variants = wishes.transports().len();
    let plan =
        Plan::with_variants(&args.compare, &Limits::here(), variants).map_err(Failure::BadInput)?;
    let outputs = Outputs::checked(Wanted {
        command: NAME,
        ..args.compare.wanted()
    })
    .map_err(Failure::BadInput)?;
    let host = KvmHost::open().map_err(Failure::bad_input)?;
    let image = Image::open(&image_path(args)?).map_err(Failure::bad_input)?;
    // Before the probe, which starts threads: they inherit what Ctrl-C is.
    let _ = interrupt::listen();
    let probe = Probe::run(&host, &image);
    let chosen = wishes.chosen(&probe, host.missing_for_stock())?;
    let guests: Vec<Guest> = (chosen.transports.iter())
        .map(|&transport| Guest {
            image: image.clone(),
            transport,
            cpl: chosen.cpl,
        })
        .collect();
    for run in plan.runs().filter(|run| run.repeat == 0) {
        let config = plan.asked(&run);
        let guest = &guests[run.variant];
        pvqspin_kvm::validate(&host, guest, usable_cpus(), &config).map_err(Failure::bad_input)?;
    }
    let machine = Machine {
        cpus_allowed: usable_cpus(),
        ..Machine::describe()
    };
    let mut report = compare::empty_report(&plan, machine, NAME);
    chosen.tell(&probe, &mut report.options);
    let costs = format!("{probe}\nchosen   {chosen}: {}", chosen.why);
    let scheduling = match chosen.is_stock() {
        true => "scheduled by Linux".to_owned(),
        false => compare::our_scheduling(&plan.settings.host),
    };
    let calls = chosen.to_string();
    print(&compare::head(&plan, &report, &scheduling, &calls, &costs))?;
    let progress = Box::new(Progress::new(plan.run_count()));
    compare::complete(&args.compare, &plan, outputs, report, progress, |run, _| {
        run_one(&host, &guests[run.variant], &plan, run)
    })
}

/// The image that was asked for, or the one of the source tree.
fn image_path(args: &KvmArgs) -> Result<PathBuf, Failure> {
    match &args.image {
        Some(path) => Ok(path.clone()),
        None => pvqspin_guest_image::up_to_date(|| {
            note("building the guest image, which takes a while");
        })
        .map_err(Failure::bad_input),
    }
}

/// Where a run takes place. Linux knows of no policy of ours.
fn point(transport: Transport, plan: &Plan, run: &PlannedRun) -> Point {
    let point = plan.point(run);
    if !transport.is_stock() {
        return point;
    }
    Point {
        host_policy: "linux".to_owned(),
        yield_mode: transport.name().to_owned(),
        ..point
    }
}

/// What `pvq doctor` says of it: what the probe found and chose, or what is in the way. Builds nothing.
pub(crate) fn examine() -> Result<String, String> {
    let host = KvmHost::open().map_err(|error| error.to_string())?;
    let Some(path) = pvqspin_guest_image::ready() else {
        return Ok(
            "there; `pvq kvm` builds its guest when it first runs, and then this tries it"
                .to_owned(),
        );
    };
    let image = Image::open(&path).map_err(|problem| problem.to_string())?;
    let probe = Probe::run(&host, &image);
    if !probe.works() {
        return Err(format!("guests do not run on it: {probe}"));
    }
    let choice = probe.choice();
    Ok(format!(
        "{probe}; `pvq kvm` takes the {} at CPL {}: {}",
        choice.transport.name(),
        choice.cpl.number(),
        choice.why
    ))
}

/// One run in a VM.
fn run_one(
    host: &KvmHost,
    guest: &Guest,
    plan: &Plan,
    run: &PlannedRun,
) -> Result<Record, Failure> {
    let config = plan.asked(run);
    let result = pvqspin_kvm::run(host, guest, &config).map_err(|error| match error {
        RunError::Config(problem) => Failure::bad_input(problem),
        RunError::Unavailable(problem) => Failure::bad_input(problem),
        other => Failure::failed(format!("{} failed: {other}", compare::name_of(plan, run))),
    })?;
    Ok(recorded(&result, guest.transport, plan, run))
}

/// What a run gave, for the report. One that lasted far longer than it was asked to stood still.
fn recorded(result: &RunResult, transport: Transport, plan: &Plan, run: &PlannedRun) -> Record {
    let facts = plan::facts(plan.locks[run.lock_index]);
    let point = point(transport, plan, run);
    let overslept = again::overslept_ns(plan::ns(plan.duration), result.outcome.duration_ns);
    Record {
        interrupted_ns: result.lost_ns,
        paused_ns: Some(overslept),
        ..Record::new(&facts, &point, run.repeat, &result.outcome)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use pvqspin_load::Outcome;

    use super::*;
    use crate::cli::Cli;
    use crate::runs::again::Again;

    fn plan() -> Plan {
        let options = "pvq --lock fifo --overcommit 2 --inside 1us --repeats 3 --duration 200ms";
        let cli = Cli::try_parse_from(options.split_whitespace()).expect("well formed");
        let limits = Limits {
            cpus: 2,
            vcpus_in_word: 100,
        };
        Plan::new(&cli.compare.compare, &limits).expect("possible")
    }

    /// A run of so long, in which a timeout ended a halt.
    fn result(duration_ns: u64) -> RunResult {
        RunResult {
            outcome: Outcome {
                duration_ns,
                halt_timeouts: 1,
                ..Outcome::default()
            },
            lost_ns: Some(0),
        }
    }

    #[test]
    fn a_pause_is_recognised_and_is_no_lost_wake_up() {
        let plan = plan();
        let run = plan.runs().next().expect("there are some");
        for transport in [Transport::Doorbell, Transport::Stock] {
            let [whole, paused] = [200_000_000, 2_200_000_000]
                .map(|ns| recorded(&result(ns), transport, &plan, &run));
            assert!(paused.stood_still() && paused.lost_wakeups() == 0);
            assert!(!whole.stood_still() && whole.lost_wakeups() == 1);
            let mut runs = [paused, whole].into_iter();
            let kept = Again::new(2).run(|| Ok(runs.next().expect("two are enough")));
            let kept = kept.expect("no failure");
            assert_eq!((kept.discarded, kept.stood_still()), (1, false));
        }
    }
}
