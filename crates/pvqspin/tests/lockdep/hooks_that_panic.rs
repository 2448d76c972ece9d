//! A hook that panics, as a kernel's may, leaves neither the lock held nor interrupts masked.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

use pvqspin::bare::{Bare, Kernel};
use pvqspin::irq::{self, Interrupts};
use pvqspin::lockdep::Violation;
use pvqspin::{Cpu, CpuNodes, Mutex};

use crate::found::alone;

struct Panics;

static NODES: [CpuNodes; 2] = [const { CpuNodes::new() }; 2];
thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
    static ENABLED: Cell<bool> = const { Cell::new(true) };
}

impl Kernel for Panics {
    fn cpu() -> Cpu {
        Cpu::new(CPU.get()).expect("in range")
    }
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index()]
    }
    fn order_violation(violation: &Violation) {
        panic!("{violation}");
    }
}

struct Flag;

impl Interrupts for Flag {
    type State = bool;
    fn mask() -> bool {
        ENABLED.replace(false)
    }
    unsafe fn restore(state: bool) {
        ENABLED.set(state);
    }
}

#[test]
fn the_lock_is_free_and_interrupts_are_as_before() {
    let _alone = alone();
    type Lock = irq::Mutex<u32, Bare<Panics>, Flag>;
    let (a, b) = (Lock::new(0), Lock::new(0));
    {
        let _a = a.lock();
        let _b = b.lock();
    }
    let inversion = catch_unwind(AssertUnwindSafe(|| {
        let _b = b.lock();
        let _a = a.lock();
    }));
    assert!(inversion.is_err());
    assert!(ENABLED.get() && !a.is_locked() && !b.is_locked());

    let plain: Mutex<u32, Bare<Panics>> = Mutex::new(0);
    let not_held = catch_unwind(AssertUnwindSafe(|| {
        let guard = plain.lock();
        CPU.set(1);
        drop(guard);
    }));
    assert!(not_held.is_err());
    assert!(!plain.is_locked());
    CPU.set(0);
}
