//! What the hypervisor is asked for, asked of the simulator.

use std::time::Duration;

use pvqspin_hypervisor::RunConfig;
use pvqspin_simulator::SimConfig;

/// The same run in virtual time, on a machine that costs what `base` says.
pub(crate) fn simulated(real: &RunConfig, base: SimConfig) -> SimConfig {
    let ns = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    SimConfig {
        lock: real.lock,
        workload: real.workload,
        pcpus: real.pcpus,
        vcpus: real.vcpus,
        weight: real.weight,
        scheduling: real.scheduling,
        yields: real.yields,
        slice_ns: real.slice_ns,
        min_loan_ns: real.min_loan_ns,
        warmup_ns: Some(ns(real.warmup())),
        duration_ns: ns(real.duration),
        seed: real.workload.seed,
        trace: real.trace,
        neighbour: real.neighbour,
        ..base
    }
}
