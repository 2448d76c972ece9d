//! What a simulation is asked to do, and whether it makes sense.

use pvqspin_abi::MAX_CPUS;
use pvqspin_host::{Config, HeapPages, Host, Scheduling, YieldMode};
use pvqspin_load::{Distribution, Faults, NeighbourVm, Section, WorkloadConfig, WorkloadId};
use pvqspin_rivals::catalog::LockId;
use pvqspin_rivals::tuned::TunedId;

use crate::costs::Costs;
use crate::faults::Jitter;
use crate::limits::{MAX_COST_NS, MAX_TIME_NS, MAX_VCPUS};
use crate::problem::ConfigProblem;
use crate::topology::Topology;
use crate::wait::WaitLimits;

/// The least patience before a stall that is chosen without being asked for, and with a halt.
const LEAST_STALL_NS: u64 = 2_000_000_000;
const LEAST_HALT_TIMEOUT_NS: u64 = 500_000_000;

/// No vCPU waits for a pCPU for so many rotations, under any policy of the host: those that keep
/// accounts may let a vCPU wait for two or three.
const ROTATIONS: u64 = 8;

/// An exponential length is beyond so many times its mean once in 10^13 draws.
const LONG_BY_CHANCE: u64 = 30;

/// The shortest warm-up that is chosen without being asked for.
const MIN_WARMUP_NS: u64 = 10_000_000;

/// One simulation: a lock, what is done with it, on what machine. Times are in nanoseconds of
/// virtual time.
///
/// ```
/// use pvqspin_simulator::SimConfig;
///
/// let config = SimConfig { pcpus: 64, vms: 16, vcpus: 64, ..SimConfig::default() };
/// assert_eq!(config.all_vcpus(), 1_024);
/// assert_eq!(config.slice_ns, 3_000_000);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct SimConfig {
    /// The lock.
    pub lock: LockId,
    /// Instead: one of our own at another constant.
    pub tuned: Option<TunedId>,
    /// What every vCPU does with it. Its seed is that of the section lengths.
    pub workload: WorkloadConfig,
    /// How many pCPUs.
    pub pcpus: usize,
    /// How many VMs do so, each with locks of its own.
    pub vms: usize,
    /// How many vCPUs each of them has.
    pub vcpus: usize,
    /// The weight of each of them, beside a neighbour.
    pub weight: u32,
    /// Chooses the next vCPU where no guest names one.
    pub scheduling: Scheduling,
    /// What a directed yield is worth.
    pub yields: YieldMode,
    /// How long a vCPU may run in one go. Default 3 ms, as Linux's base slice.
    pub slice_ns: u64,
    /// How long the target of a directed yield may run at least.
    pub min_loan_ns: u64,
    /// Whether the host follows the chain from a hint to its end.
    pub follow_chain: bool,
    /// Whether the host chooses the order around a hand-over.
    pub ordered: bool,
    /// What everything costs.
    pub costs: Costs,
    /// How the pCPUs are arranged; `None`: all equally far from each other.
    pub topology: Option<Topology>,
    /// How long to run before measuring; `None`: two rotations, at least 10 ms.
    pub warmup_ns: Option<u64>,
    /// How long to measure.
    pub duration_ns: u64,
    /// Seed of the faults and the jitter that are drawn by chance.
    pub seed: u64,
    /// Preemptions at chosen points.
    pub faults: Faults,
    /// Disturbances anywhere.
    pub jitter: Jitter,
    /// After how long without any acquisition the run is given up, and after how long off its pCPU
    /// a vCPU that could run is lost; `None`: as the slices and sections are, 2 s at least.
    pub stall_after_ns: Option<u64>,
    /// How long a halt may last before it is a lost wake-up; `None`: likewise, 500 ms at least.
    pub halt_timeout_ns: Option<u64>,
    /// What every wait has to keep to.
    pub wait_limits: WaitLimits,
    /// Whether to keep events in earnest, the guests' marks too, and not only the last few.
    pub trace: bool,
    /// How many are kept then, at most: the latest. An event takes 40 bytes.
    pub trace_events: usize,
    /// From when to when, both included, to look at everything at each event of the first VM.
    pub snapshots: Option<(u64, u64)>,
    /// A VM beside it.
    pub neighbour: Option<NeighbourVm>,
}

