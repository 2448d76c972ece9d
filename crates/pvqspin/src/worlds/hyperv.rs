//! A guest of Hyper-V.
//!
//! | [`Env`] | here |
//! | --- | --- |
//! | `run_sample` | what the vCPU writes of itself: halted, or running. Hyper-V does not tell who is preempted |
//! | `yield_to` | always `Refused`: no CPU can be named |
//! | `spin_until` | after each recommended number of looks, `HvCallNotifyLongSpinWait` |
//! | `halt` | reads `HV_X64_MSR_GUEST_IDLE`, which ends with any interrupt, a masked one too |
//! | `kick` | an interrupt of the kernel's |
//! | `pressure` | always: nothing says that there is none |
//! | own time | none without an exit (`HV_X64_MSR_VP_RUNTIME` is one): budgets are wall time |
//!
//! So a lock here is a queue that halts and kicks, as Linux's is: it keeps waiters from burning pCPUs, and
//! does not cure preempted holders. The policy is [`FifoHalt`].
//!
//! From the *Hypervisor Top-Level Functional Specification* (Microsoft): CPUID leaves 0x40000003
//! (privileges) and 0x40000004 (recommendations), hypercall 0x0008, register 0x400000F0.

use core::cell::Cell;
use core::fmt;
use core::marker::PhantomData;

use super::{Kernel, common, names};
use crate::env::{Budget, Env, Sleep};
use crate::guest::spin;
use crate::nodes::CpuNodes;
use crate::policy::FifoHalt;
use pvqspin_abi::{Cpu, Generation, Hint, RunSample, RunState, Status};

/// `HvCallNotifyLongSpinWait`.
pub const CALL_NOTIFY_LONG_SPIN_WAIT: u64 = 0x0008;
/// `HV_X64_MSR_GUEST_IDLE`.
pub const MSR_GUEST_IDLE: u32 = 0x4000_00f0;

const GUEST_IDLE_AVAILABLE: u32 = 1 << 10;

/// What CPUID says about the host.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Features {
    /// The guest may read the register that makes it idle. Without it nothing halts.
    pub guest_idle: bool,
    /// After how many looks a long spin is to be told; `None`: never.
    pub spins_before_notice: Option<u32>,
}

impl Features {
    /// From EAX of leaf 0x40000003 and EBX of leaf 0x40000004, of a host that calls itself
    /// "Microsoft Hv".
    ///
    /// ```
    /// use pvqspin::worlds::hyperv::Features;
    ///
    /// let features = Features::from_cpuid(1 << 10, 0xfff);
    /// assert!(features.guest_idle && features.spins_before_notice == Some(0xfff));
    /// assert_eq!(Features::from_cpuid(0, u32::MAX).spins_before_notice, None);
    /// ```
    #[must_use]
    pub const fn from_cpuid(privileges_eax: u32, recommendations_ebx: u32) -> Self {
        Self {
            guest_idle: privileges_eax & GUEST_IDLE_AVAILABLE != 0,
            spins_before_notice: match recommendations_ebx {
                0 | u32::MAX => None,
                spins => Some(spins),
            },
        }
    }
}

/// What the host offers, through the kernel.
pub trait Platform: Kernel {
    /// What was found at boot.
    fn features() -> Features;

    /// Reads [`MSR_GUEST_IDLE`]. Returns after any interrupt, pending or taken.
    fn idle();

    /// Sends that CPU an interrupt whose handler does nothing. One that comes before
    /// [`idle`](Self::idle) must end it at once: the kernel masks interrupts around the two.
    fn interrupt(cpu: Cpu);

    /// [`CALL_NOTIFY_LONG_SPIN_WAIT`] with the number of spins.
    fn notify_long_spin(spins: u32);

    /// Does `body` with interrupts masked, and leaves them as they were.
    fn masked(body: impl FnOnce());
}

/// The environment of a kernel on Hyper-V.
pub struct HyperV<K>(PhantomData<fn() -> K>);

impl<K> fmt::Debug for HyperV<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("HyperV")
    }
}

names!(HyperV, FifoHalt);

impl<K: Platform> Env for HyperV<K> {
    common!(K);

    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let limit = K::features().spins_before_notice;
        let looks = Cell::new(0_u32);
        let condition = || {
            if condition() {
                return true;
            }
            looks.set(looks.get().saturating_add(1));
            if limit.is_some_and(|limit| looks.get() >= limit) {
                K::notify_long_spin(looks.take());
            }
            false
        };
        spin(condition, budget, K::now_ns)
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        let state = K::words(cpu).state_or(RunState::Running);
        RunSample::new(state, Generation::default())
    }

    fn pressure() -> bool {
        K::features().guest_idle
    }

    fn yield_to(_hint: Hint) -> Status {
        Status::Refused
    }
}

impl<K: Platform> HyperV<K> {
    fn halt(_hint: Option<Hint>) {
        if K::features().guest_idle {
            K::masked(|| K::words(K::cpu()).halt(K::idle));
        }
    }

    fn kick(cpu: Cpu) {
        if K::words(cpu).kick() {
            K::interrupt(cpu);
        }
    }
}
