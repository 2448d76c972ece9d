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
use pvqspin_real_time::share::neighbour_share;
use pvqspin_real_time::{RunConfig, Tally, affinity, clock, compute};
use pvqspin_workload::neighbour::throughput_over_share;
use pvqspin_workload::record::IMPLAUSIBLE;
use pvqspin_workload::{Account, NeighbourRecord, Outcome, Record, WorkloadId};

use crate::error::{RunError, Stuck};
use crate::guest::{Guest, validate};
use crate::machine::Machine;
use crate::memory::GuestRoom;
use crate::session::{Member, Remains, exclusive, execute};
use crate::vm::{KvmHost, Vm};
use crate::watchdog::{Bite, Watchdog};

/// Runs one lock under one workload.
///
/// Takes the whole process for the time of the run: a second caller waits.
///
/// # Errors
///
/// If the configuration makes no sense, if KVM refuses something, if the guest makes no progress or
/// does what it must not, or if what it leaves behind makes no sense.
pub fn run(host: &KvmHost, guest: &Guest, config: &RunConfig) -> Result<Outcome, RunError> {
    let cpus = affinity::allowed().map_err(RunError::setup("allowed CPUs"))?;
    validate(host, cpus.len(), config)?;
    let _only_one = exclusive();

    let role = Role::Locks(config.lock, config.workload);
    let mut members = vec![member(host, guest, role, config.vcpus, config.weight)?];
    if let Some(neighbour) = config.neighbour {
        let role = Role::Neighbour(neighbour.kind);
        let (vcpus, weight) = (neighbour.vcpus, neighbour.weight);
        members.push(member(host, guest, role, vcpus, weight)?);
    }
    let rooms = rooms(&members);
    let (conducted, remains) = execute(&cpus[..config.pcpus], config.host(), members, |machine| {
        conduct(machine, config, &rooms)
    })?;
    match conducted {
        Ok((duration_ns, tally)) => summarise(config, &rooms, &remains, duration_ns, &tally),
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

/// Leads a run through its phases, on the caller's thread. Returns how long was measured, and
/// what was counted meanwhile.
fn conduct(
    machine: &Machine,
    config: &RunConfig,
    rooms: &[Arc<GuestRoom>],
) -> Result<(u64, Tally), Bite> {
    let room = &rooms[0];
    let watchdog =
        |progress| Watchdog::new(machine, config.halt_timeout, config.watchdog, progress);
    let ready = || machine.ready.load(Relaxed);
    watchdog(&ready).wait_for(&ready, rooms.len() as u64)?;

    let acquisitions = || {
        let each = room.records().iter().map(Record::all_acquisitions);
        each.fold(0, u64::wrapping_add)
    };
    let mut working = watchdog(&acquisitions);
    working.sleep(config.warmup())?;
    let before = tally(machine, room);
    let began = clock::now_ns();
    rooms.iter().for_each(|room| room.control().measure(began));
    working.sleep(config.duration)?;
    rooms.iter().for_each(|room| room.control().stop());
    let ended = clock::now_ns();
    let counted = tally(machine, room).since(&before);

    let done = || machine.ended.load(Relaxed);
    watchdog(&done).wait_for(&done, machine.vcpus.len() as u64)?;
    Ok((ended - began, counted))
}

/// What was counted so far, of the first VM.
fn tally(machine: &Machine, room: &GuestRoom) -> Tally {
    let hosted = machine.host();
    let mut tally = Tally::default();
    for cpu in (0..room.places().vcpus()).filter_map(Cpu::new) {
        let stats = hosted.host.stats(VcpuId::new(cpu.index() as u32));
        tally.halts += stats.halts + stats.halts_avoided;
        tally.kicks += stats.kicks.total();
        tally.add_yields(stats.yields);
        let wasted = room.cpu_room(cpu).time.wasted_ticks.load(Relaxed);
        tally.add_wasted_ns(clock::ticks_to_ns(wasted));
        tally.add_events(room.nodes(cpu));
    }
    tally
}

fn summarise(
    config: &RunConfig,
    rooms: &[Arc<GuestRoom>],
    remains: &Remains,
    duration_ns: u64,
    tally: &Tally,
) -> Result<Outcome, RunError> {
    let room = &rooms[0];
    let summary = what_can_be_true(room, config.workload.id, duration_ns)?;
    let neighbour = match rooms.get(1) {
        Some(beside) => neighbour(beside, config, duration_ns)?,
        None => None,
    };
    let mut outcome = Outcome {
        neighbour,
        halt_timeouts: remains.machine.halt_timeouts.load(Relaxed),
        waits_over_slice: pvqspin_workload::waits_over(room.records(), config.slice_ns),
        ..tally.complete(summary)
    };
    outcome.events.extend(remains.kvm_counts(config.vcpus));
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
    Ok(pvqspin_workload::summarise(records, &account, duration_ns))
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
    use proptest::prelude::*;
    use pvqspin_kvm_boot::places::PLACES_AT;
    use vm_memory::{Bytes, GuestAddress};

    /// A piece of memory that a guest has written at will.
    fn scribble() -> impl Strategy<Value = (u64, Vec<u8>)> {
        let places = pvqspin_kvm_boot::Places::new(2);
        // Half of them into the results, which are small beside the rest.
        let at = prop_oneof![PLACES_AT..PLACES_AT + 1024, PLACES_AT..places.rooms,];
        // Small numbers and zeros too: what is obviously wrong is refused at once.
        let byte = prop_oneof![Just(0), Just(1), any::<u8>()];
        (at, prop::collection::vec(byte, 1..64))
    }

    proptest! {
        #[test]
        fn nothing_that_a_guest_leaves_is_a_panic(
            scribbles in prop::collection::vec(scribble(), 0..20),
            duration_ns in any::<u64>(),
        ) {
            let room = GuestRoom::new(2).expect("some memory");
            for (at, bytes) in scribbles {
                room.memory().write_slice(&bytes, GuestAddress(at)).expect("inside");
            }
            let _ = what_can_be_true(&room, WorkloadId::HotLock, duration_ns);
            let config = RunConfig { vcpus: 2, ..RunConfig::default() };
            let _ = neighbour(&room, &config, duration_ns);
            let _ = room.results().message().count();
            let mut tally = Tally::default();
            for cpu in (0..2).filter_map(Cpu::new) {
                tally.add_events(room.nodes(cpu));
                let _ = room.cpu_room(cpu).call();
            }
            let _ = tally.since(&Tally::default()).complete(Outcome::default());
        }
    }

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
