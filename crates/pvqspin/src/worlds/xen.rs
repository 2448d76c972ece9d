//! A guest of Xen.
//!
//! | [`Env`] | here |
//! | --- | --- |
//! | `run_sample` | the runstate area of the target: *runnable* is preempted; the time at which it entered its state is the generation. What the vCPU writes of itself tells a poll from other waits |
//! | `yield_to` | always `Refused`: Xen has `SCHEDOP_yield`, which names no vCPU |
//! | `halt` | `SCHEDOP_poll` of an event channel of this CPU; an event that came first ends it at once |
//! | `kick` | `EVTCHNOP_send` on the target's channel |
//! | `pressure` | whether any of the last 10 ms were stolen from *this* vCPU |
//! | own time | the time in *runnable* and *offline* is subtracted |
//!
//! From Xen's public headers (`xen/include/public`, MIT licence): `vcpu.h`
//! (`VCPUOP_register_runstate_memory_area`, `struct vcpu_runstate_info`), `sched.h`
//! (`SCHEDOP_poll`), `event_channel.h` (`EVTCHNOP_send`).
//!
//! The runstate area of *another* vCPU is up to date only if the kernel enables
//! `VMASST_TYPE_runstate_update_flag`, which also marks an update in progress.

use core::fmt;
use core::marker::PhantomData;
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::{AtomicU32, AtomicU64};

use super::{Kernel, common, names};
use crate::env::{Budget, Env, Sleep};
use crate::guest::{own_ns, spin};
use crate::nodes::CpuNodes;
use crate::policy::Bounded;
use pvqspin_abi::{Cpu, Generation, Hint, RunSample, RunState, Status};

/// `RUNSTATE_runnable`: it could run, and does not.
const RUNNABLE: u32 = 1;
/// `RUNSTATE_offline`.
const OFFLINE: usize = 3;
/// `XEN_RUNSTATE_UPDATE`: an update is in progress.
const UPDATING: u64 = 1 << 63;

/// How long another vCPU has to have had the pCPU, in ns, for the vCPU to lack one: a hundredth of
/// [`WINDOW_NS`].
const STOLEN_NS: u64 = WINDOW_NS / 100;
const WINDOW_NS: u64 = 10_000_000;

/// The area that Xen writes for a vCPU: `struct vcpu_runstate_info`.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Runstate {
    state: AtomicU32,
    #[cfg(target_pointer_width = "64")]
    padding: u32,
    entered: AtomicU64,
    times: [AtomicU64; 4],
    /// Not Xen's: what had been stolen when the window began, and when that was.
    stolen_then: AtomicU64,
    window_began: AtomicU64,
}

impl Runstate {
    /// Of a vCPU that has not started.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            state: AtomicU32::new(0),
            #[cfg(target_pointer_width = "64")]
            padding: 0,
            entered: AtomicU64::new(0),
            times: [const { AtomicU64::new(0) }; 4],
            stolen_then: AtomicU64::new(0),
            window_began: AtomicU64::new(0),
        }
    }

    /// For how long it could run and did not, in ns.
    #[must_use]
    pub fn stolen_ns(&self) -> u64 {
        // Relaxed: the reader looks twice.
        let time = |at: usize| self.times[at].load(Relaxed);
        time(RUNNABLE as usize).wrapping_add(time(OFFLINE))
    }

    fn sample(&self) -> (RunState, Generation) {
        // Acquire: who sees a CPU preempted sees the edge that it published before. The generation
        // first, so that a hint that is old is dropped.
        let entered = self.entered.load(Acquire) & !UPDATING;
        let state = if self.state.load(Acquire) == RUNNABLE {
            RunState::Preempted
        } else {
            RunState::Running
        };
        // Two runs that begin in the same 2^-30 of time share a number: a yield too many.
        (state, Generation::new((entered ^ entered >> 30) as u32))
    }

    /// Whether it waited for a pCPU in this window. Asked by its own vCPU only.
    fn lacks_pcpu(&self, now_ns: u64) -> bool {
        let stolen = self.stolen_ns();
        let lately = stolen.wrapping_sub(self.stolen_then.load(Relaxed));
        if now_ns.wrapping_sub(self.window_began.load(Relaxed)) >= WINDOW_NS {
            self.window_began.store(now_ns, Relaxed);
            self.stolen_then.store(stolen, Relaxed);
        }
        lately > STOLEN_NS
    }
}

/// What the host offers, through the kernel.
pub trait Platform: Kernel {
    /// The runstate area of a CPU, which the kernel has registered.
    fn runstate(cpu: Cpu) -> &'static Runstate;

    /// `SCHEDOP_poll` of this CPU's channel for kicks, without a timeout. Returns when an event is
    /// pending, and makes it not pending.
    fn poll();

    /// `EVTCHNOP_send` on that CPU's channel for kicks. The event stays pending until polled.
    fn send(cpu: Cpu);
}

/// The environment of a kernel on Xen.
pub struct Xen<K>(PhantomData<fn() -> K>);

impl<K> fmt::Debug for Xen<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Xen")
    }
}

names!(Xen, Bounded);

impl<K: Platform> Env for Xen<K> {
    common!(K);

    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    fn spin_until(condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let own = || own_ns(K::now_ns, || K::runstate(K::cpu()).stolen_ns());
        spin(condition, budget, own)
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        let (host, generation) = K::runstate(cpu).sample();
        RunSample::new(K::words(cpu).state_or(host), generation)
    }

    fn pressure() -> bool {
        K::runstate(K::cpu()).lacks_pcpu(K::now_ns())
    }

    fn yield_to(_hint: Hint) -> Status {
        Status::Refused
    }
}

impl<K: Platform> Xen<K> {
    fn halt(_hint: Option<Hint>) {
        K::words(K::cpu()).halt(K::poll);
    }

    fn kick(cpu: Cpu) {
        if K::words(cpu).kick() {
            K::send(cpu);
        }
    }
}
