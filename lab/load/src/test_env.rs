//! One CPU, alone, whose time passes only while it computes: for tests of what a workload does.

extern crate std;

use core::cell::Cell;

use pvqspin::{Budget, CpuNodes, Env};
use pvqspin_abi::Cpu;
use pvqspin_rivals::erased::Erased;
use pvqspin_rivals::ticket::Ticket;

use crate::control::Control;
use crate::guarded::Guarded;
use crate::guest::Guest;
use crate::record::Record;
use crate::section::Section;
use crate::setup::{Setup, WorkloadConfig};
use crate::workload::{Workload, WorkloadId};

/// The only CPU there is.
pub(crate) struct Alone;

static NODES: CpuNodes = CpuNodes::new();

std::thread_local! {
    static NOW: Cell<u64> = const { Cell::new(0) };
    static STOP: Cell<Option<(u64, &'static Control)>> = const { Cell::new(None) };
}

impl Env for Alone {
    fn cpu() -> Cpu {
        Cpu::new(0).expect("in range")
    }

    fn nodes(_cpu: Cpu) -> &'static CpuNodes {
        &NODES
    }

    fn spin_until(mut condition: impl FnMut() -> bool, _budget: Budget) -> bool {
        assert!(condition(), "no other CPU is there");
        true
    }

    fn now_ns() -> u64 {
        NOW.get()
    }
}

impl Guest for Alone {
    fn compute(ns: u32) {
        // Something always passes, or a run would never end.
        NOW.set(NOW.get() + u64::from(ns) + 1);
        if let Some((at_ns, control)) = STOP.get()
            && NOW.get() >= at_ns
        {
            control.stop();
        }
    }

    fn entered_at_ns() -> u64 {
        0
    }

    fn joined_at_ns() -> u64 {
        0
    }

    fn wasted_ns() -> u64 {
        0
    }
}

/// Sets the clock.
pub(crate) fn set_now(ns: u64) {
    NOW.set(ns);
}

/// Makes a workload with these mean lengths.
pub(crate) fn make<W>(
    id: WorkloadId,
    (inside_ns, outside_ns): (u32, u32),
    new: impl FnOnce(&Setup<'_, Alone>) -> W,
) -> W {
    let config = WorkloadConfig {
        id,
        inside: Section::fixed(inside_ns),
        outside: Section::fixed(outside_ns),
        seed: 3,
    };
    new(&Setup {
        config: &config,
        cpus: 1,
        new_lock: |cpus| Guarded::new(Erased::new::<Ticket<Alone>>(cpus)),
    })
}

/// Measures it between two instants.
pub(crate) fn run(workload: &impl Workload, from_ns: u64, to_ns: u64) -> Record {
    let control: &'static Control = std::boxed::Box::leak(std::boxed::Box::default());
    control.measure(from_ns);
    NOW.set(from_ns);
    STOP.set(Some((to_ns, control)));
    let record = Record::new();
    workload.run_vcpu(control, &record);
    record
}
