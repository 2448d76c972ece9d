//! One measured run: from boot to summary.
//!
//! ```text
//!   boot     warm up      measure                    drain: everybody finishes and rings Done
//!  |-------|------------|--------------------------|-------|
//!                       ^ counts before            ^ counts after                        summary
//! ```

use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use pvqspin_abi::Cpu;
use pvqspin_host::VcpuId;
use pvqspin_kvm_boot::boot::Clock;
use pvqspin_kvm_boot::{Boot, Role};
use pvqspin_load::neighbour::throughput_over_share;
use pvqspin_load::record::IMPLAUSIBLE;
use pvqspin_load::{Account, NeighbourRecord, Outcome, Record, WorkloadId};
use pvqspin_real_time::share::neighbour_share;
use pvqspin_real_time::{RunConfig, Tally, affinity, clock, compute};

use crate::error::{RunError, Stuck, Unavailable};
use crate::guest::{Guest, validate};
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
    /// For how long something else on this machine had the CPUs, in nanoseconds, summed over pCPUs,
    /// boot and warm-up included. `None` where Linux schedules the vCPUs: nobody can tell there.
    pub lost_ns: Option<u64>,
}

/// Runs one lock under one workload.
///
/// Takes the whole process for the time of the run: a second caller waits.
///
/// # Errors
///
/// If the configuration makes no sense, if KVM refuses something, if the guest makes no progress or
/// does what it must not, or if what it leaves behind makes no sense.
pub fn run(host: &KvmHost, guest: &Guest, config: &RunConfig) -> Result<RunResult, RunError> {
    let cpus = affinity::allowed().map_err(RunError::setup("allowed CPUs"))?;
    validate(host, guest, cpus.len(), config)?;
    if guest.transport.is_stock()
        && let Some(missing) = host.missing_for_stock()
    {
        return Err(Unavailable::NoStock(missing).into());
    }
    let cpus = &cpus[..config.pcpus];
    let _only_one = exclusive();

    let role = Role::Locks(config.lock, config.workload);
    let mut members = vec![member(host, guest, role, config.vcpus, config.weight)?];
    if let Some(neighbour) = config.neighbour {
        let role = Role::Neighbour(neighbour.kind);
        let (vcpus, weight) = (neighbour.vcpus, neighbour.weight);
        members.push(member(host, guest, role, vcpus, weight)?);
    }
    let rooms = rooms(&members);
    if guest.transport.is_stock() {
        let outcome = stock::run(config, cpus, members, &rooms)?;
        return Ok(RunResult {
            outcome,
            lost_ns: None,
        });
    }
    let (conducted, remains) = execute(cpus, config.host(), members, |machine| {
        conduct(machine, config, &rooms)
    })?;
    match conducted {
        Ok((duration_ns, counts)) => Ok(RunResult {
            outcome: summarise(config, &rooms, duration_ns, &counts)?,
            lost_ns: Some(remains.lost_ns()),
        }),
        // What failed has been returned by `execute`.
        Err(Bite::Stuck | Bite::Failed) => Err(RunError::Stuck(Box::new(Stuck {
            patience: config.watchdog,
            vcpus: remains.stuck_vcpus(),
        }))),
    }
}

/// The memory of each VM.
pub(crate) fn rooms(members: &[Member]) -> Vec<Arc<GuestRoom>> {
    let room = |member: &Member| Arc::clone(&member.vm.room);
    members.iter().map(room).collect()
}

/// One VM of a run.
pub(crate) fn member(
    host: &KvmHost,
    guest: &Guest,
    role: Role,
    vcpus: usize,
    weight: u32,
) -> Result<Member, RunError> {
    let boot = Boot {
        transport: guest.transport,
        vcpus,
        role,
        clock: guest_clock(),
    };
    let vm = Vm::new(host, &guest.image, guest.cpl, &boot)?;
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
    /// What was counted so far, of this VM, which is the first one.
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
        for (index, vcpu) in self.vcpus[..room.places().vcpus()].iter().enumerate() {
            let stats = hosted.host.stats(VcpuId::new(index as u32));
            counts.tally.halts += stats.halts + stats.halts_avoided;
            counts.tally.kicks += stats.kicks.total();
            counts.tally.add_yields(stats.yields);
            counts.yield_calls += stats.yields.total();
            if let Some(stats) = &vcpu.stats {
                stats.add_to(&mut counts.kvm);
            }
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
        let each = room.records().iter().map(Record::all_acquisitions);
        each.fold(0, u64::wrapping_add)
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
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) tally: Tally,
    /// For how many directed yields the hypervisor was called.
    pub(crate) yield_calls: u64,
    /// Of the whole run.
    pub(crate) halt_timeouts: u64,
    /// What KVM counts itself.
    pub(crate) kvm: KvmStats,
}

