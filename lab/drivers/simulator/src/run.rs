//! One simulation: a lock under a workload, from warm-up to summary.
//!
//! ```text
//!   warm up      measure                    drain: each vCPU finishes its section and returns
//!  |------------|--------------------------|-------|
//!               ^ counts before            ^ counts after                        summary
//! ```

use std::iter;
use std::rc::Rc;

use pvqspin_abi::Cpu;
use pvqspin_host::{Host, VmConfig};
use pvqspin_load::{
    Account, Control, NeighbourKind, NeighbourRecord, Outcome, Record, Workload, WorkloadConfig,
    catalog,
};
use pvqspin_rivals::Lock;
use pvqspin_rivals::tuned::with_tuned;
use pvqspin_rivals::visit::{Visitor, with_lock_or_ideal};

use crate::caller::Caller;
use crate::config::SimConfig;
use crate::config_problem::ConfigProblem;
use crate::counts::Counts;
use crate::error::SimError;
use crate::guest_env::SimEnv;
use crate::guest_side::GuestSide;
use crate::handlers::handlers;
use crate::limits::MAX_TIME_NS;
use crate::machine::{Machine, Patience};
use crate::oracle;
use crate::shared::{Handlers, Installed, Shared};
use crate::snapshots::{Snapshot, Snapshots};
use crate::underway::GoesOn;
use crate::vcpu::{Body, Vcpu};
use crate::vm_side::VmSide;
use crate::wait_limits::LongestWait;
use pvqspin_driver_common::Loan;
use pvqspin_driver_common::Trace;
use pvqspin_load::Faults;

/// What one simulation gave.
#[derive(Clone, Debug)]
pub struct SimResult {
    /// What was measured, in virtual time, over all VMs that lock.
    pub outcome: Outcome,
    /// The same for each of them.
    pub vms: Vec<Outcome>,
    /// The last events, or many if [`Run::trace`](crate::Run::trace) was set.
    pub trace: Trace,
    /// What was seen, if [`SimConfig::snapshots`] was set.
    pub snapshots: Vec<Snapshot>,
    /// How often an armed fault took a vCPU off its pCPU.
    pub faults_fired: u64,
    /// The longest wait, warm-up and drain included.
    pub longest_wait: LongestWait,
    /// How many events were simulated.
    pub events: u64,
}

/// Simulates one lock under one workload.
///
/// # Errors
///
/// If the configuration makes no sense, if there is no memory for so many stacks, or if the lock
/// does what no lock may: no vCPU gets it, a wake-up is lost, or two vCPUs hold it at once.
pub fn run(config: &SimConfig) -> Result<SimResult, SimError> {
    run_while(config, &mut |_| true)
}

/// The same, for as long as `goes_on` says so: it is told every some milliseconds how far the run
/// is.
///
/// ```
/// use pvqspin_simulator::{SimConfig, SimError, run_while};
///
/// let hour = SimConfig::default().with(|sim| sim.run.duration_ns = 3_600_000_000_000);
/// let stopped = run_while(&hour, &mut |underway| underway.passed_ns < 1_000_000);
/// assert!(matches!(stopped, Err(SimError::Stopped(_))));
/// ```
///
/// # Errors
///
/// As for [`run`]; and [`SimError::Stopped`].
pub fn run_while<'a>(
    config: &'a SimConfig,
    goes_on: &'a mut GoesOn<'a>,
) -> Result<SimResult, SimError> {
    let config = &*oracle::granted(config);
    config.validate()?;
    let one_lock = OneLock { config, goes_on };
    match config.tuned {
        None => with_lock_or_ideal::<SimEnv, _>(config.run.lock, one_lock),
        Some(tuned) => with_tuned::<SimEnv, _>(tuned, one_lock),
    }
}

/// Carries a run over to where the lock is a type.
struct OneLock<'a> {
    config: &'a SimConfig,
    goes_on: &'a mut GoesOn<'a>,
}

