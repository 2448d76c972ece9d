//! Finding out what this machine allows, and what the hypervisor's steps cost on it.
//!
//! First whether threads can be pinned and timer signals arrive at all: without them a run would
//! never end. Then short runs with guests of one purpose each, in some 30 ms altogether.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
#[cfg(test)]
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use pvqspin::Env;
use pvqspin_abi::{Cpu, Generation, Hint};
use pvqspin_host::{Config, Scheduling, YieldMode};

use crate::arena::{self, Arena};
use crate::context;
use crate::error::Unsupported;
use crate::guest_env::GuestEnv;
use crate::pcpu::Pcpu;
use crate::pcpu_loop::account_for_entry;
use crate::probed::Probe;
use crate::session::{Plan, VmPlan, as_unsupported, execute};
use crate::signal::Handler;
use crate::vcb::{Body, ExitReason, Identity, Vcb};
use crate::vcpu_side::vcpu_main;
use pvqspin_driver_common::{Loan, MeasuredCosts};
use pvqspin_load::Faults;
use pvqspin_real_time::affinity;
use pvqspin_real_time::clock;
use pvqspin_real_time::compute;

impl Probe {
    /// Finds out what this machine allows, and measures what things cost. Takes about 50 ms.
    ///
    /// # Errors
    ///
    /// If CPUs cannot be pinned or timer signals do not arrive: the error says which and why.
    pub fn run() -> Result<Self, Unsupported> {
        let cpus = affinity::allowed().map_err(Unsupported::Affinity)?;
        let calibrated = clock::calibrate();
        let speed = compute::calibrate(calibrated);
        for &cpu in &cpus {
            try_pinning(cpu)?;
        }
        try_timer()?;
        let first = &cpus[..1.min(cpus.len())];
        let poke = match cpus.as_slice() {
            // From a CPU of its own: on the guest's, the poking thread itself would be the gap.
            &[_, second, ..] => on_own_thread(|| {
                affinity::pin_caller(second)
                    .map_err(|error| Unsupported::Pinning { cpu: second, error })?;
                poke(first)
            })?,
            _ => None,
        };
        Ok(Self {
            tsc_invariant: clock::is_invariant(),
            costs: MeasuredCosts {
                tsc_mhz: clock::mhz(calibrated),
                compute_turn_ns: speed.turn_ns,
                switch_ns: switch_ns(first)?,
                hypercall_ns: hypercall_ns(first)?,
                preemption_ns: preemption_ns(first)?,
                poke_ns: poke.as_ref().map(|poke| poke.noticed_ns),
                poke_send_ns: poke.as_ref().map(|poke| poke.send_ns),
                poke_lost_ns: poke.as_ref().map(|poke| poke.lost_ns),
            },
            cpus,
        })
    }
}

