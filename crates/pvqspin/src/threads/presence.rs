//! What other threads can see of one.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use pvqspin_abi::{RunSample, RunState};

/// Whether a thread is on a CPU, as far as it tells: only it knows when it gives one away.
#[derive(Debug)]
pub(super) struct Presence(AtomicU32);

impl Presence {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(RunSample::RUNNING.raw()))
    }

    pub(super) fn sample(&self) -> RunSample {
        // Acquire pairs with the release in `set`, as for the page of a vCPU.
        RunSample::from_raw(self.0.load(Acquire))
    }

    pub(super) fn set(&self, state: RunState) {
        // Plain load and store: only the thread itself writes.
        let generation = RunSample::from_raw(self.0.load(Relaxed)).generation();
        let sample = RunSample::new(state, generation.next());
        self.0.store(sample.raw(), Release);
    }
}