impl Counts {
    /// What the guest itself has counted, which may be anything.
    pub(crate) fn of_guest(room: &GuestRoom) -> Self {
        let mut counts = Self::default();
        for cpu in (0..room.places().vcpus()).filter_map(Cpu::new) {
            let wasted = room.cpu_room(cpu).time.wasted_ticks.load(Relaxed);
            counts.tally.add_wasted_ns(clock::ticks_to_ns(wasted));
            counts.tally.add_events(room.nodes(cpu));
        }
        counts
    }

    /// What came to be since `before`.
    pub(crate) fn since(self, before: &Self) -> Self {
        Self {
            tally: self.tally.since(&before.tally),
            // Wrapping: on the stock transports the guest counts.
            yield_calls: self.yield_calls.wrapping_sub(before.yield_calls),
            halt_timeouts: self.halt_timeouts,
            kvm: self.kvm.since(&before.kvm),
        }
    }
}

/// Puts together what the guests have left, if it can be true, and what was counted.
pub(crate) fn summarise(
    config: &RunConfig,
    rooms: &[Arc<GuestRoom>],
    duration_ns: u64,
    counts: &Counts,
) -> Result<Outcome, RunError> {
    let room = &rooms[0];
    let summary = what_can_be_true(room, config.workload.id, duration_ns)?;
    let neighbour = match rooms.get(1) {
        Some(beside) => neighbour(beside, config, duration_ns)?,
        None => None,
    };
    let mut outcome = Outcome {
        neighbour,
        halt_timeouts: counts.halt_timeouts,
        waits_over_slice: pvqspin_load::waits_over(room.records(), config.slice_ns),
        ..counts.tally.complete(summary)
    };
    outcome.hypercalls.yield_to = counts.yield_calls;
    outcome.events.extend(counts.kvm.named());
    Ok(outcome)
}

/// What the guest has left of its locks, if it can be true. Nobody runs any more.
fn what_can_be_true(
    room: &GuestRoom,
    id: WorkloadId,
    duration_ns: u64,
) -> Result<Outcome, RunError> {
    let records = room.records();
    if !records.iter().all(Record::is_plausible) {
        return Err(RunError::Senseless("a count of its vCPUs is impossible"));
    }
    let (entered, class_sizes) = (room.results().account())
        .filter(|(entered, _)| *entered < IMPLAUSIBLE)
        .ok_or(RunError::Senseless(
            "the account of its locks is impossible",
        ))?;
    let account = Account {
        id,
        entered,
        class_sizes: class_sizes.collect(),
    };
    Ok(pvqspin_load::summarise(records, &account, duration_ns))
}

/// How much a neighbour got of its share, if what it has left can be true.
fn neighbour(
    room: &GuestRoom,
    config: &RunConfig,
    duration_ns: u64,
) -> Result<Option<f64>, RunError> {
    let records = room.neighbour_records();
    if !records.iter().all(NeighbourRecord::is_plausible) {
        return Err(RunError::Senseless(
            "a count of the neighbour is impossible",
        ));
    }
    let share = neighbour_share(config);
    Ok(share.and_then(|share| throughput_over_share(records, duration_ns, share)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_counts_are_told() {
        let room = GuestRoom::new(2).expect("some memory");
        let look = || what_can_be_true(&room, WorkloadId::HotLock, 1).map(|_| ());
        room.results().set_account(0, &[1]);
        look().expect("nothing happened, which is possible");
        room.results().set_account(IMPLAUSIBLE, &[1]);
        let error = look().expect_err("too often").to_string();
        assert!(error.contains("account of its locks"), "{error}");
        let last = room.places().records + 2 * size_of::<Record>() as u64 - 8;
        let at = room.places().records + size_of::<Record>() as u64;
        for at in [at, last] {
            room.write_words(at, &[u64::MAX]).expect("inside");
        }
        let error = look().expect_err("a count of all ones").to_string();
        assert!(error.contains("count of its vCPUs"), "{error}");
    }
}
