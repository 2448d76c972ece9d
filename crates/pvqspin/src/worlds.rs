//! [`Env`](crate::Env) for guests of other hypervisors. Feature `worlds`.
//!
//! | | sees who is preempted | names the CPU to run | halts and kicks | own time |
//! | --- | --- | --- | --- | --- |
//! | `kvm` (feature of that name) | yes | a hint | yes | yes |
//! | [`power`]: PowerVM, and KVM on Power | yes, exactly | yes, with the generation | yes | no |
//! | [`xen`] | yes | no | yes | yes |
//! | [`arm`]: SMCCC | no | no | yes, by interrupts | yes |
//! | [`hyperv`] | no | no | yes, by interrupts | no |
//!
//! Each says at its top what its host can and cannot do, and from which public specification that is.
//!
//! A kernel implements [`Kernel`] once, and the `Platform` of its host: a handful of functions, which are
//! hypercalls, registers and records. Everything that decides is here, and runs on any machine: the
//! tests play each hypervisor.
//!
//! The words that a vCPU writes of itself ([`Words`]) tell a halt from a preemption where the host does
//! not, and decide the race between a halt and a kick, as on KVM: the second one sees the first.

use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};

use crate::nodes::CpuNodes;
use pvqspin_abi::{Cpu, RunState};

pub mod arm;
pub mod hyperv;
pub mod power;
pub mod xen;

const YIELDING: u32 = 1 << 0;
const HALTED: u32 = 1 << 1;
const KICKED: u32 = 1 << 2;

/// What a vCPU writes down of itself. All zero is one that has not started. A kernel has an array of
/// them, beside that of [`CpuNodes`].
#[derive(Debug, Default)]
#[repr(C, align(128))]
pub struct Words {
    doing: AtomicU32,
    waiting_for: AtomicU32,
}

impl Words {
    /// A vCPU that has not started.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            doing: AtomicU32::new(0),
            waiting_for: AtomicU32::new(0),
        }
    }

    fn waiting_for(&self) -> Option<Cpu> {
        // Relaxed, here and below: the edge is advice.
        Cpu::from_plus_one(self.waiting_for.load(Relaxed))
    }

    fn set_waiting_for(&self, cpu: Option<Cpu>) {
        self.waiting_for
            .store(cpu.map_or(0, Cpu::plus_one), Relaxed);
    }

    /// What it says of itself, or what the host says of a vCPU that says nothing.
    fn state_or(&self, host: RunState) -> RunState {
        // Acquire: what a CPU published before it left is visible to one that sees it gone.
        match self.doing.load(Acquire) & (YIELDING | HALTED | KICKED) {
            HALTED => RunState::Halted,
            doing if doing & (YIELDING | HALTED) != 0 => RunState::Preempted,
            _ => host,
        }
    }

    /// Does `yield_pcpu` as one that lends its pCPU.
    fn while_yielding(&self, yield_pcpu: impl FnOnce()) {
        // Relaxed: advice. Others may kick meanwhile, so no plain store.
        self.doing.fetch_or(YIELDING, Relaxed);
        yield_pcpu();
        self.doing.fetch_and(!YIELDING, Relaxed);
    }

    /// Halts, unless a kick came before.
    fn halt(&self, halt: impl FnOnce()) {
        // Acquire pairs with the release of the kick: what came before it is visible now. One location
        // decides: a kick comes before this exchange, which then finds it, or after, and finds the halt.
        let before = self.doing.fetch_or(HALTED, AcqRel);
        if before & KICKED == 0 {
            halt();
        }
        self.doing.fetch_and(!(HALTED | KICKED), AcqRel);
    }

    /// Notes a kick; says whether the host has to be called.
    fn kick(&self) -> bool {
        // Release: what the kicker did before is visible after the halt that the kick ends.
        self.doing.fetch_or(KICKED, AcqRel) & HALTED != 0
    }
}

