//! What one virtual CPU writes down about its own sections.
//!
//! Written by its virtual CPU alone, with relaxed loads and stores; read by the driver, at the
//! end or, to watch progress, at any time.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

use crate::histogram::{BUCKETS, Histogram};

/// How long a window is, over which fairness is judged, in nanoseconds.
pub const WINDOW_NS: u64 = 100_000_000;

/// How many windows a record holds: 102 s. What comes later counts in no window.
pub const WINDOWS: usize = 1_024;

/// What no count of one CPU reaches, be it of acquisitions or of nanoseconds: 275 s. A sum over all
/// buckets of both histograms of all CPUs that a lock word can name stays below 2^64.
pub const IMPLAUSIBLE: u64 = 1 << 38;

const _: () = assert!(
    (2 * BUCKETS as u128) * (pvqspin_abi::MAX_CPUS as u128) * (IMPLAUSIBLE as u128) < 1 << 64
);

/// A count that one CPU writes.
#[derive(Debug, Default)]
#[repr(transparent)]
pub(crate) struct Count(AtomicU64);

impl Count {
    pub(crate) const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }

    // Load and store instead of one atomic step: a single CPU writes.
    #[inline]
    pub(crate) fn add(&self, value: u64) {
        self.set(self.get().wrapping_add(value));
    }
}

/// Sections of one kind that were measured: those in which their CPU was never preempted.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Measured {
    pub(crate) sum_ns: Count,
    pub(crate) sections: Count,
}

impl Measured {
    pub(crate) const fn new() -> Self {
        Self {
            sum_ns: Count::new(),
            sections: Count::new(),
        }
    }

    #[inline]
    pub(crate) fn add(&self, ns: u64) {
        self.sum_ns.add(ns);
        self.sections.add(1);
    }
}

/// How many kinds of locks a workload may have.
pub const CLASSES: usize = 4;

/// What one CPU did with the locks of one kind, while measuring.
#[derive(Debug, Default)]
#[repr(C)]
pub(crate) struct Use {
    pub(crate) acquisitions: Count,
    pub(crate) held: Measured,
}

impl Use {
    const fn new() -> Self {
        Self {
            acquisitions: Count::new(),
            held: Measured::new(),
        }
    }

    fn reset(&self) {
        self.acquisitions.set(0);
        self.held.sum_ns.set(0);
        self.held.sections.set(0);
    }
}

/// What one virtual CPU writes down. The driver has one for each.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct Record {
    /// Sections while measuring.
    pub(crate) acquisitions: Count,
    /// Of those, the ones inside another, or in an interrupt.
    pub(crate) nested: Count,
    /// What the workload counts by itself, while measuring.
    pub(crate) units: Count,
    uses: [Use; CLASSES],
    /// Sections in all phases.
    pub(crate) all_acquisitions: Count,
    /// How often another vCPU was found in a critical section.
    pub(crate) violations: Count,
    pub(crate) lhp: Count,
    pub(crate) lwp: Count,
    pub(crate) wasted_before_ns: Count,
    pub(crate) wasted_after_ns: Count,
    pub(crate) inside: Measured,
    pub(crate) outside: Measured,
    pub(crate) wait: Histogram,
    pub(crate) call: Histogram,
    windows: [AtomicU32; WINDOWS],
}

impl Record {
    /// An empty record.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            acquisitions: Count::new(),
            nested: Count::new(),
            units: Count::new(),
            uses: [const { Use::new() }; CLASSES],
            all_acquisitions: Count::new(),
            violations: Count::new(),
            lhp: Count::new(),
            lwp: Count::new(),
            wasted_before_ns: Count::new(),
            wasted_after_ns: Count::new(),
            inside: Measured::new(),
            outside: Measured::new(),
            wait: Histogram::new(),
            call: Histogram::new(),
            windows: [const { AtomicU32::new(0) }; WINDOWS],
        }
    }

    /// Sections so far while measuring. Drivers watch it to see that there is progress.
    #[must_use]
    pub fn acquisitions(&self) -> u64 {
        self.acquisitions.get()
    }

    /// What the workload has counted by itself so far while measuring: its natural unit.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.units.get()
    }

    /// Sections so far in all phases, the warm-up too.
    #[must_use]
    pub fn all_acquisitions(&self) -> u64 {
        self.all_acquisitions.get()
    }

    /// The longest wait so far while measuring, in ns.
    #[must_use]
    pub fn longest_wait_ns(&self) -> u64 {
        self.wait.max()
    }

    /// What it did with the locks of one kind.
    #[inline]
    pub(crate) fn use_of(&self, class: usize) -> &Use {
        // In range in every workload, which a test checks; guest code must not hold a panic.
        &self.uses[class % CLASSES]
    }

    /// Own time wasted while measuring, in ns.
    #[must_use]
    pub fn wasted_ns(&self) -> u64 {
        let after = self.wasted_after_ns.get();
        after.saturating_sub(self.wasted_before_ns.get())
    }

    /// Acquisitions in each window of [`WINDOW_NS`] since measuring began.
    pub fn windows(&self) -> impl Iterator<Item = u32> {
        self.windows.iter().map(|count| count.load(Relaxed))
    }

    /// Counts one acquisition, so many nanoseconds after measuring began.
    #[inline]
    pub(crate) fn count_in_window(&self, since_ns: u64) {
        if let Some(count) = self.windows.get((since_ns / WINDOW_NS) as usize) {
            count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        }
    }

    /// Whether this can be what a virtual CPU has written down, for records that come out of the
    /// memory of a guest that can write anything there. Nothing overflows when such records are
    /// summarised, however many CPUs there are.
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let counts = [
            &self.acquisitions,
            &self.nested,
            &self.units,
            &self.all_acquisitions,
            &self.violations,
            &self.lhp,
            &self.lwp,
            &self.wasted_before_ns,
            &self.wasted_after_ns,
            &self.inside.sum_ns,
            &self.inside.sections,
            &self.outside.sum_ns,
            &self.outside.sections,
        ];
        let of_uses = self.uses.iter().flat_map(|of_class| {
            let Use { acquisitions, held } = of_class;
            [acquisitions, &held.sum_ns, &held.sections]
        });
        let small = |count: &Count| count.get() < IMPLAUSIBLE;
        counts.into_iter().chain(of_uses).all(small)
            && self.wait.is_below(IMPLAUSIBLE)
            && self.call.is_below(IMPLAUSIBLE)
    }

    /// Forgets what was measured so far. Totals over all phases, and violations, stay.
    pub(crate) fn restart(&self) {
        let counts = [
            &self.acquisitions,
            &self.nested,
            &self.units,
            &self.lhp,
            &self.lwp,
            &self.inside.sum_ns,
            &self.inside.sections,
            &self.outside.sum_ns,
            &self.outside.sections,
        ];
        counts.iter().for_each(|count| count.set(0));
        self.uses.iter().for_each(Use::reset);
        self.wait.reset();
        self.call.reset();
        self.windows
            .iter()
            .for_each(|count| count.store(0, Relaxed));
    }
}

impl Default for Record {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_senseless_number_anywhere_is_noticed() {
        let record = Record::new();
        assert!(record.is_plausible());
        record.wait.record(3_000_000);
        record.use_of(1).held.add(1_000);
        assert!(record.is_plausible());
        record.use_of(CLASSES - 1).held.sum_ns.set(IMPLAUSIBLE);
        assert!(!record.is_plausible(), "in the last field of a kind");
        record.use_of(CLASSES - 1).held.sum_ns.set(0);
        record.call.record(IMPLAUSIBLE);
        assert!(!record.is_plausible(), "a maximum");
    }
}
