//! One run, as every driver is asked for it.
//!
//! ```text
//!                 Run: lock, workload, host, VM, neighbour, faults, times
//!                  |
//!     +------------+----------------+-----------------------------+
//!     v                             v                             v
//!   SimConfig                     HvConfig                      pvqspin-kvm
//!   + costs, topology, jitter     + added cost of a hypercall   takes it as it is
//! ```
//!
//! A driver adds what only that driver can do. It repeats nothing that stands here, so that one
//! description of a run can be given to two drivers.

use pvqspin_abi::{Cpu, MAX_CPUS};
use pvqspin_host::{Config, Scheduling};
use pvqspin_load::{Faults, NeighbourKind, NeighbourVm, Section, WorkloadConfig};
use pvqspin_rivals::catalog::LockId;

/// One run: a lock, its workload, and the machine. Times are in nanoseconds.
///
/// ```
/// use pvqspin_driver_common::Run;
/// use pvqspin_host::Config;
///
/// let run = Run {
///     vcpus: 8,
///     host: Config { pcpus: 2, ..Run::default().host },
///     ..Run::default()
/// };
/// assert_eq!(run.host.slice_ns, 3_000_000);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct Run {
    /// The lock.
    pub lock: LockId,
    /// What every vCPU does with the lock. Its seed draws the lengths of sections.
    pub workload: WorkloadConfig,
    /// The host: pCPUs, scheduling, slices, what a directed yield is worth.
    pub host: Config,
    /// How many vCPUs a VM has.
    pub vcpus: usize,
    /// The weight of each of them, beside a neighbour.
    pub weight: u32,
    /// A VM that takes no locks, beside the one that does.
    pub neighbour: Option<NeighbourVm>,
    /// Preemptions at chosen points.
    pub faults: Faults,
    /// How long to run before measuring. `None`: the driver chooses.
    pub warmup_ns: Option<u64>,
    /// How long to measure.
    pub duration_ns: u64,
    /// After how long without any acquisition the run is given up. `None`: the driver chooses.
    pub stall_after_ns: Option<u64>,
    /// How long a halt may last before it counts as a lost wake-up. `None`: the driver chooses.
    pub halt_timeout_ns: Option<u64>,
    /// Whether to record every event, and not only the last few.
    pub trace: bool,
}

impl Default for Run {
    /// The default lock, alone on one pCPU of the default host, 1 µs inside and 2 µs outside, for
    /// 100 ms.
    fn default() -> Self {
        Self {
            lock: LockId::Fifo,
            workload: WorkloadConfig::hot_lock(Section::fixed(1_000), Section::fixed(2_000), 1),
            host: Config::default(),
            vcpus: 1,
            weight: 1024,
            neighbour: None,
            faults: Faults::default(),
            warmup_ns: None,
            duration_ns: 100_000_000,
            stall_after_ns: None,
            halt_timeout_ns: None,
            trace: false,
        }
    }
}

/// A run that makes no sense for any driver.
#[derive(Debug, thiserror::Error)]
pub enum RunProblem {
    /// A VM without vCPUs.
    #[error("a VM needs at least one vCPU")]
    NoVcpus,
    /// More vCPUs than a lock word can name.
    #[error("{asked} vCPUs asked for, a lock word can name at most {MAX_CPUS}")]
    TooManyVcpus {
        /// How many were asked for.
        asked: usize,
    },
    /// No pCPUs.
    #[error("the host needs at least one pCPU")]
    NoPcpus,
    /// A fault for a vCPU that does not exist.
    #[error("a fault is armed for vCPU {cpu}, but there are only {vcpus}")]
    FaultBeyond {
        /// The vCPU that it names.
        cpu: Cpu,
        /// How many there are.
        vcpus: usize,
    },
}

impl Run {
    /// The same run after a change.
    ///
    /// ```
    /// use pvqspin_driver_common::Run;
    ///
    /// let run = Run::default().with(|run| run.host.pcpus = 64);
    /// assert_eq!(run.host.pcpus, 64);
    /// ```
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Checks what holds for every driver.
    ///
    /// # Errors
    ///
    /// The first thing that makes no sense.
    pub fn check(&self) -> Result<(), RunProblem> {
        let neighbours = self.neighbour.map(|neighbour| neighbour.vcpus);
        for asked in [Some(self.vcpus), neighbours].into_iter().flatten() {
            match asked {
                0 => return Err(RunProblem::NoVcpus),
                1..=MAX_CPUS => {}
                _ => return Err(RunProblem::TooManyVcpus { asked }),
            }
        }
        if self.host.pcpus == 0 {
            return Err(RunProblem::NoPcpus);
        }
        let missing = (self.faults.0.iter())
            .filter_map(|fault| fault.vcpu)
            .find(|cpu| cpu.index() >= self.vcpus);
        match missing {
            Some(cpu) => Err(RunProblem::FaultBeyond {
                cpu,
                vcpus: self.vcpus,
            }),
            None => Ok(()),
        }
    }

