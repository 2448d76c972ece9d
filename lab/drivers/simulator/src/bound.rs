//! The most that any one lock can do under a configuration.

use pvqspin_load::{LockLoad, WorkloadId, bound_per_s};

use crate::config::SimConfig;

impl SimConfig {
    /// The most critical sections per second that any one lock can do, from the sections that were asked for
    /// and one atomic with each. Exact for `hot-lock`; for other workloads what their time goes with.
    #[must_use]
    pub fn bound_per_s(&self) -> f64 {
        // Even an empty section costs the atomics around it; some workloads ask for empty ones.
        let costs = f64::from(self.costs.atomic_ns.max(1));
        let inside_ns = f64::from(self.run.workload.inside.mean_ns) + costs;
        let outside_ns = f64::from(self.run.workload.outside.mean_ns) + costs;
        bound_per_s(
            LockLoad {
                // Each VM has a lock of its own.
                busiest_ns: inside_ns / self.vms as f64,
                per_round: 1.0,
            },
            inside_ns,
            outside_ns,
            self.run.host.pcpus,
            self.vms * self.run.vcpus,
        )
    }

    /// A throughput over the bound, where the configuration knows it. Virtual time keeps the sections that
    /// were asked for. Which lock is the busiest and for how long, only a run itself can tell with workloads
    /// other than `hot-lock`: `None`.
    #[must_use]
    pub fn over_bound(&self, throughput_per_s: f64) -> Option<f64> {
        (self.run.workload.id == WorkloadId::HotLock).then(|| throughput_per_s / self.bound_per_s())
    }
}
