//! A guest on Arm, of any hypervisor that keeps Arm's calling convention.
//!
//! | [`Env`] | here |
//! | --- | --- |
//! | `run_sample` | what the vCPU writes of itself: halted, or running. The standard does not tell who is preempted; the generation moves with the stolen time |
//! | `yield_to` | always `Refused`: no CPU can be named |
//! | `halt` | `WFI`, which a pending interrupt ends, a masked one too |
//! | `kick` | a software-generated interrupt of the kernel's |
//! | `pressure` | whether any of the last 10 ms were stolen from *this* vCPU; always, without stolen time |
//! | own time | the stolen time is subtracted |
//!
//! From *Paravirtualized Time for Arm-based Systems* (Arm, DEN0057): `PV_TIME_FEATURES`, `PV_TIME_ST` and
//! the stolen time structure; and the *SMC Calling Convention* (DEN0028).
//!
//! `WFE` is no way to wait here: the lock's words are changed by plain stores and exchanges of CPUs whose
//! monitors know nothing of the waiter, so only the event stream would end it. A kernel that has the event
//! stream on may use it all the same, in [`Platform::relax`].

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicU64};

use super::{Kernel, common, names};
use crate::env::{Budget, Env, Sleep};
use crate::guest::{own_ns, spin};
use crate::nodes::CpuNodes;
use crate::policy::FifoHalt;
use pvqspin_abi::{Cpu, Generation, Hint, RunSample, RunState, Status};

/// `PV_TIME_FEATURES`: whether the call given as its argument is there.
pub const PV_TIME_FEATURES: u32 = 0xc500_0020;
/// `PV_TIME_ST`: where the running vCPU's stolen time is, in the guest's physical memory.
pub const PV_TIME_ST: u32 = 0xc500_0021;

const WINDOW_NS: u64 = 10_000_000;
const STOLEN_NS: u64 = WINDOW_NS / 100;

/// Where `PV_TIME_ST` says that the structure is, if it says so: errors are negative.
#[must_use]
pub const fn stolen_time_address(returned: i64) -> Option<u64> {
    if returned < 0 {
        None
    } else {
        Some(returned as u64)
    }
}

/// The structure that the host writes for a vCPU.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct StolenTime {
    revision: AtomicU32,
    attributes: AtomicU32,
    stolen_ns: AtomicU64,
}

impl StolenTime {
    /// Of a vCPU that has not started.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            revision: AtomicU32::new(0),
            attributes: AtomicU32::new(0),
            stolen_ns: AtomicU64::new(0),
        }
    }

    /// For how long the vCPU could run and did not, in ns.
    #[must_use]
    pub fn stolen_ns(&self) -> u64 {
        u64::from_le(self.stolen_ns.load(Relaxed))
    }
}

/// When a vCPU last looked whether it lacks a pCPU. A kernel has one for each CPU.
#[derive(Debug, Default)]
pub struct Window {
    stolen_then: AtomicU64,
    began: AtomicU64,
}

impl Window {
    /// Of a vCPU that has not started.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            stolen_then: AtomicU64::new(0),
            began: AtomicU64::new(0),
        }
    }

    fn lacks_pcpu(&self, stolen_ns: u64, now_ns: u64) -> bool {
        let lately = stolen_ns.wrapping_sub(self.stolen_then.load(Relaxed));
        if now_ns.wrapping_sub(self.began.load(Relaxed)) >= WINDOW_NS {
            self.began.store(now_ns, Relaxed);
            self.stolen_then.store(stolen_ns, Relaxed);
        }
        lately > STOLEN_NS
    }
}

/// What the host offers, through the kernel.
pub trait Platform: Kernel {
    /// The stolen time of a CPU; `None` if the host has none.
    fn stolen_time(cpu: Cpu) -> Option<&'static StolenTime>;

    /// The window of a CPU.
    fn window(cpu: Cpu) -> &'static Window;

    /// `WFI`. Returns after any interrupt, pending or taken.
    fn wait_for_interrupt();

    /// Sends that CPU an interrupt whose handler does nothing. One that comes before
    /// [`wait_for_interrupt`](Self::wait_for_interrupt) must end it at once: the kernel masks interrupts
    /// around the two.
    fn interrupt(cpu: Cpu);

    /// Does `body` with interrupts masked, and leaves them as they were.
    fn masked(body: impl FnOnce());

    /// Between two looks at a condition: `ISB` or `YIELD`.
    #[inline]
    fn relax() {
        core::hint::spin_loop();
    }
}

/// The environment of a kernel on Arm.
pub struct Arm<K>(PhantomData<fn() -> K>);

impl<K> fmt::Debug for Arm<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Arm")
    }
}

names!(Arm, FifoHalt);

impl<K: Platform> Arm<K> {
    fn stolen_ns(cpu: Cpu) -> u64 {
        K::stolen_time(cpu).map_or(0, StolenTime::stolen_ns)
    }
}

impl<K: Platform> Env for Arm<K> {
    common!(K);

    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let condition = || {
            let held = condition();
            if !held {
                K::relax();
            }
            held
        };
        let own = || own_ns(K::now_ns, || Self::stolen_ns(K::cpu()));
        spin(condition, budget, own)
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        let stolen = Self::stolen_ns(cpu);
        let generation = Generation::new((stolen ^ stolen >> 30) as u32);
        RunSample::new(K::words(cpu).state_or(RunState::Running), generation)
    }

    fn pressure() -> bool {
        let cpu = K::cpu();
        K::stolen_time(cpu)
            .is_none_or(|time| K::window(cpu).lacks_pcpu(time.stolen_ns(), K::now_ns()))
    }

    fn yield_to(_hint: Hint) -> Status {
        Status::Refused
    }
}

impl<K: Platform> Arm<K> {
    fn halt(_hint: Option<Hint>) {
        K::masked(|| K::words(K::cpu()).halt(K::wait_for_interrupt));
    }

    fn kick(cpu: Cpu) {
        if K::words(cpu).kick() {
            K::interrupt(cpu);
        }
    }
}