    /// The neighbour's vCPUs: 0 without a neighbour.
    #[must_use]
    pub fn neighbour_vcpus(&self) -> usize {
        self.neighbour.map_or(0, |neighbour| neighbour.vcpus)
    }

    /// The pCPUs that the neighbour's weight entitles it to, in pCPUs, beside `vms` VMs like this
    /// one. A VM cannot use more pCPUs than it has vCPUs; the rest goes to the others. `None`
    /// without a neighbour that computes.
    #[must_use]
    pub fn neighbour_share(&self, vms: usize) -> Option<f64> {
        let computes = |neighbour: &NeighbourVm| neighbour.kind == NeighbourKind::Busy;
        let neighbour = self.neighbour.filter(computes)?;
        let weighs = |weight: u32| match self.host.scheduling {
            // Round robin knows no weights. (Gangs do; one with fewer vCPUs than there are pCPUs
            // gets less than this, as the rest of its turn is unused.)
            Scheduling::RoundRobin => 1.0,
            _ => f64::from(weight),
        };
        let pcpus = self.host.pcpus as f64;
        let (own, theirs) = ((vms * self.vcpus) as f64, neighbour.vcpus as f64);
        let own_weight = own * weighs(self.weight);
        let their_weight = theirs * weighs(neighbour.weight);
        let by_weight = pcpus * their_weight / (own_weight + their_weight);
        Some(by_weight.max(pcpus - own).min(theirs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvqspin::Point;
    use pvqspin_load::{Fault, Passing};

    fn neighbour(vcpus: usize, weight: u32) -> Option<NeighbourVm> {
        Some(NeighbourVm {
            kind: NeighbourKind::Busy,
            vcpus,
            weight,
        })
    }

    #[test]
    fn nonsense_is_refused_with_the_reason() {
        let good = Run::default;
        assert!(good().check().is_ok());
        let fault = Fault {
            point: Point::Joined,
            vcpu: Cpu::new(5),
            passing: Passing::Nth(1),
        };
        for (run, reason) in [
            (good().with(|run| run.vcpus = 0), "at least one vCPU"),
            (
                good().with(|run| run.vcpus = MAX_CPUS + 1),
                "can name at most",
            ),
            (
                good().with(|run| run.neighbour = neighbour(0, 1)),
                "at least one vCPU",
            ),
            (good().with(|run| run.host.pcpus = 0), "at least one pCPU"),
            (
                good().with(|run| run.faults = Faults(vec![fault])),
                "vCPU 5",
            ),
        ] {
            let error = run.check().expect_err(reason).to_string();
            assert!(error.contains(reason), "{error} does not say {reason}");
        }
    }

    #[test]
    fn a_neighbours_share_follows_weights_and_what_can_be_used() {
        let share = |pcpus, vcpus, neighbours, weight, scheduling| {
            let run = Run::default().with(|run| {
                (run.host.pcpus, run.host.scheduling) = (pcpus, scheduling);
                (run.vcpus, run.weight) = (vcpus, 100);
                run.neighbour = neighbour(neighbours, weight);
            });
            run.neighbour_share(1)
        };
        assert_eq!(share(2, 4, 4, 100, Scheduling::Fair), Some(1.0));
        assert_eq!(share(2, 4, 4, 300, Scheduling::Fair), Some(1.5));
        assert_eq!(share(2, 4, 4, 300, Scheduling::RoundRobin), Some(1.0));
        assert_eq!(share(4, 1, 4, 100, Scheduling::Fair), Some(3.2));
        assert_eq!(share(4, 1, 2, 100, Scheduling::Fair), Some(2.0));
        assert_eq!(share(4, 1, 4, 1, Scheduling::Fair), Some(3.0));
        assert_eq!(Run::default().neighbour_share(1), None);
    }
}
