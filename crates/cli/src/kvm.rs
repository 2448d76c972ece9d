//! The comparison on KVM: the same plan, tables and files as `compare`, with guests in virtual
//! machines.

use std::path::PathBuf;

use pvqspin_kvm::{Cpl, Image, KvmHost, Neighbour, RunConfig, RunError};
use pvqspin_kvm_boot::{Role, Transport};
use pvqspin_report::{Machine, Point, Record};
use pvqspin_workload::{Section, WorkloadConfig};

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
    let _ = interrupt::listen();
    let guests = Guests {
        host,
        image,
        transport: transport_of(args),
        cpl: cpl_of(args),
    };
    for run in plan.runs().filter(|run| run.repeat == 0) {
        (guests.config(&plan, &run))
            .validate(driver::usable_cpus(), guests.host.max_vcpus())
            .map_err(Failure::bad_input)?;
    }
    let machine = Machine {
        cpus_allowed: driver::usable_cpus(),
        ..Machine::describe()
    };
    let report = compare::empty_report(&plan, machine, NAME);
    let transport = guests.transport.name();
    print(&compare::head(&plan, &report, transport, "?"))?;
    compare::complete(&args.compare, &plan, &outputs, report, |run| {
        guests.run(&plan, run)
    })
}

/// The transport that was asked for.
fn transport_of(args: &KvmArgs) -> Transport {
    match (args.transport, args.hints) {
        (Some(TransportName::Stock), HintsName::Yield) => Transport::Stock,
        (Some(TransportName::Stock), HintsName::Kick) => Transport::StockKicks,
        (Some(TransportName::Stock), HintsName::Off) => Transport::StockSilent,
        (Some(TransportName::Doorbell) | None, _) => Transport::Doorbell,
    }
}

/// The level that was asked for; KVM takes hypercalls from 0 only.
fn cpl_of(args: &KvmArgs) -> Cpl {
    match args.cpl.as_deref() {
        Some("0") => Cpl::Zero,
        None if args.transport == Some(TransportName::Stock) => Cpl::Zero,
        _ => Cpl::Three,
    }
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

/// All that is the same in every run of the command.
struct Guests {
    host: KvmHost,
    image: Image,
    transport: Transport,
    cpl: Cpl,
}

impl Guests {
    fn run(&self, plan: &Plan, run: &PlannedRun) -> Result<Record, Failure> {
        let config = self.config(plan, run);
        let result = pvqspin_kvm::run(&self.host, &config).map_err(|error| match error {
            RunError::Config(problem) => Failure::bad_input(problem),
            RunError::Unavailable(problem) => Failure::bad_input(problem),
            other => Failure::failed(format!("{} failed: {other}", compare::name_of(plan, run))),
        })?;
        let facts = plan::facts(plan.locks[run.lock_index]);
        Ok(Record::new(
            &facts,
            &self.point(plan, run),
            run.repeat,
            &result.outcome,
        ))
    }

    /// Where a run takes place. Linux knows of no policy of ours.
    fn point(&self, plan: &Plan, run: &PlannedRun) -> Point {
        let point = plan.point(run);
        if !self.transport.is_stock() {
            return point;
        }
        Point {
            host_policy: "linux".to_owned(),
            yield_mode: self.transport.name().to_owned(),
            ..point
        }
    }

    fn config(&self, plan: &Plan, run: &PlannedRun) -> RunConfig {
        let host = &plan.host;
        let section = |mean_ns: u32| Section {
            mean_ns,
            distribution: host.distribution,
        };
        let workload = WorkloadConfig {
            id: plan.workload.id,
            inside: section(run.section.0),
            outside: section(run.section.1),
            seed: host.seed.wrapping_add(u64::from(run.repeat)),
        };
        let role = Role::Locks(plan.locks[run.lock_index].id, workload);
        let defaults = RunConfig::new(self.image.clone(), role);
        RunConfig {
            transport: self.transport,
            cpl: self.cpl,
            pcpus: host.pcpus,
            vcpus: run.vcpus,
            scheduling: host.scheduling,
            yields: host.yields,
            slice_ns: host.slice_ns,
            min_loan_ns: host.min_loan_ns,
            duration: plan.duration,
            watchdog: host.watchdog,
            neighbour: host.neighbour.map(|kind| Neighbour {
                kind,
                // As many as there are pCPUs, each as heavy as one of the others: a plain guest.
                vcpus: host.pcpus,
                weight: defaults.weight,
            }),
            ..defaults
        }
    }
}
