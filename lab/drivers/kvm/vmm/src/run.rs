//! One measured run: from the VMs to the summary.

use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use pvqspin_driver_common::Run;
use pvqspin_host::{StatusCounts, VcpuId};
use pvqspin_kvm_boot::boot::Clock;
use pvqspin_kvm_boot::{Boot, Role};
use pvqspin_load::Outcome;
use pvqspin_real_time::config::stall_after;
use pvqspin_real_time::{affinity, clock, compute};

use crate::error::{RunError, Stuck, Unavailable};
use crate::guest::{Guest, validate};
use crate::machine::Machine;
use crate::memory::GuestMemory;
use crate::phases::{Counts, RunningVcpus, run_phases};
use crate::session::{Member, exclusive, execute};
use crate::stock;
use crate::summary::summarise;
use crate::vm::{KvmHost, Vm};
use crate::watchdog::Bite;

/// What one run gave.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// What was measured.
    pub outcome: Outcome,
    /// For how long something else on this machine had the CPUs, in nanoseconds, summed over pCPUs,
    /// boot and warm-up included. `None` where Linux schedules the vCPUs and it is unknown.
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
pub fn run(host: &KvmHost, guest: &Guest, config: &Run) -> Result<RunResult, RunError> {
    let cpus = affinity::allowed().map_err(RunError::setup("allowed CPUs"))?;
    validate(host, guest, cpus.len(), config)?;
    if guest.transport.is_stock()
        && let Some(missing) = host.missing_for_stock()
    {
        return Err(Unavailable::NoStock(missing).into());
    }
    let cpus = &cpus[..config.host.pcpus];
    let _only_one = exclusive();

    let role = Role::Locks(config.lock, config.workload);
    let mut members = vec![member(host, guest, role, config.vcpus, config.weight)?];
    if let Some(neighbour) = config.neighbour {
        let role = Role::Neighbour(neighbour.kind);
        let (vcpus, weight) = (neighbour.vcpus, neighbour.weight);
        members.push(member(host, guest, role, vcpus, weight)?);
    }
    let memories = memories(&members);
    if guest.transport.is_stock() {
        let outcome = stock::run(config, cpus, members, &memories)?;
        return Ok(RunResult {
            outcome,
            lost_ns: None,
        });
    }
    let (measured, remains) = execute(cpus, config.host, members, |machine| {
        run_phases(machine, config, &memories)
    })?;
    match measured {
        Ok((duration_ns, counts)) => Ok(RunResult {
            outcome: summarise(config, &memories, duration_ns, &counts)?,
            lost_ns: Some(remains.lost_ns()),
        }),
        // What failed has been returned by `execute`.
        Err(Bite::Stuck | Bite::Failed) => Err(RunError::Stuck(Box::new(Stuck {
            patience: stall_after(config),
            vcpus: remains.stuck_vcpus(),
        }))),
    }
}

/// The memory of each VM.
pub(crate) fn memories(members: &[Member]) -> Vec<Arc<GuestMemory>> {
    let memory = |member: &Member| Arc::clone(&member.vm.memory);
    members.iter().map(memory).collect()
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

impl RunningVcpus for Machine {
    fn ready(&self) -> u64 {
        self.ready.load(Relaxed)
    }

    fn ended(&self) -> u64 {
        self.ended.load(Relaxed)
    }

    fn vcpus(&self) -> usize {
        self.vcpus.len()
    }

    fn counts(&self, memory: &GuestMemory) -> Counts {
        let mut counts = Counts::of_guest(memory);
        let hosted = self.host();
        for (index, vcpu) in self.vcpus[..memory.layout().vcpus()].iter().enumerate() {
            let stats = hosted.host.stats(VcpuId::new(index as u32));
            counts.tally.halts += stats.halts + stats.halts_avoided;
            counts.tally.kicks += stats.kicks.total();
            let yields = stats.yields;
            counts.yield_calls += yields.total();
            // In the order of their numbers.
            let StatusCounts {
                ran,
                already_running,
                stale,
                refused,
            } = yields;
            counts
                .tally
                .add_yields([ran, already_running, stale, refused]);
            if let Some(stats) = &vcpu.stats {
                stats.add_to(&mut counts.kvm);
            }
        }
        counts.halt_timeouts = self.halt_timeouts.load(Relaxed);
        counts
    }
}
