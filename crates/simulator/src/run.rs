//! One simulation: a lock under a workload, from warm-up to summary.
//!
//! ```text
//!   warm up      measure                    drain: everybody finishes its section and returns
//!  |------------|--------------------------|-------|
//!               ^ counts before            ^ counts after                        summary
//! ```

use pvqspin::Event;
use pvqspin_abi::{Cpu, Status};
use pvqspin_host::{Host, Scheduling, VmConfig};
use pvqspin_peers::Lock;
use pvqspin_peers::catalog::{Visitor, with_lock};
use pvqspin_workload::{
    Account, Control, Hypercalls, Neighbour, NeighbourRecord, Outcome, Record, Workload,
    YieldResults, catalog,
};

use crate::config::{MAX_TIME_NS, SimConfig};
use crate::error::{ConfigProblem, SimError};
use crate::faults::Faults;
use crate::guest_env::SimEnv;
use crate::machine::{Machine, Patience, cpus};
use crate::stage::{GuestSide, LongestWait, OnStage, Stage, VmSide};
use crate::trace::TraceEvent;
use crate::vcpu::{Body, Vcpu};
use pvqspin_guest_memory::Loan;

/// What one simulation gave.
#[derive(Clone, Debug)]
pub struct SimResult {
    /// What was measured, in virtual time.
    pub outcome: Outcome,
    /// The last events, or all if [`SimConfig::trace`] was set.
    pub trace: Vec<TraceEvent>,
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
/// does what no lock may: nobody gets it, a wake-up is lost, or two vCPUs hold it at once.
pub fn run(config: &SimConfig) -> Result<SimResult, SimError> {
    config.validate()?;
    with_lock::<SimEnv, _>(config.lock, OneLock(config))
}

/// Carries a run over to where the lock is a type.
struct OneLock<'a>(&'a SimConfig);

impl Visitor<SimEnv> for OneLock<'_> {
    type Output = Result<SimResult, SimError>;

    fn visit<L: Lock<SimEnv>>(self) -> Self::Output {
        let config = self.0;
        let control = Control::new();
        let records = records(config.vcpus, Record::new);
        let neighbours = config.neighbour.map_or(0, |neighbour| neighbour.vcpus);
        let neighbour_records = self::records(neighbours, NeighbourRecord::new);
        let workload = catalog::build::<SimEnv, L>(&config.workload, config.vcpus);
        let workload = &*workload;
        let bodies: [&Body<'_>; 2] = [
            &|cpu: Cpu| workload.run_vcpu(&control, &records[cpu.index()]),
            &|cpu: Cpu| {
                let record = &neighbour_records[cpu.index()];
                Neighbour::default().run_vcpu::<SimEnv>(&control, record);
            },
        ];
        let progress = || records.iter().map(Record::all_acquisitions).sum();
        let measured = simulate(config, &control, bodies, &progress, (workload, &records))?;
        let neighbour = neighbour_share(config).and_then(|share| {
            let records = &neighbour_records;
            pvqspin_workload::neighbour::throughput_over_share(records, config.duration_ns, share)
        });
        Ok(measured.summarise(config, &records, &workload.account(), neighbour))
    }
}

fn records<R>(vcpus: usize, new: fn() -> R) -> Vec<R> {
    (0..vcpus).map(|_| new()).collect()
}

/// What the machine knows about a run.
struct Measured {
    counts: Counts,
    trace: Vec<TraceEvent>,
    faults_fired: u64,
    longest_wait: LongestWait,
    events: u64,
}

