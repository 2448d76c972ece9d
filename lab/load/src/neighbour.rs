//! The neighbour: a VM that takes no locks, beside one that does.
//!
//! Whatever the locks next door do with their pCPU time, this one must get its share. It only
//! computes, in units of fixed length, and counts them.

use crate::control::{Control, Phase};
use crate::guest::Guest;
use crate::record::{Count, IMPLAUSIBLE, Measured};

/// What one virtual CPU of a neighbour writes down.
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct NeighbourRecord {
    units: Count,
    measured: Measured,
}

impl NeighbourRecord {
    /// An empty record.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            units: Count::new(),
            measured: Measured::new(),
        }
    }

    /// Whether this can be what a virtual CPU has written down: see
    /// [`Record::is_plausible`](crate::Record::is_plausible).
    #[must_use]
    pub fn is_plausible(&self) -> bool {
        let counts = [&self.units, &self.measured.sum_ns, &self.measured.sections];
        counts.iter().all(|count| count.get() < IMPLAUSIBLE)
    }

    /// Units finished while measuring.
    #[must_use]
    pub fn units(&self) -> u64 {
        self.units.get()
    }
}

/// What a neighbour does.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum NeighbourKind {
    /// It computes all the time.
    #[default]
    Busy,
    /// It sleeps for good: its virtual CPUs are done as soon as they run.
    Halted,
}

impl NeighbourKind {
    /// Every kind.
    pub const ALL: [Self; 2] = [Self::Busy, Self::Halted];

    /// Its name on command lines.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Busy => "busy",
            Self::Halted => "halted",
        }
    }

    /// What one virtual CPU of the neighbour does, until [`Phase::Stop`] at the latest.
    pub fn run_vcpu<E: Guest>(self, control: &Control, record: &NeighbourRecord) {
        match self {
            Self::Busy => Neighbour::default().run_vcpu::<E>(control, record),
            Self::Halted => {}
        }
    }
}

/// A second VM beside the one that locks: it takes no locks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NeighbourVm {
    /// What it does.
    pub kind: NeighbourKind,
    /// How many vCPUs it has.
    pub vcpus: usize,
    /// The weight of each of them. What those of the locking VM weigh is in the run's configuration.
    pub weight: u32,
}

/// A workload that computes and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct Neighbour {
    unit_ns: u32,
}

impl Neighbour {
    /// A neighbour whose units last about so long. Units are counted when they end, so one should
    /// be short beside a slice.
    #[must_use]
    pub const fn new(unit_ns: u32) -> Self {
        Self { unit_ns }
    }

    /// What one virtual CPU of the neighbour does, until [`Phase::Stop`].
    pub fn run_vcpu<E: Guest>(&self, control: &Control, record: &NeighbourRecord) {
        let me = E::cpu();
        loop {
            let began = E::now_ns();
            let generation = E::run_sample(me).generation();
            E::compute(self.unit_ns);
            match control.phase() {
                Phase::Warmup => {}
                Phase::Measure => {
                    record.units.add(1);
                    if E::run_sample(me).generation() == generation {
                        record.measured.add(E::now_ns().saturating_sub(began));
                    }
                }
                Phase::Stop => return,
            }
        }
    }
}

impl Default for Neighbour {
    /// Units of 10 µs: far shorter than a slice, far longer than counting one.
    fn default() -> Self {
        Self::new(10_000)
    }
}

/// The neighbour's throughput over what its share would give: 1 when the VM beside it costs it
/// nothing, and 0 when it never ran. `share` is its part of all pCPU time, in pCPUs. `None` if it worked, and
/// every unit of it was preempted.
///
/// Work is counted in pCPU time, with the length of a unit as it was measured in units that no
/// preemption fell into.
#[must_use]
pub fn throughput_over_share(
    records: &[NeighbourRecord],
    duration_ns: u64,
    share: f64,
) -> Option<f64> {
    let sum = |of: fn(&NeighbourRecord) -> &Count| -> f64 {
        records.iter().map(|record| of(record).get() as f64).sum()
    };
    if sum(|record| &record.units) == 0.0 {
        return Some(0.0);
    }
    let unit_ns = sum(|record| &record.measured.sum_ns) / sum(|record| &record.measured.sections);
    let ratio = sum(|record| &record.units) * unit_ns / (duration_ns as f64 * share);
    ratio.is_finite().then_some(ratio)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_compared_with_the_share() {
        let records = [NeighbourRecord::new(), NeighbourRecord::new()];
        let ratio = throughput_over_share(&records, 1_000_000, 0.5);
        assert_eq!(ratio, Some(0.0), "one that starves is told");
        for record in &records {
            record.units.set(24);
            record.measured.add(10_000);
            record.measured.add(12_000);
        }
        // 48 units of 11 µs in 1 ms of one pCPU and a half.
        let ratio = throughput_over_share(&records, 1_000_000, 1.5).expect("measured");
        assert!((ratio - 0.352).abs() < 1e-9, "{ratio}");
    }
}
