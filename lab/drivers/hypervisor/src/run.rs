//! One measured run: a lock under a workload, from warm-up to summary.
//!
//! ```text
//!   warm up      measure                    drain: each vCPU finishes its section and returns
//!  |------------|--------------------------|-------|
//!               ^ counts before            ^ counts after                        summary
//! ```
//!
//! Guests finish what they are doing before the run is stopped, so that the account of critical
//! sections closes. What the hypervisor counts is read at both ends of the measured time.

use core::iter;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use pvqspin_abi::Cpu;
use pvqspin_load::{Account, Control, NeighbourKind, NeighbourRecord, Outcome, Record, catalog};
use pvqspin_rivals::Lock;
use pvqspin_rivals::visit::{Visitor, with_lock};

use crate::RunResult;
use crate::config::HvConfig;
use crate::error::{RunError, Stuck};
use crate::guest_env::GuestEnv;
use crate::probed::Probe;
use crate::session::{Live, Plan, Remains, VmPlan, execute};
use crate::snapshot::{Snapshot, VcpuSnapshot};
use crate::watchdog::{Bite, Onlooker, Watchdog, snapshot, vcpu_snapshots};
use pvqspin_driver_common::Run;
use pvqspin_load::Faults;
use pvqspin_real_time::Tally;
use pvqspin_real_time::clock;
use pvqspin_real_time::config::{halt_timeout, stall_after, warmup};

/// How many events the watchdog shows.
const LAST_WORDS: usize = 40;

/// Runs one lock under one workload.
///
/// Takes the whole process for the time of the run: a second caller waits.
///
/// # Errors
///
/// If the configuration makes no sense, if the machine refuses threads, timers or memory, or if
/// the guest makes no progress.
pub fn run(machine: &Probe, config: &HvConfig) -> Result<RunResult, RunError> {
    start(machine, config, None)
}

/// The same, with a watcher: `watcher` is called about so often, on the caller's thread, which
/// sleeps in between. Whatever it does takes its time from a pCPU, if all CPUs are pCPUs.
///
/// # Errors
///
/// As for [`run`].
pub fn run_watched(
    machine: &Probe,
    config: &HvConfig,
    every: Duration,
    watcher: &mut dyn FnMut(&Snapshot),
) -> Result<RunResult, RunError> {
    start(machine, config, Some(Watcher { every, watcher }))
}

struct Watcher<'a> {
    every: Duration,
    watcher: &'a mut dyn FnMut(&Snapshot),
}

fn start<'a>(
    machine: &'a Probe,
    config: &'a HvConfig,
    watcher: Option<Watcher<'a>>,
) -> Result<RunResult, RunError> {
    config.validate(machine.cpus.len())?;
    let one_lock = OneLock {
        machine,
        config,
        watcher,
    };
    with_lock::<GuestEnv, _>(config.run.lock, one_lock)
}

/// Carries a run over to where the lock is a type.
struct OneLock<'a> {
    machine: &'a Probe,
    config: &'a HvConfig,
    watcher: Option<Watcher<'a>>,
}

impl Visitor<GuestEnv> for OneLock<'_> {
    type Output = Result<RunResult, RunError>;

    fn visit<L: Lock<GuestEnv>>(self) -> Self::Output {
        let run = &self.config.run;
        let control = Control::new();
        let records: Vec<_> = iter::repeat_with(Record::new).take(run.vcpus).collect();
        let workload = catalog::build::<GuestEnv, L>(&run.workload, run.vcpus);
        let measured = measure(
            self.machine,
            self.config,
            &control,
            &|cpu| workload.run_vcpu(&control, &records[cpu.index()]),
            &records,
            self.watcher,
        )?;
        Ok(measured.summarise(run, &records, &workload.account()))
    }
}

/// What the driver knows about a run.
struct Measured {
    duration_ns: u64,
    /// What the hypervisor and the locks counted in that time.
    tally: Tally,
    neighbour: Option<f64>,
    remains: Remains,
}

