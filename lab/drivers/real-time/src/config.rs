//! Whether a run makes sense in real time, and the times that a driver in real time chooses.

use std::time::Duration;

use pvqspin_driver_common::Run;
use pvqspin_host::{HeapPages, Host};

use crate::problem::{ConfigProblem, MIN_SLICE_NS};

/// The shortest warm-up that is chosen without being asked for.
const MIN_WARMUP: Duration = Duration::from_millis(30);
/// The longest.
const MAX_WARMUP: Duration = Duration::from_secs(1);

/// Patience before a run without any acquisition is given up, if the run says nothing else.
pub const STALL_AFTER: Duration = Duration::from_secs(5);
/// How long a halt may last before the vCPU is woken, and a lost wake-up counted, if the run says
/// nothing else. Longer than any wait that is merely slow.
const HALT_TIMEOUT: Duration = Duration::from_millis(500);

/// Checks a run for a process that may use so many CPUs. Drivers ask first of all.
///
/// # Errors
///
/// The first thing that makes no sense.
pub fn validate(run: &Run, cpus: usize) -> Result<(), ConfigProblem> {
    run.check()?;
    if run.host.pcpus > cpus {
        return Err(ConfigProblem::TooManyPcpus {
            asked: run.host.pcpus,
            available: cpus,
        });
    }
    if run.host.slice_ns < MIN_SLICE_NS {
        return Err(ConfigProblem::SliceTooShort {
            slice_ns: run.host.slice_ns,
        });
    }
    if run.duration_ns == 0 {
        return Err(ConfigProblem::NoDuration);
    }
    if stall_after(run) < Duration::from_millis(100) {
        return Err(ConfigProblem::WatchdogTooShort);
    }
    // It looks at what only it knows of.
    Host::<HeapPages>::new(run.host)?;
    Ok(())
}

/// The warm-up. If the run does not say: one rotation, at least 30 ms. The first slices of a fair
/// lock, whose queue is still empty, are not representative.
#[must_use]
pub fn warmup(run: &Run) -> Duration {
    run.warmup_ns.map_or_else(
        || {
            let vcpus = run.vcpus + run.neighbour_vcpus();
            let slices = vcpus.div_ceil(run.host.pcpus.max(1)) as u64;
            let rotation = slices.saturating_mul(run.host.slice_ns);
            Duration::from_nanos(rotation).clamp(MIN_WARMUP, MAX_WARMUP)
        },
        Duration::from_nanos,
    )
}

/// After how long without any acquisition the run is given up.
#[must_use]
pub fn stall_after(run: &Run) -> Duration {
    run.stall_after_ns.map_or(STALL_AFTER, Duration::from_nanos)
}

/// How long a halt may last.
#[must_use]
pub fn halt_timeout(run: &Run) -> Duration {
    (run.halt_timeout_ns).map_or(HALT_TIMEOUT, Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CPUS: usize = 2;

    #[test]
    fn nonsense_is_refused_with_the_reason() {
        let good = Run::default;
        assert!(validate(&good(), CPUS).is_ok());
        for (run, reason) in [
            (good().with(|run| run.vcpus = 0), "at least one vCPU"),
            (good().with(|run| run.host.pcpus = 0), "at least one pCPU"),
            (good().with(|run| run.host.pcpus = 3), "may use 2 CPU"),
            (good().with(|run| run.host.slice_ns = 10), "slice of 10 ns"),
            (good().with(|run| run.duration_ns = 0), "longer than zero"),
            (good().with(|run| run.stall_after_ns = Some(0)), "patience"),
        ] {
            let error = validate(&run, CPUS).expect_err(reason).to_string();
            assert!(error.contains(reason), "{error} does not say {reason}");
        }
    }

    #[test]
    fn the_warm_up_lasts_a_rotation() {
        let run = Run::default().with(|run| (run.host.pcpus, run.vcpus) = (2, 64));
        assert_eq!(warmup(&run), Duration::from_millis(96));
        assert_eq!(warmup(&Run::default()), MIN_WARMUP);
    }
}
