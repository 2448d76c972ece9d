//! Waiting for a run on the caller's thread, and noticing that it has stopped getting anywhere.

use core::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use pvqspin_abi::RunState;

use crate::session::Live;
use crate::snapshot::{Snapshot, VcpuSnapshot};
use crate::vcb::Vcb;
use pvqspin_real_time::clock;
// Each look takes some microseconds from a pCPU, if all CPUs are pCPUs.
use pvqspin_real_time::patience::{self, LOOK_EVERY, Patience};

/// Watches a counter that has to change.
pub(crate) struct Watchdog<'a> {
    progress: &'a dyn Fn() -> u64,
    patience: Patience,
    onlooker: Option<Onlooker<'a>>,
    shown: Instant,
}

/// An onlooker wants to see the run now and then.
pub(crate) struct Onlooker<'a> {
    /// How often.
    pub(crate) every: Duration,
    /// Shows it.
    pub(crate) show: &'a mut dyn FnMut(),
}

/// The guest makes no progress.
#[derive(Debug)]
pub(crate) struct Bite;

impl<'a> Watchdog<'a> {
    pub(crate) fn new(patience: Duration, progress: &'a dyn Fn() -> u64) -> Self {
        Self {
            patience: Patience::new(patience, progress()),
            progress,
            onlooker: None,
            shown: Instant::now(),
        }
    }

    /// The same, with an onlooker.
    pub(crate) fn with_onlooker(self, onlooker: Option<Onlooker<'a>>) -> Self {
        Self { onlooker, ..self }
    }

    /// Lets so much time pass.
    pub(crate) fn sleep(&mut self, length: Duration) -> Result<(), Bite> {
        let every = self.onlooker.as_ref().map_or(LOOK_EVERY, |at| at.every);
        patience::sleep(length, every, || {
            self.check()?;
            if let Some(onlooker) = &mut self.onlooker
                && self.shown.elapsed() >= onlooker.every
            {
                self.shown = Instant::now();
                (onlooker.show)();
            }
            Ok(())
        })
    }

    /// For how long the process or the machine stood still so far.
    pub(crate) fn paused(&self) -> Duration {
        self.patience.paused()
    }

    fn check(&mut self) -> Result<(), Bite> {
        if self.patience.is_over((self.progress)()) {
            Err(Bite)
        } else {
            Ok(())
        }
    }
}

/// What every vCPU is doing right now. A look from outside, at moving things.
pub(crate) fn vcpu_snapshots(live: &Live<'_>) -> Vec<VcpuSnapshot> {
    live.shared.vcbs.iter().map(|vcb| describe(vcb)).collect()
}

/// The same, with what was counted so far.
pub(crate) fn snapshot(live: &Live<'_>, acquisitions: u64, longest_wait_ns: u64) -> Snapshot {
    let calls = || live.shared.vcbs.iter().map(|vcb| &vcb.calls);
    Snapshot {
        vcpus: vcpu_snapshots(live),
        acquisitions,
        longest_wait_ns,
        halts: calls().map(|calls| calls.halts.load(Relaxed)).sum(),
        kicks: calls().map(|calls| calls.kicks.load(Relaxed)).sum(),
        yields: calls()
            .flat_map(|calls| &calls.yields)
            .map(|yields| yields.load(Relaxed))
            .sum(),
    }
}

fn describe(vcb: &Vcb) -> VcpuSnapshot {
    let page = vcb.memory.page(vcb.cpu);
    let state = page.run().state();
    let since = match state {
        RunState::Running => &vcb.time.entered_ticks,
        _ => &vcb.left_ticks,
    };
    // SAFETY: null, or a pCPU of the run that `live` borrows.
    let pcpu = unsafe { vcb.pcpu.load(Relaxed).as_ref() };
    VcpuSnapshot {
        vcpu: vcb.vcpu,
        cpu: vcb.cpu,
        state,
        waiting_for: page.waiting_for(),
        pcpu: pcpu.map(|pcpu| pcpu.index() as u32),
        since_ns: clock::now_ns().saturating_sub(clock::at_ns(since.load(Relaxed))),
    }
}
