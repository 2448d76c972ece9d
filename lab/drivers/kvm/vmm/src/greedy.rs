//! A greedy VM beside one that computes all the time: what does it leave of the other's share?
//!
//! Linux schedules both. Shares are the time of their threads on pCPUs, as the kernel counts it; neither is asked to
//! stop, as a greedy vCPU may halt for good: signals end them.

use std::thread;
use std::time::Duration;

use pvqspin_driver_common::Run;
use pvqspin_kvm_boot::Role;
use pvqspin_kvm_boot::greedy::Programs;
use pvqspin_load::NeighbourKind;
use pvqspin_real_time::affinity;
use pvqspin_real_time::config::{halt_timeout, stall_after, warmup};

use crate::error::{RunError, Unavailable};
use crate::guest::{Guest, validate};
use crate::phases::{RunningVcpus, at_once};
use crate::run::{member, memories};
use crate::session::exclusive;
use crate::stock::{self, Crowd};
use crate::vm::KvmHost;
use crate::watchdog::{Bite, Watchdog};

/// What two VMs had.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Shares {
    /// How long was measured, in nanoseconds.
    pub duration_ns: u64,
    /// What the greedy VM had, in pCPUs.
    pub greedy: f64,
    /// What the VM beside it had, in pCPUs.
    pub neighbour: f64,
    /// How often the greedy VM called KVM for a directed yield.
    pub yields: u64,
    /// How often it kicked a vCPU.
    pub kicks: u64,
    /// How often it halted.
    pub halts: u64,
}

/// Runs these programs in a VM of `config.vcpus` vCPUs, beside the neighbour of `config`, which computes. Lock and
/// workload are not used. The guest's transport is a stock one.
///
/// # Errors
///
/// As for [`run`](crate::run()).
pub fn greedy(
    host: &KvmHost,
    guest: &Guest,
    config: &Run,
    programs: &Programs,
) -> Result<Shares, RunError> {
    let cpus = affinity::allowed().map_err(RunError::setup("allowed CPUs"))?;
    validate(host, guest, cpus.len(), config)?;
    if let Some(missing) = host.missing_for_stock() {
        return Err(Unavailable::NoStock(missing).into());
    }
    let cpus = &cpus[..config.host.pcpus];
    let _only_one = exclusive();
    let (takes, computes) = (
        Role::Greedy(*programs),
        Role::Neighbour(NeighbourKind::Busy),
    );
    let members = vec![
        member(host, guest, takes, config.vcpus, config.weight)?,
        member(
            host,
            guest,
            computes,
            config.neighbour_vcpus(),
            config.weight,
        )?,
    ];
    let memories = memories(&members);
    stock::watched(config, cpus, members, &memories, |crowd| {
        let watchdog =
            |progress| Watchdog::new(crowd, halt_timeout(config), stall_after(config), progress);
        let ready = || crowd.ready();
        watchdog(&ready).wait_for(&ready, 2)?;
        let neighbours_time = || crowd.pcpu_ns().map_or(0, |[_, ns]| ns);
        let mut working = watchdog(&neighbours_time);
        working.sleep(warmup(config))?;
        let counted_before = crowd.counts(&memories[0]);
        let (began, before) = pcpu_time(crowd)?;
        working.sleep(Duration::from_nanos(config.duration_ns))?;
        let (ended, after) = pcpu_time(crowd)?;
        let counts = crowd.counts(&memories[0]).since(&counted_before);
        let duration_ns = ended - began;
        let pcpus = |vm: usize| after[vm].saturating_sub(before[vm]) as f64 / duration_ns as f64;
        Ok(Shares {
            duration_ns,
            greedy: pcpus(0),
            neighbour: pcpus(1),
            yields: counts.yield_calls,
            kicks: counts.tally.kicks,
            halts: counts.tally.halts,
        })
    })
}

/// The time, and the pCPU time of the VMs then. Where it cannot be read at once, something keeps this thread off its CPU
/// all the time.
fn pcpu_time(crowd: &Crowd<'_>) -> Result<(u64, [u64; 2]), Bite> {
    const TRIES: usize = 100;
    for _ in 0..TRIES {
        if let (now, Some(time)) = at_once(crowd) {
            return Ok((now, time));
        }
        thread::sleep(Duration::from_millis(1));
    }
    Err(Bite::Stuck)
}
