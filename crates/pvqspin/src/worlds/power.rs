//! A guest of PowerVM, or of KVM on Power: the shared-processor interface of the Power Architecture.
//!
//! This host fits the lock exactly: it publishes for each virtual processor how often it was dispatched
//! and preempted, takes the target of a directed yield *with* that number, and remembers a prod.
//!
//! | [`Env`] | here |
//! | --- | --- |
//! | `run_sample` | the yield count in the target's VPA: odd while it is off; half of it is the generation. What the vCPU writes of itself tells a cede from a preemption |
//! | `yield_to` | `H_CONFER` with target and yield count: the hypervisor drops it if the count has moved |
//! | `halt` | `H_CEDE`; a prod that came first ends it at once |
//! | `kick` | `H_PROD` |
//! | `pressure` | whether this partition shares its processors |
//! | own time | none: the VPA counts dispatches; budgets are wall time |
//!
//! The hypervisor follows no chain: the guest does, 64 vCPUs far at most.
//!
//! From the *Power Architecture Platform Reference* (LoPAR, OpenPOWER Foundation), chapter
//! "Shared Processor LPAR": `H_CEDE` (0xE0), `H_CONFER` (0xE4), `H_PROD` (0xE8), and the virtual
//! processor area with its dispatch and yield counts.
//!
//! `H_CEDE` enables external interrupts while the processor is ceded. A kernel that masks them softly, as
//! Linux does, returns from [`Platform::cede`] with them as they were.

use core::fmt;
use core::marker::PhantomData;

use super::{Kernel, common, names};
use crate::env::{Budget, Env, Sleep};
use crate::guest::{end_of_chain, spin};
use crate::nodes::CpuNodes;
use crate::policy::Bounded;
use pvqspin_abi::{Cpu, Generation, Hint, RunSample, RunState, Status};

/// `H_CEDE`.
pub const H_CEDE: u64 = 0xe0;
/// `H_CONFER`.
pub const H_CONFER: u64 = 0xe4;
/// `H_PROD`.
pub const H_PROD: u64 = 0xe8;

/// What the host offers, through the kernel.
pub trait Platform: Kernel {
    /// The yield count in the VPA of a CPU, in the byte order of this machine.
    fn yield_count(cpu: Cpu) -> u32;

    /// `H_CONFER` to that CPU (by its hardware number), with that yield count.
    fn confer(cpu: Cpu, yield_count: u32);

    /// `H_PROD` of that CPU.
    fn prod(cpu: Cpu);

    /// `H_CEDE`. Returns with interrupts as they were.
    fn cede();

    /// Whether this partition shares its processors with others. Dedicated ones are never preempted.
    fn is_shared() -> bool {
        true
    }
}

/// The environment of a kernel on Power.
pub struct Power<K>(PhantomData<fn() -> K>);

impl<K> fmt::Debug for Power<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Power")
    }
}

names!(Power, Bounded);

impl<K: Platform> Power<K> {
    fn sample_and_count(cpu: Cpu) -> (RunSample, u32) {
        // The count first: it is what a confer is checked against.
        let count = K::yield_count(cpu);
        let host = if count & 1 == 0 {
            RunState::Running
        } else {
            RunState::Preempted
        };
        let state = match (K::words(cpu).state_or(host), host) {
            // Dispatched again: a handler of the interrupt that ended its cede runs.
            (RunState::Halted | RunState::Preempted, RunState::Running) if K::is_shared() => host,
            (state, _) => state,
        };
        (RunSample::new(state, Generation::new(count >> 1)), count)
    }
}

impl<K: Platform> Env for Power<K> {
    common!(K);

    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    fn spin_until(condition: impl FnMut() -> bool, budget: Budget) -> bool {
        spin(condition, budget, K::now_ns)
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        Self::sample_and_count(cpu).0
    }

    fn pressure() -> bool {
        K::is_shared()
    }

    fn yield_to(hint: Hint) -> Status {
        let target = match end_of_chain::<Self>(hint) {
            Ok(target) => target,
            Err(status) => return status,
        };
        let (before, count) = Self::sample_and_count(target);
        if !before.is_preempted() {
            return Status::AlreadyRunning;
        }
        K::words(K::cpu()).while_yielding(|| K::confer(target, count));
        // The call returns success whatever came of it.
        if K::yield_count(target) == count {
            Status::Refused
        } else {
            Status::Ran
        }
    }
}

impl<K: Platform> Power<K> {
    fn halt(hint: Option<Hint>) {
        if let Some(hint) = hint {
            let _ = Self::yield_to(hint);
        }
        K::words(K::cpu()).halt(K::cede);
    }

    fn kick(cpu: Cpu) {
        // A prod is remembered, so it does no harm for one that has not ceded yet.
        if K::words(cpu).kick() {
            K::prod(cpu);
        }
    }
}
