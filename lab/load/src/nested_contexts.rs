//! An interrupt comes while a virtual CPU waits for a lock, and its handler takes another one.
//!
//! ```text
//!   task        outside │ lock(task) ─ slow path ─┐ due               ┌─ slow path ─ inside │ ...
//!   interrupt                                     └ lock(irq), inside ┘
//! ```
//!
//! Definition: every virtual CPU takes the task lock in a loop, with a timer set that is due at a random
//! instant within about two sections of the call. If it still waits then, the handler takes the
//! interrupt lock over the slow path. In one round of four the task takes the interrupt lock too, with
//! interrupts masked, so that handlers have to wait. The holder of the interrupt lock never waits
//! for the task lock. Two contexts are in use: one fewer than a lock word can name.
//!
//! A virtual CPU that has halted takes its interrupt when it wakes: there is no timer in the host.
//! Interrupts that were due after the lock was had do not come at all. The unit is the interrupt
//! that came over a slow path.

use crate::control::Control;
use crate::guest::Guest;
use crate::record::Record;
use crate::section::Lengths;
use crate::setup::{AnyLock, Setup};
use crate::worker::Worker;
use crate::workload::{Account, Workload, WorkloadId};

const TASK: usize = 0;
const INTERRUPT: usize = 1;

/// A handler holds its lock for this part of a task's section.
const HANDLER_PART: u32 = 4;

/// The two locks.
#[derive(Debug)]
pub struct NestedContexts<E> {
    task: AnyLock<E>,
    interrupt: AnyLock<E>,
    inside: Lengths,
    outside: Lengths,
    inside_ns: u32,
    seed: u64,
}

impl<E: Guest> NestedContexts<E> {
    pub(crate) fn new(setup: &Setup<'_, E>) -> Self {
        Self {
            task: setup.lock(),
            interrupt: setup.lock(),
            inside: Lengths::new(setup.config.inside),
            outside: Lengths::new(setup.config.outside),
            inside_ns: setup.config.inside.mean_ns,
            seed: setup.config.seed,
        }
    }
}

impl<E: Guest> Workload for NestedContexts<E> {
    fn run_vcpu(&self, control: &Control, record: &Record) {
        let handler_ns = self.inside_ns / HANDLER_PART;
        let handler = || {
            let mut worker = Worker::<E>::in_interrupt(control, record);
            worker.section(&self.interrupt, INTERRUPT, handler_ns, |_| ());
            worker.unit_done();
        };
        Worker::<E>::measuring_all(self.seed, control, record).work(|worker| {
            let random = worker.random();
            worker.outside(self.outside.draw(random >> Lengths::BITS));
            let delay_ns = worker.random_below(2 * self.inside_ns as usize + 1) as u64;
            E::with_timer(E::now_ns() + delay_ns, &handler, || {
                worker.section(&self.task, TASK, self.inside.draw(random), |_| ());
            });
            if worker.random_below(4) == 0 {
                worker.section(&self.interrupt, INTERRUPT, handler_ns, |_| ());
            }
        });
    }

    fn account(&self) -> Account {
        let locks = [&self.task, &self.interrupt];
        Account::new(WorkloadId::NestedContexts, locks, [1, 1])
    }
}
