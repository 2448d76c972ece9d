//! The hardware: CPUs that are threads, an interrupt flag for each, and interrupts between them.

extern crate std;

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering::AcqRel, Ordering::Release};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// How many CPUs the machine has.
pub const CPUS: usize = 4;

/// A CPU that has turned in spinning loops so often hangs: the whole run needs some thousands.
const WATCHDOG: u64 = 5_000_000;

static PENDING: [AtomicBool; CPUS] = [const { AtomicBool::new(false) }; CPUS];
/// There is one machine.
static POWER: Mutex<()> = Mutex::new(());

std::thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
    static ENABLED: Cell<bool> = const { Cell::new(false) };
    static INSTRUCTIONS: Cell<u64> = const { Cell::new(0) };
    static TURNS: Cell<u64> = const { Cell::new(0) };
    static HANDLER: Cell<fn()> = const { Cell::new(|| ()) };
}

/// Starts every CPU at `main` with interrupts enabled, and returns when all have come back.
pub fn boot(main: fn(usize), handler: fn()) {
    let _on = POWER.lock().unwrap_or_else(PoisonError::into_inner);
    thread::scope(|scope| {
        for cpu in 0..CPUS {
            scope.spawn(move || {
                CPU.set(cpu);
                HANDLER.set(handler);
                ENABLED.set(true);
                main(cpu);
            });
        }
    });
}

/// The CPU that executes this.
#[must_use]
pub fn cpu() -> usize {
    CPU.get()
}

/// Masks the interrupts of this CPU; says whether they were enabled.
#[must_use]
pub fn disable_interrupts() -> bool {
    ENABLED.replace(false)
}

/// Puts the interrupt flag back. What came meanwhile is handled at once, on top of the caller.
pub fn restore_interrupts(enabled: bool) {
    ENABLED.set(enabled);
    take_interrupts();
}

/// Interrupts another CPU, as soon as that one allows it.
pub fn send_interrupt(cpu: usize) {
    // Release pairs with the exchange that takes the interrupt.
    PENDING[cpu].store(true, Release);
}

/// A place between two instructions: if interrupts are enabled, one may come here. On real hardware
/// that is everywhere; here it is where the code says so. Every seventh time the timer of this CPU
/// interrupts it.
pub fn between_instructions() {
    INSTRUCTIONS.set(INSTRUCTIONS.get() + 1);
    if INSTRUCTIONS.get().is_multiple_of(7) {
        send_interrupt(cpu());
    }
    take_interrupts();
}

/// One turn of a spinning loop: the processor may take an interrupt here, as anywhere.
///
/// # Panics
///
/// If the kernel hangs.
pub fn relax() {
    TURNS.set(TURNS.get() + 1);
    assert!(TURNS.get() < WATCHDOG, "cpu{} hangs", cpu());
    take_interrupts();
    // A thread may have to wait for one that has no processor.
    thread::yield_now();
}

fn take_interrupts() {
    while ENABLED.get() && PENDING[cpu()].swap(false, AcqRel) {
        ENABLED.set(false);
        HANDLER.get()();
        ENABLED.set(true);
    }
}
