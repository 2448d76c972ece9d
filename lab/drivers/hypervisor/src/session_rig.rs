//! A session for tests: a small VM, its body, and the counters that tests share.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use pvqspin_host::{Config, Scheduling, YieldMode};
use pvqspin_load::{Fault, Faults};

use crate::probe::machine_for_tests;
use crate::session::{Live, Plan, Remains, VmPlan, execute};
use crate::vcb::Body;

/// A session to test, and how to run it.
pub(crate) struct Test<'a> {
    pub(crate) pcpus: usize,
    pub(crate) vcpus: usize,
    pub(crate) slice_ns: u64,
    pub(crate) halt_timeout: Duration,
    pub(crate) faults: Vec<Fault>,
    pub(crate) body: &'a Body<'a>,
}

impl<'a> Test<'a> {
    pub(crate) fn new(pcpus: usize, vcpus: usize, body: &'a Body<'a>) -> Self {
        Self {
            pcpus,
            vcpus,
            slice_ns: 200_000,
            halt_timeout: Duration::from_secs(5),
            faults: Vec::new(),
            body,
        }
    }

    /// Runs it while `body` does. `None` where the machine does not allow it.
    pub(crate) fn run<R>(self, body: impl FnOnce(&Live<'_>) -> R) -> Option<(R, Remains)> {
        self.run_beside(None, body)
    }

    /// The same, beside a VM of as many vCPUs that do something else.
    pub(crate) fn run_beside<R>(
        self,
        other: Option<&'a Body<'a>>,
        body: impl FnOnce(&Live<'_>) -> R,
    ) -> Option<(R, Remains)> {
        let machine = machine_for_tests()?;
        let pcpus = self.pcpus.min(machine.cpus.len());
        let plan = Plan {
            cpus: &machine.cpus[..pcpus],
            host: Config {
                pcpus,
                scheduling: Scheduling::RoundRobin,
                yields: YieldMode::Contract,
                slice_ns: self.slice_ns,
                min_loan_ns: self.slice_ns / 4,
                ..Config::default()
            },
            vms: (core::iter::once(self.body).chain(other))
                .map(|body| VmPlan {
                    vcpus: self.vcpus,
                    weight: 1,
                    body,
                    faults: Faults(self.faults.clone()),
                })
                .collect(),
            hypercall_ns: 0,
            halt_timeout_ns: self.halt_timeout.as_nanos() as u64,
            trace: false,
            trace_marks: 0,
        };
        Some(execute(&plan, body).expect("the machine allows it"))
    }

    /// Runs it until all its vCPUs have ended.
    pub(crate) fn run_to_the_end(self) -> Option<Remains> {
        let vcpus = self.vcpus as u64;
        let (in_time, remains) = self.run(|live| wait_until(|| live.ended() == vcpus))?;
        assert!(in_time, "the guests did not end; {}", remains.trace);
        Some(remains)
    }
}

/// Waits for something that takes milliseconds when all is well.
pub(crate) fn wait_until(condition: impl Fn() -> bool) -> bool {
    let start = Instant::now();
    while !condition() {
        if start.elapsed() > Duration::from_secs(20) {
            return false;
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    true
}

pub(crate) fn counters<const N: usize>() -> [AtomicU64; N] {
    [const { AtomicU64::new(0) }; N]
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}
