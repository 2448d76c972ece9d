//! What a run is asked to do, and whether it makes sense.

use std::time::Duration;

use pvqspin_abi::MAX_CPUS;
use pvqspin_host::{Config, HeapPages, Host, Scheduling, YieldMode};
use pvqspin_load::{Distribution, Faults, NeighbourVm, Section, WorkloadConfig, WorkloadId};
use pvqspin_rivals::catalog::LockId;

use crate::problem::{ConfigProblem, MIN_SLICE_NS};

/// The shortest warm-up that is chosen without being asked for.
const MIN_WARMUP: Duration = Duration::from_millis(30);
/// The longest.
const MAX_WARMUP: Duration = Duration::from_secs(1);

/// One run: a lock, what is done with it, and on what machine.
///
/// ```
/// use pvqspin_real_time::RunConfig;
///
/// let config = RunConfig { pcpus: 2, vcpus: 8, trace: true, ..RunConfig::default() };
/// assert_eq!(config.slice_ns, 3_000_000);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct RunConfig {
    /// The lock.
    pub lock: LockId,
    /// What every vCPU does with it.
    pub workload: WorkloadConfig,
    /// How many pCPUs, each a thread pinned to a CPU of its own.
    pub pcpus: usize,
    /// How many vCPUs.
    pub vcpus: usize,
    /// The weight of each of them, beside a neighbour.
    pub weight: u32,
    /// Chooses the next vCPU where no guest names one.
    pub scheduling: Scheduling,
    /// What a directed yield is worth.
    pub yields: YieldMode,
    /// How long a vCPU may run in one go, in nanoseconds. Default 3 ms, as Linux's base slice on
    /// machines with eight CPUs and more.
    pub slice_ns: u64,
    /// How long the target of a directed yield may run at least, in nanoseconds.
    pub min_loan_ns: u64,
    /// What a hypercall costs on top of the switch, in nanoseconds. Default 1 µs: an exit to KVM
    /// and back takes 1,100 to 1,500 cycles in the processor alone (AMD, measured by Michael Roth
    /// for KVM in December 2020: 1,344 to 1,376), about 2,500 with KVM's own work.
    pub hypercall_ns: u64,
    /// How long to run before measuring. `None`: one rotation, at least 30 ms: the first slices
    /// of a fair lock, whose queue is still empty, are not representative.
    pub warmup: Option<Duration>,
    /// How long to measure.
    pub duration: Duration,
    /// After how long without any acquisition the run is given up.
    pub watchdog: Duration,
    /// How long a halt may last before the vCPU is woken, and a lost wake-up counted. Longer than
    /// any wait that is merely slow.
    pub halt_timeout: Duration,
    /// Whether to record what happens.
    pub trace: bool,
    /// How many marks of each vCPU are kept then, at most: the latest. A mark takes 16 bytes, and one
    /// acquisition makes up to six.
    pub trace_marks: usize,
    /// Preemptions at chosen points, for tests.
    pub faults: Faults,
    /// A VM beside it.
    pub neighbour: Option<NeighbourVm>,
}

impl Default for RunConfig {
    /// The default lock, alone on one pCPU, 1 µs inside and 2 µs outside, for half a second.
    fn default() -> Self {
        let section = |mean_ns| Section {
            mean_ns,
            distribution: Distribution::Fixed,
        };
        Self {
            lock: LockId::Fifo,
            workload: WorkloadConfig {
                id: WorkloadId::HotLock,
                inside: section(1_000),
                outside: section(2_000),
                seed: 1,
            },
            pcpus: 1,
            vcpus: 1,
            weight: 1024,
            scheduling: Scheduling::Fair,
            yields: YieldMode::Contract,
            slice_ns: 3_000_000,
            min_loan_ns: 100_000,
            hypercall_ns: 1_000,
            warmup: None,
            duration: Duration::from_millis(500),
            watchdog: Duration::from_secs(5),
            halt_timeout: Duration::from_millis(500),
            trace: false,
            trace_marks: 1 << 17,
            faults: Faults::default(),
            neighbour: None,
        }
    }
}

impl RunConfig {
    /// Whether this run makes sense for a process that may use so many CPUs. Drivers ask first of
    /// all.
    ///
    /// # Errors
    ///
    /// The first thing that makes no sense.
    pub fn validate(&self, cpus: usize) -> Result<(), ConfigProblem> {
        self.check_vcpus(self.vcpus)?;
        if let Some(neighbour) = self.neighbour {
            self.check_vcpus(neighbour.vcpus)?;
        }
        if self.pcpus == 0 {
            return Err(ConfigProblem::NoPcpus);
        }
        if self.pcpus > cpus {
            return Err(ConfigProblem::TooManyPcpus {
                asked: self.pcpus,
                available: cpus,
            });
        }
        self.check_times()?;
        // It looks at what only it knows of.
        Host::<HeapPages>::new(self.host())?;
        let missing = (self.faults.0.iter())
            .filter_map(|fault| fault.vcpu)
            .find(|cpu| cpu.index() >= self.vcpus);
        match missing {
            Some(cpu) => Err(ConfigProblem::FaultForNobody {
                cpu,
                vcpus: self.vcpus,
            }),
            None => Ok(()),
        }
    }

