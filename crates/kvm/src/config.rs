//! What a run is asked to do, and whether it makes sense.

use std::time::Duration;

use pvqspin_abi::MAX_CPUS;
use pvqspin_host::{Config, Scheduling, YieldMode};
use pvqspin_kvm_boot::{Role, Transport};
use pvqspin_workload::NeighbourKind;

use crate::error::ConfigProblem;
use crate::image::Image;
use crate::setup::Cpl;

/// The shortest slice, in nanoseconds: an exit, a signal and a change of threads take some tens of
/// microseconds where KVM itself is nested.
pub const MIN_SLICE_NS: u64 = 200_000;

/// The shortest warm-up that is chosen without being asked for.
const MIN_WARMUP: Duration = Duration::from_millis(30);
/// The longest.
const MAX_WARMUP: Duration = Duration::from_secs(1);

/// A second VM beside the one that locks: it takes no locks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// What it does.
    pub kind: NeighbourKind,
    /// How many vCPUs it has.
    pub vcpus: usize,
    /// The weight of each of them. Those of the locking VM weigh [`RunConfig::weight`].
    pub weight: u32,
}

/// One run: what the guest does, and on what machine.
#[derive(Clone, Debug)]
pub struct RunConfig {
    /// The guest.
    pub image: Image,
    /// What it does.
    pub role: Role,
    /// How it reaches its hypervisor.
    pub transport: Transport,
    /// At which privilege level it runs.
    pub cpl: Cpl,
    /// How many pCPUs, each a CPU of this machine.
    pub pcpus: usize,
    /// How many vCPUs.
    pub vcpus: usize,
    /// The weight of each of them, beside a neighbour.
    pub weight: u32,
    /// Who runs next when nobody named anybody.
    pub scheduling: Scheduling,
    /// What a directed yield is worth.
    pub yields: YieldMode,
    /// How long a vCPU may run in one go, in nanoseconds.
    pub slice_ns: u64,
    /// How long the target of a directed yield may run at least, in nanoseconds.
    pub min_loan_ns: u64,
    /// How long to run before measuring. `None`: one rotation, at least 30 ms.
    pub warmup: Option<Duration>,
    /// How long to measure.
    pub duration: Duration,
    /// After how long without any acquisition the run is given up.
    pub watchdog: Duration,
    /// How long a halt may last before the vCPU is woken, and a lost wake-up counted.
    pub halt_timeout: Duration,
    /// A VM beside it.
    pub neighbour: Option<Neighbour>,
}

impl RunConfig {
    /// One vCPU on one pCPU, half a second, with the host's own defaults.
    #[must_use]
    pub fn new(image: Image, role: Role) -> Self {
        let host = Config::default();
        Self {
            image,
            role,
            transport: Transport::Doorbell,
            cpl: Cpl::Three,
            pcpus: 1,
            vcpus: 1,
            weight: 1024,
            scheduling: host.scheduling,
            yields: host.yields,
            slice_ns: host.slice_ns,
            min_loan_ns: host.min_loan_ns,
            warmup: None,
            duration: Duration::from_millis(500),
            watchdog: Duration::from_secs(5),
            halt_timeout: Duration::from_millis(500),
            neighbour: None,
        }
    }

    /// Whether this run makes sense, with so many CPUs and so many vCPUs in a VM.
    ///
    /// # Errors
    ///
    /// The first thing that makes no sense.
    pub fn validate(&self, cpus: usize, vcpus_in_kvm: usize) -> Result<(), ConfigProblem> {
        let neighbour = self.neighbour.map(|neighbour| neighbour.vcpus);
        for asked in [Some(self.vcpus), neighbour].into_iter().flatten() {
            match asked {
                0 => return Err(ConfigProblem::NoVcpus),
                _ if asked > MAX_CPUS => return Err(ConfigProblem::TooManyForWord { asked }),
                _ if asked > vcpus_in_kvm => {
                    return Err(ConfigProblem::TooManyForKvm {
                        asked,
                        allowed: vcpus_in_kvm,
                    });
                }
                _ => {}
            }
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
        if self.slice_ns < MIN_SLICE_NS {
            return Err(ConfigProblem::SliceTooShort {
                slice_ns: self.slice_ns,
                shortest: MIN_SLICE_NS,
            });
        }
        if self.transport.is_stock() && self.cpl != Cpl::Zero {
            return Err(ConfigProblem::StockNeedsCpl0);
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
