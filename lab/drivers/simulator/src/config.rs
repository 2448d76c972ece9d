//! What a simulation is asked to do, and whether it makes sense.

use pvqspin_driver_common::Run;
use pvqspin_host::{HeapPages, Host};
use pvqspin_rivals::tuned::TunedId;

use crate::config_problem::ConfigProblem;
use crate::costs::Costs;
use crate::faults::Jitter;
use crate::limits::{MAX_COST_NS, MAX_TIME_NS, MAX_VCPUS};
use crate::topology::Topology;
use crate::wait_limits::WaitLimits;

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

/// A run, and what only the simulator can do about it. Times are in nanoseconds of virtual time.
///
/// ```
/// use pvqspin_simulator::{Run, SimConfig};
///
/// let run = Run::default().with(|run| (run.host.pcpus, run.vcpus) = (64, 64));
/// let config = SimConfig { vms: 16, ..SimConfig::from(run) };
/// assert_eq!(config.all_vcpus(), 1_024);
/// ```
#[derive(Clone, PartialEq, Debug)]
pub struct SimConfig {
    /// The run.
    pub run: Run,
    /// Instead of its lock: one of this project's own at another constant.
    pub tuned: Option<TunedId>,
    /// How many VMs do so, each with locks of its own.
    pub vms: usize,
    /// What everything costs.
    pub costs: Costs,
    /// How the pCPUs are arranged; `None`: all equally far from each other.
    pub topology: Option<Topology>,
    /// Seed of the faults and the jitter that are drawn by chance.
    pub seed: u64,
    /// Disturbances anywhere.
    pub jitter: Jitter,
    /// What every wait has to keep to.
    pub wait_limits: WaitLimits,
    /// How many events a traced run keeps, at most: the latest. An event takes 40 bytes.
    pub trace_events: usize,
    /// From when to when, both included, to look at everything at each event of the first VM.
    pub snapshots: Option<(u64, u64)>,
}

impl From<Run> for SimConfig {
    /// One VM, no jitter, the simulator's own costs.
    fn from(run: Run) -> Self {
        Self {
            run,
            tuned: None,
            vms: 1,
            costs: Costs::default(),
            topology: None,
            seed: 1,
            jitter: Jitter::NONE,
            wait_limits: WaitLimits::default(),
            trace_events: 1 << 22,
            snapshots: None,
        }
    }
}

impl Default for SimConfig {
    fn default() -> Self {
        Self::from(Run::default())
    }
}

impl SimConfig {
    /// The same configuration after a change.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Checks it. [`run`](crate::run()) asks first of all.
    ///
    /// # Errors
    ///
    /// The first thing that makes no sense.
    pub fn validate(&self) -> Result<(), ConfigProblem> {
        self.run.check()?;
        let pcpus = self.run.host.pcpus;
        if let Some(has) = self.topology.map(|topology| topology.pcpus()).transpose()?
            && has < pcpus
        {
            return Err(ConfigProblem::BeyondTopology { pcpus, has });
        }
        if self.vms == 0 {
            return Err(ConfigProblem::NoVms);
        }
        let all = self.all_vcpus();
        if all > MAX_VCPUS {
            return Err(ConfigProblem::TooManyInAll { asked: all });
        }
        self.check_times()?;
        Host::<HeapPages>::new(self.run.host)?;
        Ok(())
    }

    fn check_times(&self) -> Result<(), ConfigProblem> {
        let warmup_ns = self.warmup_ns();
        for (what, ns) in [
            ("warm-up", warmup_ns),
            ("measured time", self.run.duration_ns),
            ("slice", self.run.host.slice_ns),
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
        let workload = &self.run.workload;
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
            None => self.run.lock.entry().name,
            Some(tuned) => tuned.entry().name,
        }
    }

    /// The warm-up, chosen if it was not given.
    #[must_use]
    pub fn warmup_ns(&self) -> u64 {
        self.run.warmup_ns.unwrap_or_else(|| {
            let slices = self.all_vcpus().div_ceil(self.run.host.pcpus.max(1)) as u64;
            let rotations = self
                .run
                .host
                .slice_ns
                .saturating_mul(slices)
                .saturating_mul(2);
            rotations.clamp(MIN_WARMUP_NS, MAX_TIME_NS)
        })
    }

