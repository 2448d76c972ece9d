//! One measured run: from boot to summary.
//!
//! ```text
//!   boot     warm up      measure                    drain: everybody finishes and rings Done
//!  |-------|------------|--------------------------|-------|
//!                       ^ counts before            ^ counts after                        summary
//! ```

use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use pvqspin::Event;
use pvqspin_abi::Cpu;
use pvqspin_host::{StatusCounts, VcpuId};
use pvqspin_kvm_boot::boot::Clock;
use pvqspin_kvm_boot::{Boot, Role};
use pvqspin_real_time::{affinity, clock, compute};
use pvqspin_workload::{Account, Hypercalls, Outcome, Record, WorkloadId, YieldResults};

use crate::config::RunConfig;
use crate::error::{ConfigProblem, RunError, Stuck, Unavailable};
use crate::kvm_stats::KvmStats;
use crate::machine::Machine;
use crate::memory::GuestRoom;
use crate::session::{Member, exclusive, execute};
use crate::stock;
use crate::vm::{KvmHost, Vm};
use crate::watchdog::{Bite, Watchdog, Watched};

/// What one run gave.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// What was measured.
    pub outcome: Outcome,
}

/// Runs one lock under one workload.
///
/// Takes the whole process for the time of the run: a second caller waits.
///
/// # Errors
///
/// If the configuration makes no sense, if KVM refuses something, if the guest makes no progress or
/// does what it must not, or if what it leaves behind makes no sense.
pub fn run(host: &KvmHost, config: &RunConfig) -> Result<RunResult, RunError> {
    let cpus = affinity::allowed().map_err(RunError::setup("allowed CPUs"))?;
    config.validate(cpus.len(), host.max_vcpus())?;
    let cpus = (cpus.get(..config.pcpus)).ok_or(ConfigProblem::NoPcpus)?;
    if config.transport.is_stock()
        && let Some(missing) = host.missing_for_stock()
    {
        return Err(Unavailable::NoStock(missing).into());
    }
    let _only_one = exclusive();

    let mut members = vec![member(
        host,
        config,
        config.role,
        config.vcpus,
        config.weight,
    )?];
    if let Some(neighbour) = config.neighbour {
        let role = Role::Neighbour(neighbour.kind);
        members.push(member(
            host,
            config,
            role,
            neighbour.vcpus,
            neighbour.weight,
        )?);
    }
    let rooms: Vec<Arc<GuestRoom>> = (members.iter())
        .map(|member| Arc::clone(&member.vm.room))
        .collect();
    if config.transport.is_stock() {
        return stock::run(config, cpus, members);
    }
    let (conducted, remains) = execute(cpus, config.host(), members, |machine| {
        conduct(machine, config, &rooms)
    })?;
    match conducted {
        Ok((duration_ns, counts)) => summarise(config, &rooms[0], duration_ns, &counts),
        // What failed has been returned by `execute`.
        Err(Bite::Stuck | Bite::Failed) => Err(RunError::Stuck(Box::new(Stuck {
            patience: config.watchdog,
            vcpus: remains.stuck_vcpus(),
        }))),
    }
}

/// One VM of a run.
pub(crate) fn member(
    host: &KvmHost,
    config: &RunConfig,
    role: Role,
    vcpus: usize,
    weight: u32,
) -> Result<Member, RunError> {
    let boot = Boot {
        transport: config.transport,
        vcpus,
        role,
        clock: guest_clock(),
    };
    let vm = Vm::new(host, &config.image, config.cpl, &boot)?;
    Ok(Member { vm, weight })
}

/// The clock of this process, for a guest whose counter is this process's.
fn guest_clock() -> Clock {
    let calibrated = clock::calibrate();
    compute::calibrate(calibrated);
    let [base_ticks, ns_per_tick, ticks_per_ns] = clock::parameters(calibrated);
    Clock {
        base_ticks,
        ns_per_tick,
        ticks_per_ns,
        turns_per_ns: compute::turns_per_ns(),
    }
}

/// What a run is led through: the threads of its vCPUs, however they are scheduled.
pub(crate) trait Conducted: Watched {
    /// How many VMs have prepared their work.
    fn ready(&self) -> u64;
    /// How many vCPUs have ended.
    fn ended(&self) -> u64;
    /// How many there are.
    fn vcpus(&self) -> usize;
    /// What was counted so far, of this VM.
    fn counts(&self, room: &GuestRoom) -> Counts;
}

impl Conducted for Machine {
    fn ready(&self) -> u64 {
        self.ready.load(Relaxed)
    }