/// Runs something on a thread of its own, so that the caller's thread stays as it is.
fn on_own_thread<R: Send>(
    work: impl FnOnce() -> Result<R, Unsupported> + Send,
) -> Result<R, Unsupported> {
    thread::scope(|scope| {
        let thread = thread::Builder::new()
            .spawn_scoped(scope, work)
            .map_err(Unsupported::Timers)?;
        match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

fn try_pinning(cpu: usize) -> Result<(), Unsupported> {
    on_own_thread(|| affinity::pin_caller(cpu).map_err(|error| Unsupported::Pinning { cpu, error }))
}

/// Sets a timer and waits for its signal.
fn try_timer() -> Result<(), Unsupported> {
    const PATIENCE: Duration = Duration::from_secs(1);
    let _only_one = crate::session::exclusive();
    let _handler = Handler::install().map_err(Unsupported::Timers)?;
    on_own_thread(|| {
        let pcpu = Pcpu::new(0);
        let _adopted = pcpu.adopt_caller().map_err(Unsupported::Timers)?;
        pcpu.timer.arm(clock::now_ns() + 100_000);
        let start = Instant::now();
        while pcpu.timer.is_armed() {
            if start.elapsed() > PATIENCE {
                return Err(Unsupported::NoSignal);
            }
            core::hint::spin_loop();
        }
        Ok(())
    })
}

/// The bare switch, there and back: no host, no lock, no signal.
fn switch_ns(cpus: &[usize]) -> Result<f64, Unsupported> {
    const BATCHES: usize = 50;
    const BATCH: u64 = 200;
    fn leave_for_ever(_: Cpu) {
        // SAFETY: this is the body of a vCPU.
        let vcb = unsafe { arena::current_unchecked() };
        loop {
            vcb.lose_pcpu(ExitReason::Hypercall);
        }
    }
    let cpus = cpus.to_vec();
    on_own_thread(move || {
        if let Some(&cpu) = cpus.first() {
            affinity::pin_caller(cpu).map_err(|error| Unsupported::Pinning { cpu, error })?;
        }
        let arena = Arena::new(1).map_err(|error| Unsupported::Trial(error.to_string()))?;
        let memory = Loan::new(1);
        let faults = Faults::default();
        let body: &Body<'static> = &leave_for_ever;
        let identity = Identity {
            vcpu: 0,
            vm: 0,
            cpu: Cpu::new(0).expect("there is a first CPU"),
            memory: memory.get(),
            body,
            faults: &faults,
            watched_points: 0,
            marks: core::ptr::null(),
        };
        let pcpu = Pcpu::new(0);
        // SAFETY: the stack and the control block of a fresh arena, which nothing else uses.
        let vcb = unsafe {
            let rsp = context::prepare(arena.stack_top(0), vcpu_main);
            arena.vcb(0).write(Vcb::new(identity, rsp));
            &*arena.vcb(0)
        };
        account_for_entry(vcb, &pcpu);
        let mut batches: Vec<f64> = (0..BATCHES)
            .map(|_| {
                let start = clock::ticks();
                for _ in 0..BATCH {
                    // SAFETY: this thread alone enters it, from its own stack.
                    unsafe { context::enter(vcb) };
                }
                clock::ticks_to_ns(clock::ticks() - start) as f64 / BATCH as f64
            })
            .collect();
        Ok(median(&mut batches).unwrap_or(f64::NAN))
    })
}

/// A hypercall that the host refuses at once, without the added cost.
fn hypercall_ns(cpus: &[usize]) -> Result<f64, Unsupported> {
    let samples = Samples::default();
    run_guest(cpus, 100_000_000, &|me| {
        let hint = Hint {
            cpu: me,
            generation: Generation::default(),
        };
        for _ in 0..2_000 {
            let start = clock::ticks();
            GuestEnv::yield_to(hint);
            samples.push(clock::ticks() - start);
        }
    })?;
    Ok(samples.median_ns().unwrap_or(f64::NAN))
}

/// What a guest loses at the end of a slice if it goes on: short slices, and a guest that looks
/// at the clock all the time.
fn preemption_ns(cpus: &[usize]) -> Result<f64, Unsupported> {
    const SLICE_NS: u64 = 100_000;
    let samples = Samples::default();
    run_guest(cpus, SLICE_NS, &|_| {
        let vcb = arena::current().expect("a guest");
        for _ in 0..60 {
            let before = vcb.time.stolen_ticks.load(Relaxed);
            samples.push(watch_for_gap(|| vcb.time.stolen_ticks.load(Relaxed) != before).length);
        }
    })?;
    Ok(samples.median_ns().unwrap_or(f64::NAN))
}

/// A stretch of time in which the caller did not run.
struct Gap {
    began: u64,
    length: u64,
}

/// Reads the clock until `over`; the longest distance between two readings.
fn watch_for_gap(over: impl Fn() -> bool) -> Gap {
    let mut longest = Gap {
        began: 0,
        length: 0,
    };
    let mut last = clock::ticks();
    loop {
        let is_last = over();
        let now = clock::ticks();
        if now - last > longest.length {
            longest = Gap {
                began: last,
                length: now - last,
            };
        }
        last = now;
        if is_last {
            return longest;
        }
    }
}

/// What a poke costs, in nanoseconds.
struct Poke {
    /// From its start until the guest on another CPU is interrupted.
    noticed_ns: f64,
    /// Until the sender goes on.
    send_ns: f64,
    /// How long that guest does not run, if it goes on.
    lost_ns: f64,
}

/// Pokes a guest on another CPU from this thread.
fn poke(cpus: &[usize]) -> Result<Option<Poke>, Unsupported> {
    const POKES: usize = 40;
    const PATIENCE: Duration = Duration::from_millis(200);
    let interrupted_at = AtomicU64::new(0);
    let gaps = Samples::default();
    let body = |_: Cpu| {
        let vcb = arena::current().expect("a guest");
        for _ in 0..POKES {
            let before = vcb.time.stolen_ticks.load(Relaxed);
            let gap = watch_for_gap(|| vcb.time.stolen_ticks.load(Relaxed) != before);
            gaps.push(gap.length);
            interrupted_at.store(gap.began, Relaxed);
        }
    };
    let (mut noticed, mut sent) = (Vec::new(), Vec::new());
    let plan = plan(cpus, 1_000_000_000, &body);
    let (_, _) = execute(&plan, |live| {
        for _ in 0..POKES {
            // Lets the guest come to rest after the last poke.
            thread::sleep(Duration::from_micros(200));
            let start = Instant::now();
            interrupted_at.store(0, Relaxed);
            let poked = clock::ticks();
            live.shared.pcpus[0].poke();
            let done = clock::ticks();
            while interrupted_at.load(Relaxed) == 0 && start.elapsed() < PATIENCE {
                core::hint::spin_loop();
            }
            let at = interrupted_at.load(Relaxed);
            if at > poked {
                noticed.push(clock::ticks_to_ns(at - poked) as f64);
                sent.push(clock::ticks_to_ns(done - poked) as f64);
            }
        }
    })
    .map_err(as_unsupported)?;
    let medians = median(&mut noticed).zip(median(&mut sent));
    Ok(medians
        .zip(gaps.median_ns())
        .map(|((noticed_ns, send_ns), lost_ns)| Poke {
            noticed_ns,
            send_ns,
            lost_ns,
        }))
}

/// A plan for one vCPU on one pCPU.
fn plan<'a>(cpus: &'a [usize], slice_ns: u64, body: &'a Body<'a>) -> Plan<'a> {
    Plan {
        cpus,
        host: Config {
            pcpus: cpus.len(),
            scheduling: Scheduling::RoundRobin,
            yields: YieldMode::Contract,
            slice_ns,
            min_loan_ns: slice_ns / 10,
            ..Config::default()
        },
        vms: vec![VmPlan {
            vcpus: 1,
            weight: 1,
            body,
            faults: Faults::default(),
        }],
        hypercall_ns: 0,
        halt_timeout_ns: u64::MAX,
        trace: false,
        trace_marks: 0,
    }
}

/// Runs one guest on one pCPU until it returns.
fn run_guest(cpus: &[usize], slice_ns: u64, body: &Body<'_>) -> Result<(), Unsupported> {
    const PATIENCE: Duration = Duration::from_secs(2);
    let plan = plan(cpus, slice_ns, body);
    let (in_time, _) = execute(&plan, |live| {
        let start = Instant::now();
        while live.shared.ended.load(Relaxed) == 0 {
            if start.elapsed() > PATIENCE {
                return false;
            }
            thread::sleep(Duration::from_micros(200));
        }
        true
    })
    .map_err(as_unsupported)?;
    if in_time {
        Ok(())
    } else {
        Err(Unsupported::Trial("its guest did not finish".to_owned()))
    }
}

/// Measurements that a guest makes. A guest must not allocate, so there is room for some
/// thousands from the start.
struct Samples {
    ticks: Box<[AtomicU64]>,
    count: AtomicU64,
}

impl Default for Samples {
    fn default() -> Self {
        Self {
            ticks: (0..4_096).map(|_| AtomicU64::new(0)).collect(),
            count: AtomicU64::new(0),
        }
    }
}

impl Samples {
    fn push(&self, ticks: u64) {
        let index = self.count.fetch_add(1, Relaxed);
        if let Some(sample) = self.ticks.get(index as usize) {
            sample.store(ticks, Relaxed);
        }
    }

    fn median_ns(&self) -> Option<f64> {
        let count = (self.count.load(Relaxed) as usize).min(self.ticks.len());
        let mut samples: Vec<f64> = self.ticks[..count]
            .iter()
            .map(|ticks| clock::ticks_to_ns(ticks.load(Relaxed)) as f64)
            .collect();
        median(&mut samples)
    }
}

fn median(samples: &mut [f64]) -> Option<f64> {
    samples.sort_by(f64::total_cmp);
    samples.get(samples.len() / 2).copied()
}

/// The last probe of this process, for tests: probing takes a while.
#[cfg(test)]
pub(crate) fn machine_for_tests() -> Option<Probe> {
    static MACHINE: Mutex<Option<Option<Probe>>> = Mutex::new(None);
    let mut machine = MACHINE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    machine
        .get_or_insert_with(|| match Probe::run() {
            Ok(machine) => Some(machine),
            // The machine allows it, and it does not work: that is ours, and nothing to skip.
            Err(reason @ Unsupported::Trial(_)) => panic!("{reason}"),
            Err(reason) => {
                pvqspin_real_time::skipped::skipped("hypervisor", &reason);
                None
            }
        })
        .clone()
}