fn simulate(
    config: &SimConfig,
    control: &Control,
    bodies: [&Body<'_>; 2],
    progress: &dyn Fn() -> u64,
    (workload, records): (&dyn Workload, &[Record]),
) -> Result<Measured, SimError> {
    let mut host = Host::new(config.host()).map_err(ConfigProblem::Host)?;
    let neighbour = config.neighbour.map(|n| (n.vcpus, n.weight));
    let vms: Vec<(usize, u32)> = core::iter::once((config.vcpus, config.weight))
        .chain(neighbour)
        .collect();
    let loans: Vec<Loan> = vms.iter().map(|&(vcpus, _)| Loan::new(vcpus)).collect();

    let no_faults = Faults::default();
    let mut guests = Vec::new();
    for (vm, (&(vcpus, weight), loan)) in vms.iter().zip(&loans).enumerate() {
        host.add_vm(VmConfig { vcpus, weight }, loan.get())
            .map_err(ConfigProblem::Host)?;
        let faults = if vm == 0 { &config.faults } else { &no_faults };
        let guest = |cpu| GuestSide::new(vm, cpu, loan.get(), faults.points_of(cpu));
        guests.extend(cpus(vcpus).map(guest));
    }
    let vm_sides = (0..vms.len()).map(|vm| VmSide::new(vm == 0));
    let stage = Stage::new(guests.into(), vm_sides.collect(), config);
    let vcpus: Result<Vec<Vcpu<'_>>, _> = (stage.guests.iter())
        .map(|guest| Vcpu::new(guest.cpu, bodies[guest.vm]))
        .collect();
    let vcpus = vcpus.map_err(SimError::Stacks)?;
    let patience = Patience {
        stall_after_ns: config.stall_after_ns,
        halt_timeout_ns: config.halt_timeout_ns,
    };
    // Declared before the machine, so dropped after it: dropping a machine may unwind guests.
    let on_stage = OnStage::new(&stage);
    let names = (config.lock.entry().name, config.seed);
    let mut machine = Machine::new(&stage, vcpus, host, names, patience, progress);
    let counts = conduct(&mut machine, config, control)?;
    let account = workload.account();
    let violations =
        pvqspin_workload::summarise(records, &account, config.duration_ns).exclusion_violations;
    if violations > 0 {
        return Err(SimError::Exclusion(violations, machine.dump()));
    }
    let events = machine.events;
    drop(machine);
    drop(on_stage);
    let trace = stage.trace.borrow_mut().take();
    Ok(Measured {
        counts,
        trace,
        faults_fired: stage.faults_fired.get(),
        longest_wait: stage.longest_wait.get(),
        events,
    })
}

/// Leads a run through its phases. Returns what was counted while measuring.
fn conduct(
    machine: &mut Machine<'_>,
    config: &SimConfig,
    control: &Control,
) -> Result<Counts, SimError> {
    machine.run_until(machine.now() + config.warmup_ns())?;
    let before = Counts::read(machine);
    control.measure(machine.now());
    machine.run_until(machine.now() + config.duration_ns)?;
    control.stop();
    let counts = Counts::read(machine).since(&before);
    // A stall ends it sooner if somebody does not come back.
    machine.run_until(machine.now() + MAX_TIME_NS)?;
    if machine.all_ended() {
        Ok(counts)
    } else {
        Err(SimError::Stalled(MAX_TIME_NS, machine.dump()))
    }
}

/// What is counted outside of the guests' own records.
struct Counts {
    halts: u64,
    kicks: u64,
    yields: [u64; 4],
    wasted_ns: u64,
    events: [u64; Event::ALL.len()],
}

impl Counts {
    fn read(machine: &Machine<'_>) -> Self {
        let ours = |index: &usize| machine.stage.guests[*index].vm == 0;
        let mine: Vec<usize> = (0..machine.vcpus.len()).filter(ours).collect();
        let sum = |of: &dyn Fn(usize) -> u64| mine.iter().map(|&index| of(index)).sum::<u64>();
        let guest = |index: usize| &machine.stage.guests[index];
        let calls = |index: usize| &machine.vcpus[index].calls;
        let of_all_cpus = |event: Event| {
            let each = mine.iter().map(|&index| {
                let guest = guest(index);
                guest.memory.nodes(guest.cpu).events(event)
            });
            if event.is_sum() {
                each.sum()
            } else {
                each.max().unwrap_or(0)
            }
        };
        Self {
            halts: sum(&|index| calls(index).halts),
            kicks: sum(&|index| calls(index).kicks),
            yields: [0, 1, 2, 3].map(|status| sum(&|index| calls(index).yields[status])),
            wasted_ns: sum(&|index| guest(index).wasted_ns.get()),
            events: Event::ALL.map(of_all_cpus),
        }
    }

    /// What came to be since `before`. Maxima are those of the whole run.
    fn since(mut self, before: &Self) -> Self {
        self.halts -= before.halts;
        self.kicks -= before.kicks;
        self.wasted_ns -= before.wasted_ns;
        for (now, before) in self.yields.iter_mut().zip(before.yields) {
            *now -= before;
        }
        for ((now, before), event) in self.events.iter_mut().zip(before.events).zip(Event::ALL) {
            if event.is_sum() {
                *now -= before;
            }
        }
        self
    }

    fn yields(&self, status: Status) -> u64 {
        self.yields[status as usize]
    }
}

impl Measured {
    fn summarise(
        self,
        config: &SimConfig,
        records: &[Record],
        account: &Account,
        neighbour: Option<f64>,
    ) -> SimResult {
        let counts = &self.counts;
        let events = Event::ALL
            .iter()
            .zip(counts.events)
            .filter(|&(_, count)| count > 0)
            .map(|(event, count)| (event.name(), count));
        let outcome = Outcome {
            hypercalls: Hypercalls {
                halt: counts.halts,
                kick: counts.kicks,
                yield_to: counts.yields.iter().sum(),
            },
            yields: YieldResults {
                ran: counts.yields(Status::Ran),
                already_running: counts.yields(Status::AlreadyRunning),
                stale: counts.yields(Status::Stale),
                refused: counts.yields(Status::Refused),
            },
            events: events.collect(),
            wasted_ns: counts.wasted_ns,
            neighbour,
            // A halt that lasts too long is an error, not a count.
            halt_timeouts: 0,
            waits_over_slice: pvqspin_workload::waits_over(records, config.slice_ns),
            ..pvqspin_workload::summarise(records, account, config.duration_ns)
        };
        SimResult {
            outcome,
            trace: self.trace,
            faults_fired: self.faults_fired,
            longest_wait: self.longest_wait,
            events: self.events,
        }
    }
}

/// The pCPUs that a neighbour's weight entitles it to. A VM cannot use more than it has vCPUs;
/// what one leaves is the other's.
fn neighbour_share(config: &SimConfig) -> Option<f64> {
    let neighbour = config.neighbour?;
    let weighs = |weight: u32| match config.scheduling {
        // Round robin knows no weights, and gangs take turns whatever they weigh.
        Scheduling::RoundRobin => 1.0,
        _ => f64::from(weight),
    };
    let pcpus = config.pcpus as f64;
    let (ours, theirs) = (config.vcpus as f64, neighbour.vcpus as f64);
    let our_weight = ours * weighs(config.weight);
    let their_weight = theirs * weighs(neighbour.weight);
    let by_weight = pcpus * their_weight / (our_weight + their_weight);
    Some(by_weight.max(pcpus - ours).min(theirs))
}
