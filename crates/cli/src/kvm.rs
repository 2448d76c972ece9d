//! The comparison on KVM: the same plan, tables and files as `compare`, with guests in virtual
//! machines.

use std::path::PathBuf;

use pvqspin_kvm::{Cpl, Guest, Image, KvmHost, Probe, RunError};
use pvqspin_kvm_boot::Transport;
use pvqspin_report::{Machine, Point, Record};

use crate::compare;
use crate::driver::{self, Limits};
use crate::failure::{Done, Failure, print};
use crate::interrupt;
use crate::kvm_args::{HintsName, KvmArgs, TransportName};
use crate::outputs::{Outputs, Wanted};
use crate::plan::{self, Plan, PlannedRun};

/// The name of this driver in results.
const NAME: &str = "kvm";

/// Where results go if nothing is said.
const DEFAULT_JSON: &str = "results/kvm.json";

/// Runs `pvq kvm`.
pub(crate) fn run(args: &KvmArgs) -> Done {
    let plan = Plan::new(&args.compare, &Limits::here()).map_err(Failure::BadInput)?;
    let outputs = Outputs::checked(Wanted {
        default_json: DEFAULT_JSON,
        ..args.compare.wanted()
    })
    .map_err(Failure::BadInput)?;
    let host = KvmHost::open().map_err(Failure::bad_input)?;
    let image = Image::open(&image_path(args)?).map_err(Failure::bad_input)?;
    // Before the probe, which starts threads: they inherit what Ctrl-C is.
    let _ = interrupt::listen();
    let probe = Probe::run(&host, &image);
    let guest = chosen(args, &probe, image)?;
    for run in plan.runs().filter(|run| run.repeat == 0) {
        let config = compare::config_of(&plan, &run);
        pvqspin_kvm::validate(&host, &guest, driver::usable_cpus(), &config)
            .map_err(Failure::bad_input)?;
    }
    let machine = Machine {
        cpus_allowed: driver::usable_cpus(),
        ..Machine::describe()
    };
    let report = compare::empty_report(&plan, machine, NAME);
    let calls = format!("{} at CPL {}", guest.transport.name(), guest.cpl.number());
    let costs = format!("{probe}\nchosen   {calls}: {}", why(args, &probe));
    print(&compare::head(&plan, &report, &calls, &costs))?;
    compare::complete(&args.compare, &plan, &outputs, report, |run| {
        run_one(&host, &guest, &plan, run)
    })
}

/// The image that was asked for, or the one of the source tree.
fn image_path(args: &KvmArgs) -> Result<PathBuf, Failure> {
    match &args.image {
        Some(path) => Ok(path.clone()),
        None => pvqspin_guest_image::up_to_date(|| {
            eprintln!("building the guest image, which takes a while");
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

/// How guests run: as the probe says, unless the options say otherwise.
fn chosen(args: &KvmArgs, probe: &Probe, image: Image) -> Result<Guest, Failure> {
    let choice = probe.choice();
    let transport = match (args.transport, args.hints) {
        (Some(TransportName::Stock), HintsName::Yield) => Transport::Stock,
        (Some(TransportName::Stock), HintsName::Kick) => Transport::StockKicks,
        (Some(TransportName::Stock), HintsName::Off) => Transport::StockSilent,
        (Some(TransportName::Doorbell), _) => Transport::Doorbell,
        (None, _) => choice.transport,
    };
    let cpl = match args.cpl.as_deref() {
        Some("0") => Cpl::Zero,
        Some(_) => Cpl::Three,
        // KVM takes hypercalls from there only.
        None if transport.is_stock() => Cpl::Zero,
        None if probe.works() => choice.cpl,
        None => {
            return Err(Failure::bad_input(format!(
                "guests do not run on this /dev/kvm: {probe}"
            )));
        }
    };
    Ok(Guest {
        image,
        transport,
        cpl,
    })
}

/// Why guests run as they do.
fn why(args: &KvmArgs, probe: &Probe) -> String {
    match (args.transport, &args.cpl) {
        (None, None) => probe.choice().why.to_owned(),
        _ => "the options say so".to_owned(),
    }
}

/// What `pvq doctor` says of it: what the probe found and chose, or what is in the way.
pub(crate) fn examine() -> Result<String, String> {
    let host = KvmHost::open().map_err(|error| error.to_string())?;
    let path = pvqspin_guest_image::up_to_date(|| {
        eprintln!("building the guest image, which takes a while");
    });
    let image = match path.map(|path| Image::open(&path)) {
        Ok(Ok(image)) => image,
        Ok(Err(problem)) => return Err(problem.to_string()),
        Err(problem) => return Err(problem.to_string()),
    };
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
    let config = compare::config_of(plan, run);
    let result = pvqspin_kvm::run(host, guest, &config).map_err(|error| match error {
        RunError::Config(problem) => Failure::bad_input(problem),
        RunError::Unavailable(problem) => Failure::bad_input(problem),
        other => Failure::failed(format!("{} failed: {other}", compare::name_of(plan, run))),
    })?;
    let facts = plan::facts(plan.locks[run.lock_index]);
    let point = point(guest.transport, plan, run);
    Ok(Record {
        interrupted_ns: result.lost_ns,
        ..Record::new(&facts, &point, run.repeat, &result.outcome)
    })
}