    /// The patience before a stall, chosen if it was not given.
    #[must_use]
    pub fn stall_after_ns(&self) -> u64 {
        let chosen = || self.patience_ns().max(LEAST_STALL_NS);
        self.run.stall_after_ns.unwrap_or_else(chosen)
    }

    /// The patience with a halt, chosen if it was not given.
    #[must_use]
    pub fn halt_timeout_ns(&self) -> u64 {
        let chosen = || self.patience_ns().max(LEAST_HALT_TIMEOUT_NS);
        self.run.halt_timeout_ns.unwrap_or_else(chosen)
    }

    /// How long anything may take on a host that forgets no vCPU: some rotations, in which every
    /// vCPU has its slice, all that can be charged to it, and a section that is long by chance.
    fn patience_ns(&self) -> u64 {
        let round = u64::from(self.run.workload.inside.mean_ns)
            + u64::from(self.run.workload.outside.mean_ns);
        let turn = self
            .run
            .host
            .slice_ns
            .saturating_add(self.costs.sum_ns() + LONG_BY_CHANCE * round);
        let turns = self.all_vcpus().div_ceil(self.run.host.pcpus.max(1)) as u64;
        (turn.saturating_mul(turns * ROTATIONS)).min(MAX_TIME_NS)
    }

    /// The vCPUs of all VMs together, the neighbour's too.
    #[must_use]
    pub fn all_vcpus(&self) -> usize {
        (self.vms.saturating_mul(self.run.vcpus)).saturating_add(self.run.neighbour_vcpus())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvqspin_abi::MAX_CPUS;

    #[test]
    fn nonsense_is_refused_with_the_reason() {
        let good = SimConfig::default;
        assert!(good().validate().is_ok());
        let cases = [
            (
                good().with(|sim| sim.run.host.pcpus = 0),
                "at least one pCPU",
            ),
            (good().with(|sim| sim.run.vcpus = 0), "at least one vCPU"),
            (
                good().with(|sim| sim.run.vcpus = MAX_CPUS + 1),
                "can name at most",
            ),
            (good().with(|sim| sim.vms = 0), "at least one VM"),
            (
                good().with(|sim| {
                    sim.vms = usize::MAX;
                    sim.run.vcpus = 2;
                }),
                "a simulation has at most 30000",
            ),
            (
                good().with(|sim| {
                    sim.run.host.pcpus = 9;
                    sim.topology = Some(Topology {
                        sockets: 2,
                        cores: 2,
                        threads: 2,
                    });
                }),
                "9 pCPUs asked for, the topology has 8",
            ),
            (
                good().with(|sim| sim.run.duration_ns = 0),
                "measured time of 0 ns",
            ),
            (
                good().with(|sim| sim.run.duration_ns = u64::MAX),
                "measured time of",
            ),
            (
                good().with(|sim| sim.run.host.slice_ns = 0),
                "slice of 0 ns",
            ),
            (
                good().with(|sim| {
                    sim.costs = Costs {
                        poke_ns: u32::MAX,
                        ..Costs::default()
                    };
                }),
                "poke_ns = 4294967295 makes no sense",
            ),
            (
                good().with(|sim| sim.run.host.min_loan_ns = sim.run.host.slice_ns),
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
        let long = short.clone().with(|sim| {
            sim.run.host.slice_ns = second;
            sim.run.vcpus = 4;
        });
        // Three others come first.
        assert!(long.halt_timeout_ns() > 4 * second);
        assert!(long.stall_after_ns() > 4 * second);
        let asked = long.with(|sim| {
            sim.run.stall_after_ns = Some(7);
            sim.run.halt_timeout_ns = Some(8);
        });
        assert_eq!((asked.stall_after_ns(), asked.halt_timeout_ns()), (7, 8));
    }
}