impl Default for SimConfig {
    /// The default lock, alone on one pCPU, 1 µs inside and 2 µs outside, for 100 ms.
    fn default() -> Self {
        let section = |mean_ns| Section {
            mean_ns,
            distribution: Distribution::Fixed,
        };
        Self {
            lock: LockId::Fifo,
            tuned: None,
            workload: WorkloadConfig {
                id: WorkloadId::HotLock,
                inside: section(1_000),
                outside: section(2_000),
                seed: 1,
            },
            pcpus: 1,
            vms: 1,
            vcpus: 1,
            weight: 1024,
            scheduling: Scheduling::RoundRobin,
            yields: YieldMode::Contract,
            slice_ns: 3_000_000,
            min_loan_ns: 100_000,
            follow_chain: true,
            ordered: true,
            costs: Costs::default(),
            topology: None,
            warmup_ns: None,
            duration_ns: 100_000_000,
            seed: 1,
            faults: Faults::default(),
            jitter: Jitter::NONE,
            stall_after_ns: None,
            halt_timeout_ns: None,
            wait_limits: WaitLimits::default(),
            trace: false,
            trace_events: 1 << 22,
            snapshots: None,
            neighbour: None,
        }
    }
}

impl SimConfig {
    /// Whether it makes sense. [`run`](crate::run()) asks first of all.
    ///
    /// # Errors
    ///
    /// The first thing that makes no sense.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        if self.pcpus == 0 {
            return Err(ConfigProblem::NoPcpus);
        }
        if let Some(has) = self.topology.map(|topology| topology.pcpus()).transpose()?
            && has < self.pcpus
        {
            let pcpus = self.pcpus;
            return Err(ConfigProblem::BeyondTopology { pcpus, has });
        }
        if self.vms == 0 {
            return Err(ConfigProblem::NoVms);
        }
        let neighbours = self.neighbour.map(|neighbour| neighbour.vcpus);
        for asked in [Some(self.vcpus), neighbours].into_iter().flatten() {
            match asked {
                0 => return Err(ConfigProblem::NoVcpus),
                1..=MAX_CPUS => {}
                _ => return Err(ConfigProblem::TooManyVcpus { asked }),
            }
        }
        let all = self.all_vcpus();
        if all > MAX_VCPUS {
            return Err(ConfigProblem::TooManyInAll { asked: all });
        }
        self.check_times()?;
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

    fn check_times(&self) -> Result<(), ConfigProblem> {
        let warmup_ns = self.warmup_ns();
        for (what, ns) in [
            ("warm-up", warmup_ns),
            ("measured time", self.duration_ns),
            ("slice", self.slice_ns),
            ("patience before a stall", self.stall_after_ns()),
            ("patience with a halt", self.halt_timeout_ns()),
        ] {
            // A warm-up may be zero, the rest not.
            if (ns == 0 && what != "warm-up") || ns > MAX_TIME_NS {
                return Err(ConfigProblem::BadTime { what, ns });
            }
        }
        for (what, ns) in self.costs.named() {
            if ns > MAX_COST_NS {
                return Err(ConfigProblem::BadCost { what, ns });
            }
        }
        let workload = &self.workload;
        let round = u64::from(workload.inside.mean_ns)
            + u64::from(workload.outside.mean_ns)
            + u64::from(self.costs.atomic_ns);
        if round == 0 {
            // Time would stand still.
            return Err(ConfigProblem::BadTime {
                what: "section",
                ns: 0,
            });
        }
        Ok(())
    }

    /// The name of the lock.
    #[must_use]
    pub fn lock_name(&self) -> &'static str {
        match self.tuned {
            None => self.lock.entry().name,
            Some(tuned) => tuned.entry().name,
        }
    }

    /// The warm-up, chosen if it was not given.
    #[must_use]
    pub fn warmup_ns(&self) -> u64 {
        self.warmup_ns.unwrap_or_else(|| {
            let slices = self.all_vcpus().div_ceil(self.pcpus.max(1)) as u64;
            let rotations = self.slice_ns.saturating_mul(slices).saturating_mul(2);
            rotations.clamp(MIN_WARMUP_NS, MAX_TIME_NS)
        })
    }

    /// The patience before a stall, chosen if it was not given.
    #[must_use]
    pub fn stall_after_ns(&self) -> u64 {
        let chosen = || self.patience_ns().max(LEAST_STALL_NS);
        self.stall_after_ns.unwrap_or_else(chosen)
    }

    /// The patience with a halt, chosen if it was not given.
    #[must_use]
    pub fn halt_timeout_ns(&self) -> u64 {
        let chosen = || self.patience_ns().max(LEAST_HALT_TIMEOUT_NS);
        self.halt_timeout_ns.unwrap_or_else(chosen)
    }

    /// How long anything may take on a host that forgets no vCPU: some rotations, in which every
    /// vCPU has its slice, all that can be charged to it, and a section that is long by chance.
    fn patience_ns(&self) -> u64 {
        let round =
            u64::from(self.workload.inside.mean_ns) + u64::from(self.workload.outside.mean_ns);
        let turn = self
            .slice_ns
            .saturating_add(self.costs.sum_ns() + LONG_BY_CHANCE * round);
        let turns = self.all_vcpus().div_ceil(self.pcpus.max(1)) as u64;
        (turn.saturating_mul(turns * ROTATIONS)).min(MAX_TIME_NS)
    }

    /// The vCPUs of all VMs together, the neighbour's too.
    #[must_use]
    pub fn all_vcpus(&self) -> usize {
        let neighbours = self.neighbour.map_or(0, |neighbour| neighbour.vcpus);
        (self.vms.saturating_mul(self.vcpus)).saturating_add(neighbours)
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
            follow_chain: self.follow_chain,
            ordered: self.ordered,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nonsense_is_refused_with_the_reason() {
        let good = SimConfig::default;
        assert!(good().validate().is_ok());
        let cases = [
            (SimConfig { pcpus: 0, ..good() }, "at least one pCPU"),
            (SimConfig { vcpus: 0, ..good() }, "at least one vCPU"),
            (
                SimConfig {
                    vcpus: MAX_CPUS + 1,
                    ..good()
                },
                "can name at most",
            ),
            (SimConfig { vms: 0, ..good() }, "at least one VM"),
            (
                SimConfig {
                    vms: usize::MAX,
                    vcpus: 2,
                    ..good()
                },
                "a simulation has at most 30000",
            ),
            (
                SimConfig {
                    pcpus: 9,
                    topology: Some(Topology {
                        sockets: 2,
                        cores: 2,
                        threads: 2,
                    }),
                    ..good()
                },
                "9 pCPUs asked for, the topology has 8",
            ),
            (
                SimConfig {
                    duration_ns: 0,
                    ..good()
                },
                "measured time of 0 ns",
            ),
            (
                SimConfig {
                    duration_ns: u64::MAX,
                    ..good()
                },
                "measured time of",
            ),
            (
                SimConfig {
                    slice_ns: 0,
                    ..good()
                },
                "slice of 0 ns",
            ),
            (
                SimConfig {
                    costs: Costs {
                        poke_ns: u32::MAX,
                        ..Costs::default()
                    },
                    ..good()
                },
                "poke_ns = 4294967295 makes no sense",
            ),
            (
                SimConfig {
                    min_loan_ns: good().slice_ns,
                    ..good()
                },
                "the shortest loan",
            ),
        ];
        for (config, reason) in cases {
            let error = config.validate().expect_err(reason).to_string();
            assert!(error.contains(reason), "{error} does not say {reason}");
        }
    }

    #[test]
    fn patience_grows_with_slices_and_queues_and_is_what_was_asked_for() {
        let short = SimConfig::default();
        assert_eq!(short.stall_after_ns(), LEAST_STALL_NS);
        assert_eq!(short.halt_timeout_ns(), LEAST_HALT_TIMEOUT_NS);
        let second = 1_000_000_000;
        let long = SimConfig {
            slice_ns: second,
            vcpus: 4,
            ..short.clone()
        };
        // Three others come first.
        assert!(long.halt_timeout_ns() > 4 * second);
        assert!(long.stall_after_ns() > 4 * second);
        let asked = SimConfig {
            stall_after_ns: Some(7),
            halt_timeout_ns: Some(8),
            ..long
        };
        assert_eq!((asked.stall_after_ns(), asked.halt_timeout_ns()), (7, 8));
    }
}
