//! One vCPU that does one thing: to see what this KVM can do, and that a guest can do no harm.

use core::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use pvqspin_host::Config;
use pvqspin_kvm_boot::Role;
use pvqspin_kvm_boot::boot::Trial;
use pvqspin_load::record::IMPLAUSIBLE;
use pvqspin_real_time::{affinity, clock};

use crate::error::{RunError, Stuck};
use crate::guest::Guest;
use crate::run::{member, memories};
use crate::session::{exclusive, execute};
use crate::vm::KvmHost;
use crate::watchdog::{Bite, Watchdog};

/// Lets one vCPU do one thing. Returns how long it took, in nanoseconds of the guest's clock.
///
/// # Errors
///
/// As for [`run`](crate::run()): with what the guest did, or that it did not come back within
/// `patience`.
pub fn trial(
    host: &KvmHost,
    guest: &Guest,
    trial: Trial,
    patience: Duration,
) -> Result<u64, RunError> {
    let cpus = affinity::allowed().map_err(RunError::setup("allowed CPUs"))?;
    let _only_one = exclusive();
    let members = vec![member(host, guest, Role::Trial(trial), 1, 1)?];
    let memories = memories(&members);
    let (measured, remains) = execute(&cpus[..1], Config::default(), members, |machine| {
        let done = || machine.ended.load(Relaxed);
        // A vCPU that halts here does so for good: no timeout wakes it.
        Watchdog::new(machine, Duration::MAX, patience, &done).wait_for(&done, 1)
    })?;
    match measured {
        Ok(()) => match memories[0].results().account() {
            Some((ticks, _)) if ticks < IMPLAUSIBLE => Ok(clock::ticks_to_ns(ticks)),
            _ => Err(RunError::Senseless("the time that it took is impossible")),
        },
        Err(Bite::Stuck | Bite::Failed) => Err(RunError::Stuck(Box::new(Stuck {
            patience,
            vcpus: remains.stuck_vcpus(),
        }))),
    }
}
