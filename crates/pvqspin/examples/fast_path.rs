//! The fast paths as symbols of their own, for `cargo xtask asm` to read.
//!
//! The environment's paravirtual functions are calls to named symbols, so that one look at the
//! assembly tells whether any of them is left.

#![expect(clippy::missing_safety_doc, reason = "only ever read as assembly")]

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};

use pvqspin::{
    Budget, Cpu, CpuNodes, Env, Fifo, Generation, Hint, Native, QSpinLock, RunSample, RunState,
    Status, Token,
};

static CPU: AtomicUsize = AtomicUsize::new(0);
static STATE: AtomicU32 = AtomicU32::new(0);
static NODES: [CpuNodes; 2] = [const { CpuNodes::new() }; 2];

/// A guest whose hypercalls are visible symbols.
#[derive(Debug)]
pub struct Guest;

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hypercall_halt(cpu: u32) {
    STATE.store(cpu, Relaxed);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hypercall_kick(cpu: u32) {
    STATE.store(!cpu, Relaxed);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn hypercall_yield_to(cpu: u32) {
    STATE.store(cpu ^ 1, Relaxed);
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn page_run_sample(_cpu: u32) -> u32 {
    STATE.load(Relaxed)
}

#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn page_set_waiting_for(cpu: u32) -> u32 {
    STATE.swap(cpu, Relaxed)
}

impl Env for Guest {
    #[inline]
    fn cpu() -> Cpu {
        Cpu::new(CPU.load(Relaxed)).unwrap_or(const { Cpu::new(0).expect("0 is a CPU number") })
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index() % NODES.len()]
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let mut left = budget.get();
        while !condition() {
            core::hint::spin_loop();
            if let Some(ns) = &mut left {
                *ns = ns.saturating_sub(1);
                if *ns == 0 {
                    return false;
                }
            }
        }
        true
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        RunSample::from_raw(page_run_sample(cpu.plus_one()))
    }

    fn pressure() -> bool {
        RunSample::new(RunState::Preempted, Generation::new(1)).raw() == STATE.load(Relaxed)
    }

    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        Cpu::from_plus_one(page_set_waiting_for(cpu.map_or(0, Cpu::plus_one)))
    }

    fn halt(hint: Option<Hint>) {
        hypercall_halt(hint.map_or(0, |hint| hint.cpu.plus_one()));
    }

    fn kick(cpu: Cpu) {
        hypercall_kick(cpu.plus_one());
    }

    fn yield_to(hint: Hint) -> Status {
        hypercall_yield_to(hint.cpu.plus_one());
        Status::Ran
    }
}

/// Native lock: the fast path, and the way into the slow one.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn native_lock(lock: &QSpinLock<Guest, Native>) -> Token {
    lock.lock()
}

/// Native unlock.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe fn native_unlock(lock: &QSpinLock<Guest, Native>, token: Token) {
    // SAFETY: the caller's promise.
    unsafe { lock.unlock(token) }
}

/// Paravirtual lock: the fast path, and the way into the slow one.
#[unsafe(no_mangle)]
#[inline(never)]
pub fn fifo_lock(lock: &QSpinLock<Guest, Fifo>) -> Token {
    lock.lock()
}

/// Paravirtual unlock.
#[unsafe(no_mangle)]
#[inline(never)]
pub unsafe fn fifo_unlock(lock: &QSpinLock<Guest, Fifo>, token: Token) {
    // SAFETY: the caller's promise.
    unsafe { lock.unlock(token) }
}

fn main() {
    // Written once, so that the compiler has to load it.
    CPU.store(std::env::args().count() - 1, Relaxed);
    let native = QSpinLock::new();
    let token = native_lock(&native);
    // SAFETY: taken above.
    unsafe { native_unlock(&native, token) };
    let fifo = QSpinLock::new();
    let token = fifo_lock(&fifo);
    // SAFETY: taken above.
    unsafe { fifo_unlock(&fifo, token) };
}