/// What a kernel has to say, whatever its host. Everything it returns belongs to the kernel.
///
/// The contract is that of [`Env`](crate::Env): [`cpu`](Self::cpu) is constant while a lock is taken or
/// held, and [`nodes`](Self::nodes) and [`words`](Self::words) are a place of its own for each CPU.
pub trait Kernel: 'static {
    /// [`Env::MAX_CPUS`](crate::Env::MAX_CPUS), if there may be more than 8,190.
    const MAX_CPUS: usize = <crate::word::SpareBit as crate::word::Format>::MAX_CPUS;

    /// The CPU that executes this: from a per-CPU variable. On every fast path.
    fn cpu() -> Cpu;

    /// How many CPUs there are at most: their numbers are below.
    fn cpu_count() -> usize;

    /// The queue nodes of a CPU.
    fn nodes(cpu: Cpu) -> &'static CpuNodes;

    /// What a CPU says of itself.
    fn words(cpu: Cpu) -> &'static Words;

    /// Monotonic time in nanoseconds, comparable between CPUs. It must advance.
    fn now_ns() -> u64;

    /// Whether the running CPU may lend its pCPU: not in a handler that interrupts code with interrupts
    /// masked. See [`Env::may_lend`](crate::Env::may_lend).
    #[inline]
    fn may_lend() -> bool {
        true
    }

    /// [`Env::self_deadlock`](crate::Env::self_deadlock): this CPU is about to wait for the lock at this
    /// address, which it holds.
    #[inline]
    fn self_deadlock(lock: usize) {
        let _ = lock;
    }

    /// [`Env::interrupt_state`](crate::Env::interrupt_state): whether the running CPU could be
    /// interrupted. The default cannot tell.
    #[cfg(feature = "lockdep")]
    fn interrupt_state() -> crate::lockdep::InterruptState {
        crate::lockdep::InterruptState::Unknown
    }

    /// [`Env::order_violation`](crate::Env::order_violation): the order checker found something. By
    /// default nothing happens.
    #[cfg(feature = "lockdep")]
    fn order_violation(violation: &crate::lockdep::Violation) {
        let _ = violation;
    }
}

/// The functions of [`Env`](crate::Env) that are the same in all of these worlds.
macro_rules! common {
    ($K:ident) => {
        const MAX_CPUS: usize = $K::MAX_CPUS;

        #[inline]
        fn cpu() -> Cpu {
            $K::cpu()
        }

        #[inline]
        fn nodes(cpu: Cpu) -> &'static CpuNodes {
            $K::nodes(cpu)
        }

        #[inline]
        fn cpu_count() -> usize {
            $K::cpu_count()
        }

        #[inline]
        fn now_ns() -> u64 {
            $K::now_ns()
        }

        #[inline]
        fn may_lend() -> bool {
            $K::may_lend()
        }

        fn self_deadlock(lock: usize) {
            $K::self_deadlock(lock);
        }

        #[cfg(feature = "lockdep")]
        fn interrupt_state() -> crate::lockdep::InterruptState {
            $K::interrupt_state()
        }

        #[cfg(feature = "lockdep")]
        fn order_violation(violation: &crate::lockdep::Violation) {
            $K::order_violation(violation);
        }

        fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
            let words = $K::words($K::cpu());
            let before = words.waiting_for();
            words.set_waiting_for(cpu);
            before
        }

        fn waiting_for(cpu: Cpu) -> Option<Cpu> {
            $K::words(cpu).waiting_for()
        }

        fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
            $K::words(cpu).set_waiting_for(to);
        }
    };
}
use common;

/// The short names of locks in one world.
macro_rules! names {
    ($world:ident, $policy:ty) => {
        /// Data behind a lock of the kernel `K`.
        pub type Mutex<T, K> = crate::MutexOf<T, RawMutex<K>>;

        /// Data behind a reader-writer lock of the kernel `K`.
        pub type RwLock<T, K> = crate::RwLockOf<T, RawRwLock<K>>;

        /// The lock without data: four bytes, and a raw mutex of `lock_api`.
        pub type RawMutex<K> = crate::QSpinLock<$world<K>, $policy>;

        /// The reader-writer lock without data: eight bytes, and one of `lock_api`.
        pub type RawRwLock<K> = crate::QRwLock<$world<K>, $policy>;
    };
}
use names;
