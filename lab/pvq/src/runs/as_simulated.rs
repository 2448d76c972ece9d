//! A run that real time has had, asked of the simulator.

use pvqspin_driver_common::Run;
use pvqspin_real_time::config::warmup;
use pvqspin_simulator::SimConfig;

use crate::runs::plan::ns;

/// The same run in virtual time, on a machine that costs what `base` says. The warm-up is that of
/// real time; the patience is the simulator's own.
pub(crate) fn simulated(real: Run, base: SimConfig) -> SimConfig {
    SimConfig {
        seed: real.workload.seed,
        run: Run {
            warmup_ns: Some(ns(warmup(&real))),
            stall_after_ns: None,
            ..real
        },
        ..base
    }
}
