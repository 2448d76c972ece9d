//! What all records of a run say together.

use alloc::vec::Vec;

use pvqspin_abi::Status;

use crate::histogram::Merged;
use crate::record::{CLASSES, Measured, Record, WINDOW_NS, WINDOWS};
use crate::workload::Account;

/// Quantiles of a duration, in nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Quantiles {
    /// The median.
    pub p50: u64,
    /// 99 %.
    pub p99: u64,
    /// 99.9 %.
    pub p999: u64,
    /// 99.99 %.
    pub p9999: u64,
    /// The longest, exactly.
    pub max: u64,
}

impl From<&Merged> for Quantiles {
    fn from(merged: &Merged) -> Self {
        Self {
            p50: merged.quantile(5_000),
            p99: merged.quantile(9_900),
            p999: merged.quantile(9_990),
            p9999: merged.quantile(9_999),
            max: merged.max(),
        }
    }
}

/// Hypercalls by kind.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Hypercalls {
    /// Halts.
    pub halt: u64,
    /// Kicks.
    pub kick: u64,
    /// Directed yields.
    pub yield_to: u64,
}

/// Directed yields by what became of them.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct YieldResults {
    /// The target ran.
    pub ran: u64,
    /// It ran already.
    pub already_running: u64,
    /// It had run since the caller looked.
    pub stale: u64,
    /// The host would not.
    pub refused: u64,
}

impl From<[u64; 4]> for YieldResults {
    /// How often each [`Status`] came back, by its number.
    fn from(counts: [u64; 4]) -> Self {
        let of = |status: Status| counts[status as usize];
        Self {
            ran: of(Status::Ran),
            already_running: of(Status::AlreadyRunning),
            stale: of(Status::Stale),
            refused: of(Status::Refused),
        }
    }
}

/// How the acquisitions of a workload spread over its locks, and over its rounds.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct LockLoad {
    /// For how long the busiest lock is held for each acquisition of any lock, in ns: the largest
    /// f C, with f the lock's share of all acquisitions and C the mean time for which it is held.
    /// With one lock it is C. Not a number if nothing was measured; then one lock is assumed.
    pub busiest_ns: f64,
    /// Acquisitions for each outermost section: 1 unless sections lie inside each other.
    pub per_round: f64,
}

impl Default for LockLoad {
    fn default() -> Self {
        Self {
            busiest_ns: f64::NAN,
            per_round: 1.0,
        }
    }
}

/// The outcome of one run.
///
/// [`summarise`] fills in what the guests know by themselves. The driver adds `hypercalls`,
/// `yields`, `events`, `neighbour`, `halt_timeouts` and `waits_over_slice`.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Outcome {
    /// How long was measured, in ns.
    pub duration_ns: u64,
    /// Critical sections in that time.
    pub acquisitions: u64,
    /// What the workload is counted in, in the plural: its natural unit.
    pub unit: &'static str,
    /// How many of them in that time.
    pub units: u64,
    /// How the acquisitions spread over the locks.
    pub load: LockLoad,
    /// The same for each virtual CPU.
    pub per_vcpu: Vec<u64>,
    /// Jain's index over the virtual CPUs, in windows of 100 ms, averaged. 1 is perfectly fair.
    pub jain: f64,
    /// From joining the queue to holding the lock. The fast path waits 0.
    pub wait: Quantiles,
    /// All waits: every length that occurred, to 1.6 %, in ns, and how often; ascending.
    pub wait_counts: Vec<(u64, u64)>,
    /// From the call to holding the lock.
    pub call: Quantiles,
    /// How often a virtual CPU lost its pCPU while it held the lock.
    pub lhp: u64,
    /// How often the lock went to a virtual CPU that was waiting and not running.
    pub lwp: u64,
    /// pCPU time spent spinning while another vCPU had to wait for a pCPU, in ns.
    pub wasted_ns: u64,
    /// The mean critical section that no preemption fell into, in ns. Not a number if none was
    /// measured.
    pub inside_measured_ns: f64,
    /// The mean work between two of them, likewise.
    pub outside_measured_ns: f64,
    /// Hypercalls by kind.
    pub hypercalls: Hypercalls,
    /// Yields by result.
    pub yields: YieldResults,
    /// Events of our own locks, by name.
    pub events: Vec<(&'static str, u64)>,
    /// How often two virtual CPUs were in the critical section at once. Anything but 0 is a bug.
    pub exclusion_violations: u64,
    /// The neighbour's throughput over its share, if there was one.
    pub neighbour: Option<f64>,
    /// Halts that no kick ended. Anything but 0 is a bug.
    pub halt_timeouts: u64,
    /// Waits that were longer than a slice.
    pub waits_over_slice: u64,
}