/// Runs the VM whose vCPUs do `body`, beside its neighbour.
fn measure(
    machine: &Probe,
    config: &HvConfig,
    control: &Control,
    body: &(dyn Fn(Cpu) + Sync),
    records: &[Record],
    watcher: Option<Watcher<'_>>,
) -> Result<Measured, RunError> {
    let run = &config.run;
    let neighbour_records: Vec<_> = iter::repeat_with(NeighbourRecord::new).take(run.neighbour_vcpus()).collect();
    let neighbour_body = |cpu: Cpu| {
        let kind = run
            .neighbour
            .map_or_else(NeighbourKind::default, |n| n.kind);
        kind.run_vcpu::<GuestEnv>(control, &neighbour_records[cpu.index()]);
    };
    let mut vms = vec![VmPlan {
        vcpus: run.vcpus,
        weight: run.weight,
        body,
        faults: run.faults.clone(),
    }];
    if let Some(neighbour) = run.neighbour {
        vms.push(VmPlan {
            vcpus: neighbour.vcpus,
            weight: neighbour.weight,
            body: &neighbour_body,
            faults: Faults::default(),
        });
    }
    let plan = Plan {
        cpus: &machine.cpus[..run.host.pcpus],
        host: run.host,
        vms,
        hypercall_ns: config.hypercall_ns,
        halt_timeout_ns: halt_timeout(run).as_nanos() as u64,
        trace: run.trace,
        trace_marks: config.trace_marks,
    };
    let (measured, mut remains) = execute(&plan, |live| {
        run_phases(live, run, control, (records, watcher)).map_err(|Bite| vcpu_snapshots(live))
    })?;
    let Phases {
        duration_ns,
        tally,
        paused_ns,
    } = match measured {
        Ok(measured) => measured,
        Err(vcpus) => return Err(stuck(run, vcpus, &remains)),
    };
    remains.noise.paused_ns = paused_ns;
    let neighbour = run.neighbour_share(1).and_then(|share| {
        pvqspin_load::neighbour::throughput_over_share(&neighbour_records, duration_ns, share)
    });
    Ok(Measured {
        duration_ns,
        tally,
        neighbour,
        remains,
    })
}

fn stuck(run: &Run, vcpus: Vec<VcpuSnapshot>, remains: &Remains) -> RunError {
    RunError::Stuck(Box::new(Stuck {
        patience: stall_after(run),
        vcpus,
        trace: remains.trace.last(LAST_WORDS),
        lost_ns: remains.noise.lost_ns,
    }))
}

/// What a run gave.
struct Phases {
    /// How long was measured.
    duration_ns: u64,
    /// What was counted meanwhile.
    tally: Tally,
    /// For how long the process or the machine stood still.
    paused_ns: u64,
}

/// Leads a run through its phases, on the caller's thread.
fn run_phases(
    live: &Live<'_>,
    run: &Run,
    control: &Control,
    (records, watcher): (&[Record], Option<Watcher<'_>>),
) -> Result<Phases, Bite> {
    let progress = || records.iter().map(Record::all_acquisitions).sum();
    let mut show;
    let onlooker = match watcher {
        None => None,
        Some(Watcher { every, watcher }) => {
            show = move || {
                let longest = records.iter().map(Record::longest_wait_ns).max();
                watcher(&snapshot(live, progress(), longest.unwrap_or(0)));
            };
            Some(Onlooker {
                every,
                show: &mut show,
            })
        }
    };
    let mut watchdog = Watchdog::new(stall_after(run), &progress).with_onlooker(onlooker);
    watchdog.sleep(warmup(run))?;

    let before = tally(live);
    let began = clock::now_ns();
    control.measure(began);
    watchdog.sleep(Duration::from_nanos(run.duration_ns))?;
    control.stop();
    let ended = clock::now_ns();
    let counted = tally(live).since(&before);

    let paused = watchdog.paused() + drain(live, stall_after(run))?;
    Ok(Phases {
        duration_ns: ended - began,
        tally: counted,
        paused_ns: u64::try_from(paused.as_nanos()).unwrap_or(u64::MAX),
    })
}

/// Waits until every vCPU has returned. Returns for how long everything stood still meanwhile.
fn drain(live: &Live<'_>, patience: Duration) -> Result<Duration, Bite> {
    const LOOK_EVERY: Duration = Duration::from_millis(1);
    let vcpus = live.shared.vcbs.len() as u64;
    let ended = || live.shared.ended.load(Relaxed);
    let mut watchdog = Watchdog::new(patience, &ended);
    while ended() < vcpus {
        watchdog.sleep(LOOK_EVERY)?;
        thread::yield_now();
    }
    Ok(watchdog.paused())
}

/// What was counted so far, of the VM that locks.
fn tally(live: &Live<'_>) -> Tally {
    let memory = live.memory(0);
    let mut tally = Tally::default();
    for vcb in live.vcbs(0) {
        let count = |of: &AtomicU64| of.load(Relaxed);
        tally.halts += count(&vcb.calls.halts);
        tally.kicks += count(&vcb.calls.kicks);
        tally.add_yields(vcb.calls.yields.each_ref().map(count));
        tally.add_wasted_ns(clock::ticks_to_ns(count(&vcb.time.wasted_ticks)));
        tally.add_events(memory.nodes(vcb.cpu));
    }
    tally
}

impl Measured {
    fn summarise(self, run: &Run, records: &[Record], account: &Account) -> RunResult {
        let summary = pvqspin_load::summarise(records, account, self.duration_ns);
        let outcome = Outcome {
            neighbour: self.neighbour,
            halt_timeouts: self.remains.halt_timeouts,
            waits_over_slice: pvqspin_load::waits_over(records, run.host.slice_ns),
            ..self.tally.complete(summary)
        };
        RunResult {
            outcome,
            trace: self.remains.trace,
            faults_fired: self.remains.faults_fired,
            noise: self.remains.noise,
        }
    }
}