    fn ended(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    fn vcpus(&self) -> usize {
        self.vcpus.len()
    }

    fn counts(&self, room: &GuestRoom) -> Counts {
        let mut counts = Counts::of_guest(room);
        let hosted = self.host();
        for cpu in (0..room.places().vcpus()).filter_map(Cpu::new) {
            let stats = hosted.host.stats(VcpuId::new(cpu.index() as u32));
            counts.halts += stats.halts + stats.halts_avoided;
            counts.kicks += stats.kicks.total();
            counts.yields.ran += stats.yields.ran;
            counts.yields.already_running += stats.yields.already_running;
            counts.yields.stale += stats.yields.stale;
            counts.yields.refused += stats.yields.refused;
            counts.yield_calls += stats.yields.total();
        }
        counts.halt_timeouts = self.halt_timeouts.load(Relaxed);
        counts
    }
}

/// Leads a run through its phases, on the caller's thread. Returns how long was measured, and
/// what was counted meanwhile.
pub(crate) fn conduct(
    machine: &impl Conducted,
    config: &RunConfig,
    rooms: &[Arc<GuestRoom>],
) -> Result<(u64, Counts), Bite> {
    let room = &rooms[0];
    let watchdog =
        |progress| Watchdog::new(machine, config.halt_timeout, config.watchdog, progress);
    let ready = || machine.ready();
    watchdog(&ready).wait_for(&ready, rooms.len() as u64)?;

    let acquisitions = || {
        room.records()
            .iter()
            .map(Record::all_acquisitions)
            .fold(0, u64::wrapping_add)
    };
    let mut working = watchdog(&acquisitions);
    working.sleep(config.warmup())?;
    let before = machine.counts(room);
    let began = clock::now_ns();
    rooms.iter().for_each(|room| room.control().measure(began));
    working.sleep(config.duration)?;
    rooms.iter().for_each(|room| room.control().stop());
    let ended = clock::now_ns();
    let counts = machine.counts(room).since(&before);

    let done = || machine.ended();
    watchdog(&done).wait_for(&done, machine.vcpus() as u64)?;
    Ok((ended - began, counts))
}

/// What is counted outside of the guests' own records.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) halts: u64,
    pub(crate) kicks: u64,
    pub(crate) yields: StatusCounts,
    /// For how many of them the hypervisor was called.
    pub(crate) yield_calls: u64,
    pub(crate) halt_timeouts: u64,
    /// What KVM counts itself.
    pub(crate) kvm: KvmStats,
    wasted_ticks: u64,
    events: [u64; Event::ALL.len()],
}

impl Counts {
    /// What the guest itself has counted.
    pub(crate) fn of_guest(room: &GuestRoom) -> Self {
        let mut counts = Self::default();
        for cpu in (0..room.places().vcpus()).filter_map(Cpu::new) {
            // What the guest says of itself may be anything, and must not overflow.
            let wasted = room.cpu_room(cpu).time.wasted_ticks.load(Relaxed);
            counts.wasted_ticks = counts.wasted_ticks.wrapping_add(wasted);
            for (sum, event) in counts.events.iter_mut().zip(Event::ALL) {
                let count = room.nodes(cpu).events(event);
                *sum = match event.is_sum() {
                    true => sum.wrapping_add(count),
                    false => (*sum).max(count),
                };
            }
        }
        counts
    }

    /// What came to be since `before`. Maxima are those of the whole run.
    fn since(mut self, before: &Self) -> Self {
        // Wrapping: on the stock transports the guest counts.
        let less = |now: &mut u64, before: u64| *now = now.wrapping_sub(before);
        less(&mut self.halts, before.halts);
        less(&mut self.kicks, before.kicks);
        less(&mut self.yield_calls, before.yield_calls);
        less(&mut self.yields.ran, before.yields.ran);
        less(
            &mut self.yields.already_running,
            before.yields.already_running,
        );
        less(&mut self.yields.stale, before.yields.stale);
        less(&mut self.yields.refused, before.yields.refused);
        self.kvm = self.kvm.since(&before.kvm);
        self.wasted_ticks = self.wasted_ticks.wrapping_sub(before.wasted_ticks);
        for ((now, before), event) in self.events.iter_mut().zip(before.events).zip(Event::ALL) {
            if event.is_sum() {
                *now = now.wrapping_sub(before);
            }
        }
        self
    }
}

pub(crate) fn summarise(
    config: &RunConfig,
    room: &GuestRoom,
    duration_ns: u64,
    counts: &Counts,
) -> Result<RunResult, RunError> {
    let records = room.records();
    let id = match config.role {
        Role::Locks(_, workload) => workload.id,
        Role::Neighbour(_) | Role::Trial(_) => WorkloadId::Halted,
    };
    let (entered, class_sizes) =
        (room.results().account()).ok_or(RunError::Senseless("the account of its locks"))?;
    let account = Account {
        id,
        entered,
        class_sizes: class_sizes.collect(),
    };
    let events = Event::ALL
        .iter()
        .zip(counts.events)
        .filter(|&(_, count)| count > 0)
        .map(|(event, count)| (event.name(), count))
        .chain(counts.kvm.named());
    let yields = &counts.yields;
    let outcome = Outcome {
        hypercalls: Hypercalls {
            halt: counts.halts,
            kick: counts.kicks,
            yield_to: counts.yield_calls,
        },
        yields: YieldResults {
            ran: yields.ran,
            already_running: yields.already_running,
            stale: yields.stale,
            refused: yields.refused,
        },
        events: events.collect(),
        wasted_ns: clock::ticks_to_ns(counts.wasted_ticks),
        neighbour: None,
        halt_timeouts: counts.halt_timeouts,
        waits_over_slice: pvqspin_workload::waits_over(records, config.slice_ns),
        ..pvqspin_workload::summarise(records, &account, duration_ns)
    };
    Ok(RunResult { outcome })
}