/// What the guests alone know about a run of `duration_ns`. Call it when all of them returned.
#[must_use]
pub fn summarise(records: &[Record], account: &Account, duration_ns: u64) -> Outcome {
    let per_vcpu: Vec<u64> = records.iter().map(Record::acquisitions).collect();
    let sum = |of: fn(&Record) -> u64| records.iter().map(of).sum::<u64>();
    let waits = Merged::new(records.iter().map(|record| &record.wait));
    Outcome {
        duration_ns,
        acquisitions: per_vcpu.iter().sum(),
        unit: account.id.entry().unit,
        units: sum(|record| record.units.get()),
        load: load(records, &account.class_sizes),
        jain: mean_jain(records, &per_vcpu, duration_ns),
        per_vcpu,
        wait: Quantiles::from(&waits),
        wait_counts: waits.counts(),
        call: Quantiles::from(&Merged::new(records.iter().map(|record| &record.call))),
        lhp: sum(|record| record.lhp.get()),
        lwp: sum(|record| record.lwp.get()),
        wasted_ns: sum(Record::wasted_ns),
        inside_measured_ns: mean(records, |record| &record.inside),
        outside_measured_ns: mean(records, |record| &record.outside),
        exclusion_violations: sum(|record| record.violations.get())
            + lost_counts(records, account.entered),
        ..Outcome::default()
    }
}

/// How many waits, from joining the queue, were longer than `ns` (to 3 %).
#[must_use]
pub fn waits_over(records: &[Record], ns: u64) -> u64 {
    let over = |record: &Record| record.wait.count_over(ns);
    records.iter().map(over).sum()
}

/// The most critical sections per second that any lock can do, with `inside_ns` in the outermost
/// lock and `outside_ns` between: limited by the busiest lock, by the pCPUs, or by the virtual
/// CPUs.
///
/// ```text
///   min( 1 / max f C,  r P / (C + N),  r V / (C + N) )      r: acquisitions for each round
/// ```
///
/// With one lock and nothing inside each other that is `min(1/C, P/(C+N), V/(C+N))`. Where an
/// interrupt takes locks over a wait, its own time is not in the rounds: the bound is generous by
/// so much.
///
/// ```
/// use pvqspin_load::{LockLoad, bound_per_s};
///
/// let one = |inside_ns| LockLoad { busiest_ns: inside_ns, per_round: 1.0 };
/// assert_eq!(bound_per_s(one(1_000.0), 1_000.0, 2_000.0, 8, 8), 1e6); // the lock
/// assert_eq!(bound_per_s(one(1_000.0), 1_000.0, 3_000.0, 2, 8), 5e5); // the pCPUs
/// assert_eq!(bound_per_s(one(1_000.0), 1_000.0, 3_000.0, 2, 1), 2.5e5); // one virtual CPU alone
///
/// // Two locks that share the work evenly can be taken twice as often as one.
/// let two = LockLoad { busiest_ns: 500.0, per_round: 1.0 };
/// assert_eq!(bound_per_s(two, 1_000.0, 0.0, 8, 8), 2e6);
/// ```
#[must_use]
pub fn bound_per_s(
    load: LockLoad,
    inside_ns: f64,
    outside_ns: f64,
    pcpus: usize,
    vcpus: usize,
) -> f64 {
    let round_ns = inside_ns + outside_ns;
    // Nothing is known about the locks: take it that there is one.
    let busiest_ns = if load.busiest_ns.is_nan() {
        inside_ns
    } else {
        load.busiest_ns
    };
    let by_lock = 1e9 / busiest_ns;
    let by_pcpus = 1e9 * load.per_round * pcpus as f64 / round_ns;
    let by_vcpus = 1e9 * load.per_round * vcpus as f64 / round_ns;
    by_lock.min(by_pcpus).min(by_vcpus)
}

