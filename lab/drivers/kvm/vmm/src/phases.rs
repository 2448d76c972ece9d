//! The phases of a run, whatever schedules its vCPUs.
//!
//! ```text
//!   boot     warm up      measure                    drain: every vCPU finishes and rings Done
//!  |-------|------------|--------------------------|-------|
//!                       ^ counts before            ^ counts after                        summary
//! ```

use core::sync::atomic::Ordering::Relaxed;
use std::sync::Arc;

use pvqspin_abi::Cpu;
use std::time::Duration;

use pvqspin_driver_common::Run;
use pvqspin_load::Record;
use pvqspin_real_time::config::{halt_timeout, stall_after, warmup};
use pvqspin_real_time::{Tally, clock};

use crate::kvm_stats::KvmStats;
use crate::memory::GuestMemory;
use crate::watchdog::{Bite, Watchdog, Watched};

/// The threads of the vCPUs of a run, however they are scheduled.
pub(crate) trait RunningVcpus: Watched {
    /// How many VMs have prepared their work.
    fn ready(&self) -> u64;
    /// How many vCPUs have ended.
    fn ended(&self) -> u64;
    /// How many there are.
    fn vcpus(&self) -> usize;
    /// For how long the VM, and its neighbour, were on pCPUs so far, if Linux counts that.
    fn pcpu_ns(&self) -> Option<[u64; 2]> {
        None
    }
    /// What was counted so far, of this VM, which is the first one.
    fn counts(&self, memory: &GuestMemory) -> Counts;
}

/// Takes a run through its phases, on the caller's thread. Returns how long was measured, and
/// what was counted meanwhile.
pub(crate) fn run_phases(
    machine: &impl RunningVcpus,
    config: &Run,
    memories: &[Arc<GuestMemory>],
) -> Result<(u64, Counts), Bite> {
    let memory = &memories[0];
    let watchdog =
        |progress| Watchdog::new(machine, halt_timeout(config), stall_after(config), progress);
    let ready = || machine.ready();
    watchdog(&ready).wait_for(&ready, memories.len() as u64)?;

    let acquisitions = || {
        let each = memory.records().iter().map(Record::all_acquisitions);
        each.fold(0, u64::wrapping_add)
    };
    let mut working = watchdog(&acquisitions);
    working.sleep(warmup(config))?;
    let before = machine.counts(memory);
    let (began, time_before) = at_once(machine);
    memories
        .iter()
        .for_each(|memory| memory.control().measure(began));
    working.sleep(Duration::from_nanos(config.duration_ns))?;
    // Before a vCPU ends, and its thread.
    let (ended, time_after) = at_once(machine);
    memories.iter().for_each(|memory| memory.control().stop());
    let mut counts = machine.counts(memory).since(&before);
    counts.pcpus = time_before.zip(time_after).map(|(before, after)| {
        [0, 1].map(|vm| after[vm].saturating_sub(before[vm]) as f64 / (ended - began) as f64)
    });

    let done = || machine.ended();
    watchdog(&done).wait_for(&done, machine.vcpus() as u64)?;
    Ok((ended - began, counts))
}

/// The time, and the pCPU time of the VMs then: asked again if this thread was taken off while it asked.
pub(crate) fn at_once(machine: &impl RunningVcpus) -> (u64, Option<[u64; 2]>) {
    const AT_ONCE_NS: u64 = 100_000;
    for _ in 0..8 {
        let before = clock::now_ns();
        let time = machine.pcpu_ns();
        let after = clock::now_ns();
        if after - before < AT_ONCE_NS {
            return (before.midpoint(after), time);
        }
    }
    (clock::now_ns(), None)
}

/// What is counted outside of the guests' own records.
#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) tally: Tally,
    /// For how many directed yields the hypervisor was called.
    pub(crate) yield_calls: u64,
    /// Of the whole run.
    pub(crate) halt_timeouts: u64,
    /// For how much of the time the VM, and its neighbour, were on pCPUs, in pCPUs, if Linux counts that.
    pub(crate) pcpus: Option<[f64; 2]>,
    /// What KVM counts itself.
    pub(crate) kvm: KvmStats,
}

impl Counts {
    /// What the guest itself has counted, which may be anything.
    pub(crate) fn of_guest(memory: &GuestMemory) -> Self {
        let mut counts = Self::default();
        for cpu in (0..memory.layout().vcpus()).filter_map(Cpu::new) {
            let wasted = memory.cpu_area(cpu).time.wasted_ticks.load(Relaxed);
            counts.tally.add_wasted_ns(clock::ticks_to_ns(wasted));
            counts.tally.add_events(memory.nodes(cpu));
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
            pcpus: self.pcpus,
            kvm: self.kvm.since(&before.kvm),
        }
    }
}
