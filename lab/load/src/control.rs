//! The phase of a run, as the driver sets it and every virtual CPU reads it.
//!
//! ```text
//!   Warmup ──measure(now)──► Measure ──stop()──► Stop
//!      └──────────────────stop()─────────────────►┘
//! ```

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicU64};

/// Where a run stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Phase {
    /// Work, and write nothing down.
    Warmup = 0,
    /// Work, and write everything down.
    Measure = 1,
    /// Finish the section, release what is held, and return.
    Stop = 2,
}

/// The phase, shared by a driver and all virtual CPUs of a VM.
///
/// Every section reads it and hardly anything writes it, so it has cache lines of its own.
///
/// ```
/// use pvqspin_load::{Control, Phase};
///
/// let control = Control::new();
/// assert_eq!(control.phase(), Phase::Warmup);
/// control.measure(1_000);
/// assert_eq!((control.phase(), control.measuring_since_ns()), (Phase::Measure, 1_000));
/// control.stop();
/// assert_eq!(control.phase(), Phase::Stop);
/// ```
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Control {
    phase: AtomicU32,
    measuring_since_ns: AtomicU64,
}

impl Control {
    /// A run in its warm-up.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            phase: AtomicU32::new(Phase::Warmup as u32),
            measuring_since_ns: AtomicU64::new(0),
        }
    }

    /// Starts measuring. `now_ns` is on the clock of [`Env::now_ns`](pvqspin::Env::now_ns).
    pub fn measure(&self, now_ns: u64) {
        self.measuring_since_ns.store(now_ns, Relaxed);
        // Release pairs with the acquire in `phase`: who sees the phase sees when it began.
        self.phase.store(Phase::Measure as u32, Release);
    }

    /// Ends the run. Every virtual CPU returns after the section that it is in.
    pub fn stop(&self) {
        self.phase.store(Phase::Stop as u32, Release);
    }

    /// The phase now.
    #[must_use]
    #[inline]
    pub fn phase(&self) -> Phase {
        // Acquire pairs with the release in `measure`.
        match self.phase.load(Acquire) {
            0 => Phase::Warmup,
            1 => Phase::Measure,
            _ => Phase::Stop,
        }
    }

    /// When [`measure`](Self::measure) was called; 0 if it was not.
    #[must_use]
    #[inline]
    pub fn measuring_since_ns(&self) -> u64 {
        self.measuring_since_ns.load(Relaxed)
    }
}

impl Default for Control {
    fn default() -> Self {
        Self::new()
    }
}
