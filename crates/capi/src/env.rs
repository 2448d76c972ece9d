//! The environment of the lock, which the kernel defines in C.

use core::ffi::c_void;
use core::sync::atomic::{Ordering::SeqCst, compiler_fence};

use pvqspin::{Budget, Cpu, CpuNodes, Env, Generation, Hint, RunSample, RunState, Sleep, Status};

/// The kernel that this is linked to.
#[derive(Clone, Copy, Debug)]
pub struct InC;

/// `PVQ_NODES_SIZE` of the header.
pub const NODES_SIZE: usize = 256;
/// `PVQ_NO_CPU` of the header.
pub const NO_CPU: u32 = u32::MAX;

// (As a Rust library this may be built with features of `pvqspin` that make more of them.)
#[cfg(pvqspin_staticlib)]
const _: () = assert!(size_of::<CpuNodes>() == NODES_SIZE && align_of::<CpuNodes>() == 128);

const _: () = {
    // The statuses and states have the numbers of the header.
    assert!(Status::Ran as u32 == 0 && Status::AlreadyRunning as u32 == 1);
    assert!(Status::Stale as u32 == 2 && Status::Refused as u32 == 3);
    assert!(RunState::Running as u32 == 0 && RunState::Preempted as u32 == 1);
    assert!(RunState::Halted as u32 == 2);
};

// SAFETY: the header declares each of them with this signature, and says what it may rely on.
unsafe extern "C" {
    safe fn pvq_cpu() -> u32;
    safe fn pvq_cpu_count() -> u32;
    safe fn pvq_cpu_nodes(cpu: u32) -> *const c_void;
    safe fn pvq_now_ns() -> u64;
    fn pvq_run_sample(cpu: u32, generation: *mut u32) -> u32;
    safe fn pvq_pressure() -> bool;
    safe fn pvq_may_lend() -> bool;
    safe fn pvq_set_waiting_for(cpu: u32, target: u32);
    safe fn pvq_waiting_for(cpu: u32) -> u32;
    safe fn pvq_halt(target: u32, generation: u32);
    safe fn pvq_kick(cpu: u32);
    safe fn pvq_yield_to(target: u32, generation: u32) -> u32;
}

/// How often a waiter looks between two looks at the clock.
const LOOKS_PER_TICK: u32 = 16;
/// What a look takes where there is no clock, in ns.
const NS_PER_LOOK: u64 = 10;

fn number(cpu: Cpu) -> u32 {
    cpu.plus_one() - 1
}

fn target(cpu: Option<Cpu>) -> u32 {
    cpu.map_or(NO_CPU, number)
}

impl Env for InC {
    const MAX_CPUS: usize = pvqspin::MAX_CPUS;
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    #[inline]
    fn cpu() -> Cpu {
        // A number out of range breaks the contract. It must not become one of another lock word.
        Cpu::from_plus_one(pvq_cpu().wrapping_add(1)).unwrap_or(Cpu::ZERO)
    }

    #[inline]
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        // The number may come out of a damaged word: it must not lead out of the kernel's array.
        let cpu = number(cpu).min(pvq_cpu_count().saturating_sub(1));
        // SAFETY: the kernel returns the nodes of that CPU, 256 bytes aligned to 128 that live for
        // ever, were zero at first, and are touched by this library alone. All of it is atomics.
        unsafe { &*pvq_cpu_nodes(cpu).cast() }
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let began = pvq_now_ns();
        let mut looks: u64 = 0;
        loop {
            for _ in 0..LOOKS_PER_TICK {
                if condition() {
                    return true;
                }
                core::hint::spin_loop();
            }
            looks += u64::from(LOOKS_PER_TICK);
            if let Some(budget) = budget.get() {
                // The compiler must not take the clock's functions for constant ones.
                compiler_fence(SeqCst);
                let spent = match pvq_now_ns() {
                    0 => looks * NS_PER_LOOK,
                    now => now.saturating_sub(began),
                };
                if spent >= budget.into() {
                    return condition();
                }
            }
        }
    }

    #[inline]
    fn cpu_count() -> usize {
        pvq_cpu_count() as usize
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        let mut generation = 0;
        // SAFETY: the pointer is to the line above, for the length of this call.
        let state = unsafe { pvq_run_sample(number(cpu), &raw mut generation) };
        let state = match state {
            1 => RunState::Preempted,
            2 => RunState::Halted,
            _ => RunState::Running,
        };
        RunSample::new(state, Generation::new(generation))
    }

    fn pressure() -> bool {
        pvq_pressure()
    }

    fn may_lend() -> bool {
        pvq_may_lend()
    }

    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        let me = Self::cpu();
        let before = Self::waiting_for(me);
        pvq_set_waiting_for(number(me), target(cpu));
        before
    }

    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        Cpu::from_plus_one(pvq_waiting_for(number(cpu)).wrapping_add(1))
    }

    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        pvq_set_waiting_for(number(cpu), target(to));
    }

    fn yield_to(hint: Hint) -> Status {
        let raw = pvq_yield_to(number(hint.cpu), hint.generation.get());
        Status::from_register(raw.into())
    }

    #[inline]
    fn now_ns() -> u64 {
        pvq_now_ns()
    }
}

impl InC {
    fn halt(hint: Option<Hint>) {
        let generation = hint.map_or(0, |hint| hint.generation.get());
        pvq_halt(target(hint.map(|hint| hint.cpu)), generation);
    }

    fn kick(cpu: Cpu) {
        pvq_kick(number(cpu));
    }
}
