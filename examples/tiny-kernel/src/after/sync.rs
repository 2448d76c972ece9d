//! The kernel's spinlock. Interrupts are masked while it is held.

use pvqspin::irq::{Interrupts, IrqLock};
use pvqspin::{Budget, Cpu, CpuNodes, Env};

use crate::machine;

/// Data that one CPU at a time may touch.
pub type SpinLock<T> = lock_api::Mutex<IrqLock<Kernel, Flag>, T>;

/// The kernel as the lock sees it.
pub struct Kernel;

static NODES: [CpuNodes; machine::CPUS] = [const { CpuNodes::new() }; machine::CPUS];

impl Env for Kernel {
    fn cpu() -> Cpu {
        // The machine has few CPUs: the number is never out of range.
        Cpu::new(machine::cpu()).unwrap_or(Cpu::ZERO)
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index()]
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        // This machine has no clock: a turn of the loop counts as 100 ns.
        let turns = budget.get().map_or(u64::MAX, |ns| u64::from(ns / 100));
        for _ in 0..=turns {
            if condition() {
                return true;
            }
            machine::relax();
        }
        false
    }
}

/// The interrupt flag.
pub struct Flag;

impl Interrupts for Flag {
    type State = bool;

    fn mask() -> bool {
        machine::disable_interrupts()
    }

    unsafe fn restore(enabled: bool) {
        machine::restore_interrupts(enabled);
    }
}
