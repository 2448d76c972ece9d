//! Environments for tests of single steps. Waiting in [`Alone`] is a bug.

extern crate std;

use pvqspin::{Budget, Cpu, CpuNodes, Env, Generation, RunSample, RunState};

pub(crate) struct Alone;

static NODES: CpuNodes = CpuNodes::new();

impl Env for Alone {
    fn cpu() -> Cpu {
        Cpu::new(0).expect("in range")
    }

    fn nodes(_cpu: Cpu) -> &'static CpuNodes {
        &NODES
    }

    fn spin_until(mut condition: impl FnMut() -> bool, _budget: Budget) -> bool {
        assert!(condition(), "no other CPU can make it true");
        true
    }
}

/// As [`Alone`], with some CPUs asleep. A wait ends without what it waited for.
pub(crate) struct Asleep;

std::thread_local! {
    static ASLEEP: core::cell::Cell<u64> = const { core::cell::Cell::new(0) };
    static NOW_NS: core::cell::Cell<u64> = const { core::cell::Cell::new(1) };
}

/// Sets the clock of [`Asleep`].
pub(crate) fn set_clock(ns: u64) {
    NOW_NS.set(ns);
}

/// These CPUs, and no others, are preempted from now on.
pub(crate) fn put_to_sleep(cpus: &[usize]) {
    ASLEEP.set(cpus.iter().fold(0, |set, cpu| set | 1 << cpu));
}

impl Env for Asleep {
    fn cpu() -> Cpu {
        Alone::cpu()
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        Alone::nodes(cpu)
    }

    fn spin_until(mut condition: impl FnMut() -> bool, _budget: Budget) -> bool {
        condition()
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        let asleep = ASLEEP.get() >> cpu.index() & 1 != 0;
        let state = if asleep {
            RunState::Preempted
        } else {
            RunState::Running
        };
        RunSample::new(state, Generation::new(1))
    }

    fn now_ns() -> u64 {
        NOW_NS.get()
    }
}
