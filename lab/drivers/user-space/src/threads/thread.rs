//! A thread as the workload sees it: a guest that knows little about itself.
//!
//! A thread does not learn when it was preempted, so nothing is counted that would need it, and the
//! run state is always *running*. Waits count from the call: user-space mutexes do not say when
//! they join a queue.

use std::cell::Cell;

use pvqspin::threads::Threads;
use pvqspin::{Budget, Cpu, CpuNodes, Env};
use pvqspin_load::Guest;

use crate::threads::work;

thread_local! {
    static ME: Cell<Option<Cpu>> = const { Cell::new(None) };
    /// What the clock said when it was last read: when the lock is called, the time of the call.
    static READ_NS: Cell<u64> = const { Cell::new(0) };
    static CALLED_NS: Cell<u64> = const { Cell::new(0) };
}

/// One of the driver's threads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OnThread;

impl OnThread {
    /// The calling thread is this one from now on.
    pub(crate) fn become_cpu(cpu: Cpu) {
        ME.set(Some(cpu));
    }

    /// The calling thread calls a lock, and has just read the clock.
    #[inline]
    pub(crate) fn calls_lock() {
        CALLED_NS.set(READ_NS.get());
    }
}

impl Env for OnThread {
    fn cpu() -> Cpu {
        ME.get().unwrap_or_else(Threads::cpu)
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        Threads::nodes(cpu)
    }

    fn spin_until(condition: impl FnMut() -> bool, budget: Budget) -> bool {
        Threads::spin_until(condition, budget)
    }

    #[inline]
    fn now_ns() -> u64 {
        let now = Threads::now_ns();
        READ_NS.set(now);
        now
    }
}

impl Guest for OnThread {
    #[inline]
    fn compute(ns: u32) {
        work::for_ns(ns);
    }

    fn entered_at_ns() -> u64 {
        0
    }

    fn joined_at_ns() -> u64 {
        CALLED_NS.get()
    }

    fn wasted_ns() -> u64 {
        0
    }
}