impl Visitor<SimEnv> for OneLock<'_> {
    type Output = Result<SimResult, SimError>;

    fn visit<L: Lock<SimEnv>>(self) -> Self::Output {
        let Self { config, goes_on } = self;
        let control = Control::new();
        let records: Vec<_> = iter::repeat_with(Record::new)
            .take(config.vms * config.run.vcpus)
            .collect();
        let neighbours = config.run.neighbour_vcpus();
        let neighbour_records: Vec<_> = iter::repeat_with(NeighbourRecord::new)
            .take(neighbours)
            .collect();
        let workload = |vm| catalog::build::<SimEnv, L>(&workload_of(config, vm), config.run.vcpus);
        let workloads: Vec<Rc<dyn Workload>> = (0..config.vms as u64)
            .map(|vm| Rc::from(workload(vm)))
            .collect();
        let vms: Vec<LockingVm<'_>> = (workloads.iter())
            .zip(records.chunks(config.run.vcpus))
            .map(|(workload, records)| LockingVm {
                workload: &**workload,
                records,
            })
            .collect();

        let locking = |vm| -> Box<Body<'_>> {
            let LockingVm { workload, records } = vm;
            let control = &control;
            Box::new(move |cpu: Cpu| workload.run_vcpu(control, &records[cpu.index()]))
        };
        let mut bodies: Vec<Box<Body<'_>>> = vms.iter().copied().map(locking).collect();
        bodies.push(Box::new(|cpu: Cpu| {
            let record = &neighbour_records[cpu.index()];
            let kind = config
                .run
                .neighbour
                .map_or_else(NeighbourKind::default, |neighbour| neighbour.kind);
            kind.run_vcpu::<SimEnv>(&control, record);
        }));

        let handlers = (config.jitter.interrupt_one_in > 0)
            .then(|| handlers::<L>(config.vms, config.run.vcpus));
        let progress = || records.iter().map(Record::all_acquisitions).sum();
        let measured = {
            let snapshots = Snapshots::new(config.snapshots, workloads.first().cloned());
            simulate(
                config,
                (&control, handlers, snapshots),
                &bodies,
                &vms,
                (&progress, goes_on),
            )?
        };
        let neighbour = config.run.neighbour_share(config.vms).and_then(|share| {
            let records = &neighbour_records;
            pvqspin_load::neighbour::throughput_over_share(records, config.run.duration_ns, share)
        });
        Ok(measured.summarise(config, &vms, &records, neighbour))
    }
}

/// The workload of a VM: the same in each, with section lengths of its own. The first one's are
/// those that a single VM would have.
fn workload_of(config: &SimConfig, vm: u64) -> WorkloadConfig {
    // An odd number far from small ones: VM 1 of seed 1 must not be VM 0 of seed 2.
    let step = 0x9e37_79b9_7f4a_7c15_u64;
    WorkloadConfig {
        seed: config.run.workload.seed.wrapping_add(step.wrapping_mul(vm)),
        ..config.run.workload
    }
}

/// A VM whose vCPUs lock.
#[derive(Clone, Copy)]
pub(crate) struct LockingVm<'a> {
    workload: &'a dyn Workload,
    records: &'a [Record],
}

impl LockingVm<'_> {
    fn summarise(&self, config: &SimConfig) -> Outcome {
        let account = self.workload.account();
        summarise(config, self.records, &account)
    }
}

fn summarise(config: &SimConfig, records: &[Record], account: &Account) -> Outcome {
    Outcome {
        waits_over_slice: pvqspin_load::waits_over(records, config.run.host.slice_ns),
        ..pvqspin_load::summarise(records, account, config.run.duration_ns)
    }
}

/// What the machine knows about a run.
pub(crate) struct Measured {
    /// Of each VM that locks.
    counts: Vec<Counts>,
    trace: Trace,
    snapshots: Vec<Snapshot>,
    pub(crate) faults_fired: u64,
    longest_wait: LongestWait,
    events: u64,
}