/// Jain's index: 1 if all are equal, 1/n if one has everything; `None` if all are zero.
#[must_use]
pub fn jain(shares: impl Iterator<Item = u64>) -> Option<f64> {
    let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for share in shares {
        let share = share as f64;
        count += 1.0;
        sum += share;
        squares += share * share;
    }
    (squares > 0.0).then(|| sum * sum / (count * squares))
}

/// Jain's index of each whole window, averaged; over the whole run if it was shorter than one.
/// Windows in which no vCPU got the lock say nothing about fairness; 0 if there are no others.
fn mean_jain(records: &[Record], per_vcpu: &[u64], duration_ns: u64) -> f64 {
    let windows = usize::try_from(duration_ns / WINDOW_NS).map_or(WINDOWS, |n| n.min(WINDOWS));
    if windows == 0 {
        return jain(per_vcpu.iter().copied()).unwrap_or(0.0);
    }
    let counts: Vec<Vec<u32>> = records
        .iter()
        .map(|record| record.windows().take(windows).collect())
        .collect();
    let of_window = |window: usize| jain(counts.iter().map(|counts| counts[window].into()));
    let (mut sum, mut judged) = (0.0, 0.0);
    for index in (0..windows).filter_map(of_window) {
        sum += index;
        judged += 1.0;
    }
    if judged > 0.0 { sum / judged } else { 0.0 }
}

fn mean(records: &[Record], of: fn(&Record) -> &Measured) -> f64 {
    let sum: u64 = records.iter().map(|record| of(record).sum_ns.get()).sum();
    let sections: u64 = records.iter().map(|record| of(record).sections.get()).sum();
    sum as f64 / sections as f64
}

/// How the acquisitions spread over locks and rounds. What was never measured on its own is taken
/// to be held as long as the rest.
fn load(records: &[Record], class_sizes: &[usize]) -> LockLoad {
    let count = |of: &dyn Fn(&Record) -> u64| records.iter().map(of).sum::<u64>() as f64;
    let all = count(&|record| record.acquisitions.get());
    let rounds = all - count(&|record| record.nested.get());
    let inside_ns = mean(records, |record| &record.inside);
    let busiest_ns = (class_sizes.iter().take(CLASSES).enumerate())
        .map(|(class, &locks)| {
            let taken = count(&|record| record.use_of(class).acquisitions.get());
            let held = count(&|record| record.use_of(class).held.sum_ns.get())
                / count(&|record| record.use_of(class).held.sections.get());
            let held = if held.is_finite() { held } else { inside_ns };
            taken * held / (all * locks as f64)
        })
        .fold(f64::NAN, f64::max);
    LockLoad {
        busiest_ns,
        per_round: if rounds > 0.0 { all / rounds } else { 1.0 },
    }
}

/// By how much the locks' own counters differ from the sum of all sections: two CPUs that were
/// inside at once may have lost a count without noticing each other.
fn lost_counts(records: &[Record], entered: u64) -> u64 {
    let done = records.iter().map(Record::all_acquisitions).sum();
    entered.abs_diff(done)
}

#[cfg(test)]
mod tests;