    fn check_vcpus(&self, asked: usize) -> Result<(), ConfigProblem> {
        match asked {
            0 => Err(ConfigProblem::NoVcpus),
            1..=MAX_CPUS => Ok(()),
            _ => Err(ConfigProblem::TooManyVcpus { asked }),
        }
    }

    fn check_times(&self) -> Result<(), ConfigProblem> {
        if self.slice_ns < MIN_SLICE_NS {
            return Err(ConfigProblem::SliceTooShort {
                slice_ns: self.slice_ns,
            });
        }
        if self.hypercall_ns >= self.slice_ns {
            return Err(ConfigProblem::HypercallTooLong {
                hypercall_ns: self.hypercall_ns,
                slice_ns: self.slice_ns,
            });
        }
        if self.duration.is_zero() {
            return Err(ConfigProblem::NoDuration);
        }
        if self.watchdog < Duration::from_millis(100) {
            return Err(ConfigProblem::WatchdogTooShort);
        }
        Ok(())
    }

    /// The warm-up, chosen if it was not given.
    #[must_use]
    pub fn warmup(&self) -> Duration {
        self.warmup.unwrap_or_else(|| {
            let neighbours = self.neighbour.map_or(0, |neighbour| neighbour.vcpus);
            let slices = (self.vcpus + neighbours).div_ceil(self.pcpus.max(1)) as u64;
            Duration::from_nanos(slices.saturating_mul(self.slice_ns)).clamp(MIN_WARMUP, MAX_WARMUP)
        })
    }

    /// What the host is asked for.
    #[must_use]
    pub fn host(&self) -> Config {
        Config {
            pcpus: self.pcpus,
            scheduling: self.scheduling,
            yields: self.yields,
            slice_ns: self.slice_ns,
            min_loan_ns: self.min_loan_ns,
            ..Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvqspin::Point;
    use pvqspin_abi::Cpu;
    use pvqspin_load::{Fault, NeighbourKind, Passing};

    const CPUS: usize = 2;

    #[test]
    fn the_default_makes_sense() {
        assert!(RunConfig::default().validate(CPUS).is_ok());
    }

    #[test]
    fn nonsense_is_refused_with_the_reason() {
        let good = RunConfig::default;
        let fault = Fault {
            point: Point::Joined,
            vcpu: Cpu::new(5),
            passing: Passing::Nth(1),
        };
        let neighbour = Some(NeighbourVm {
            kind: NeighbourKind::Busy,
            vcpus: 0,
            weight: 1,
        });
        let cases = [
            (RunConfig { vcpus: 0, ..good() }, "at least one vCPU"),
            (
                RunConfig {
                    vcpus: MAX_CPUS + 1,
                    ..good()
                },
                "can name at most",
            ),
            (RunConfig { pcpus: 0, ..good() }, "at least one pCPU"),
            (RunConfig { pcpus: 3, ..good() }, "may use 2 CPU"),
            (
                RunConfig {
                    slice_ns: 10,
                    ..good()
                },
                "slice of 10 ns",
            ),
            (
                RunConfig {
                    hypercall_ns: 3_000_000,
                    ..good()
                },
                "nothing of a slice",
            ),
            (
                RunConfig {
                    duration: Duration::ZERO,
                    ..good()
                },
                "longer than zero",
            ),
            (
                RunConfig {
                    watchdog: Duration::ZERO,
                    ..good()
                },
                "patience",
            ),
            (
                RunConfig {
                    faults: Faults(vec![fault]),
                    ..good()
                },
                "vCPU 5",
            ),
            (
                RunConfig {
                    neighbour,
                    ..good()
                },
                "at least one vCPU",
            ),
        ];
        for (config, reason) in cases {
            let error = config.validate(CPUS).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error} does not say {reason}");
        }
    }

    #[test]
    fn the_warm_up_lasts_a_rotation() {
        let config = RunConfig {
            pcpus: 2,
            vcpus: 64,
            ..RunConfig::default()
        };
        assert_eq!(config.warmup(), Duration::from_millis(96));
        assert_eq!(RunConfig::default().warmup(), MIN_WARMUP);
    }
}