pub(crate) fn simulate<'a>(
    config: &SimConfig,
    (control, handlers, snapshots): (&Control, Option<Handlers>, Snapshots),
    bodies: &[Box<Body<'_>>],
    locking: &[LockingVm<'_>],
    (progress, goes_on): (&dyn Fn() -> u64, &'a mut GoesOn<'a>),
) -> Result<Measured, SimError> {
    let mut host = Host::new(config.run.host).map_err(ConfigProblem::Host)?;
    let neighbour = config.run.neighbour.map(|n| (n.vcpus, n.weight));
    let vms: Vec<(usize, u32)> =
        core::iter::repeat_n((config.run.vcpus, config.run.weight), config.vms)
            .chain(neighbour)
            .collect();
    let loans: Vec<Loan> = vms.iter().map(|&(vcpus, _)| Loan::new(vcpus)).collect();

    let no_faults = Faults::default();
    let mut guests = Vec::new();
    for (vm, (&(vcpus, weight), loan)) in vms.iter().zip(&loans).enumerate() {
        host.add_vm(VmConfig { vcpus, weight }, loan.get())
            .map_err(ConfigProblem::Host)?;
        let locks = vm < config.vms;
        let faults = if locks {
            &config.run.faults
        } else {
            &no_faults
        };
        let guest = |cpu| GuestSide::new(vm, cpu, loan.get(), faults.points_of(cpu));
        guests.extend(cpus(vcpus).map(guest));
    }
    let vm_sides = (0..vms.len()).map(|vm| VmSide::new(vm < config.vms));
    let shared = Shared::new(
        guests.into(),
        vm_sides.collect(),
        handlers,
        config,
        snapshots,
    );
    let vcpus: Result<Vec<Vcpu<'_>>, _> = (shared.guests.iter())
        .map(|guest| Vcpu::new(guest.cpu, &*bodies[guest.vm]))
        .collect();
    let vcpus = vcpus.map_err(SimError::Stacks)?;
    let patience = Patience {
        stall_after_ns: config.stall_after_ns(),
        halt_timeout_ns: config.halt_timeout_ns(),
    };
    // Declared before the machine, so dropped after it: dropping a machine may unwind guests.
    let installed = Installed::new(&shared);
    let names = (config.lock_name(), config.seed);
    let caller = Caller::new(config, goes_on);
    let mut machine = Machine::new(&shared, vcpus, host, names, patience, progress, caller);
    let counts = run_phases(&mut machine, config, control)?;
    let violations = |vm: &LockingVm<'_>| vm.summarise(config).exclusion_violations;
    let violations = locking.iter().map(violations).sum::<u64>() + shared.crowded.get();
    if violations > 0 {
        return Err(SimError::Exclusion(violations, machine.dump()));
    }
    let events = machine.events;
    drop(machine);
    drop(installed);
    let snapshots = shared.snapshots.take();
    let trace = Trace::collect([shared.trace.into_inner()]);
    Ok(Measured {
        counts,
        trace,
        snapshots,
        faults_fired: shared.faults_fired.get(),
        longest_wait: shared.longest_wait.get(),
        events,
    })
}

/// Leads a run through its phases. Returns what was counted while measuring, in each VM that
/// locks.
fn run_phases(
    machine: &mut Machine<'_>,
    config: &SimConfig,
    control: &Control,
) -> Result<Vec<Counts>, SimError> {
    let read = |machine: &Machine<'_>| -> Vec<Counts> {
        (0..config.vms)
            .map(|vm| Counts::read(machine, vm * config.run.vcpus..(vm + 1) * config.run.vcpus))
            .collect()
    };
    machine.run_until(machine.now() + config.warmup_ns())?;
    let before = read(machine);
    control.measure(machine.now());
    machine.run_until(machine.now() + config.run.duration_ns)?;
    control.stop();
    let after = read(machine).into_iter().zip(&before);
    let counts = after.map(|(now, before)| now.since(before)).collect();
    // A stall ends it sooner if a vCPU does not come back.
    machine.run_until(machine.now() + MAX_TIME_NS)?;
    if machine.all_ended() {
        Ok(counts)
    } else {
        Err(SimError::Stalled(MAX_TIME_NS, machine.dump()))
    }
}

impl Measured {
    fn summarise(
        self,
        config: &SimConfig,
        vms: &[LockingVm<'_>],
        records: &[Record],
        neighbour: Option<f64>,
    ) -> SimResult {
        let each = |(vm, counts): (&LockingVm<'_>, &Counts)| counts.put_into(vm.summarise(config));
        let mut all = Counts::default();
        self.counts.iter().for_each(|counts| all.add(counts));
        let outcome = Outcome {
            neighbour,
            ..all.put_into(summarise(config, records, &account_of_all(vms)))
        };
        SimResult {
            outcome,
            vms: vms.iter().zip(&self.counts).map(each).collect(),
            trace: self.trace,
            snapshots: self.snapshots,
            faults_fired: self.faults_fired,
            longest_wait: self.longest_wait,
            events: self.events,
        }
    }
}

/// The account of all VMs' locks together: so many times the locks of one.
fn account_of_all(vms: &[LockingVm<'_>]) -> Account {
    let mut accounts = vms.iter().map(|vm| vm.workload.account());
    let Some(mut all) = accounts.next() else {
        unreachable!("a simulation has a VM that locks: `validate` saw to it")
    };
    all.class_sizes
        .iter_mut()
        .for_each(|size| *size *= vms.len());
    all.entered += accounts.map(|account| account.entered).sum::<u64>();
    all
}

/// The numbers of a VM's vCPUs.
fn cpus(vcpus: usize) -> impl Iterator<Item = Cpu> {
    (0..vcpus).filter_map(Cpu::new)
}
