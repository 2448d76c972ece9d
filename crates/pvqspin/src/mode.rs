//! Choosing at boot: paravirtual or native behaviour of a lock compiled for both.
//!
//! The fast path has no branch for it, and needs none: a paravirtual lock whose environment
//! reports that no CPU is ever preempted makes no hypercall. So the choice is made in the
//! environment, and [`Switchable`] makes it there. What remains of the paravirtual lock on bare
//! metal is about a nanosecond (`pvq uncontended` prints it). Who wants that back too uses
//! [`Native`](crate::Native) in another build.

use core::fmt;
use core::marker::PhantomData;
use core::str::FromStr;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::env::{Budget, Env, Point, Sleep};
use crate::nodes::CpuNodes;
use pvqspin_abi::{Cpu, Hint, RunSample, Status};

/// What the administrator asked for, on the kernel's command line for instance.
///
/// ```
/// use pvqspin::mode::{Detected, Mode};
///
/// let mode: Mode = "auto".parse().unwrap();
/// let choice = mode.choose(Detected { hypervisor: true, directed_yield: true, dedicated: false });
/// assert!(choice.paravirtual);
/// // The caller logs it, so that a log shows what runs:
/// assert_eq!(
///     choice.to_string(),
///     "pvqspin: paravirtual (auto: the host offers directed yields)"
/// );
/// assert!("fast".parse::<Mode>().is_err());
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Mode {
    /// Paravirtual where it helps.
    #[default]
    Auto,
    /// Never a hypercall.
    Native,
    /// Hypercalls wherever there is a host that takes them.
    Paravirtual,
}

/// What the kernel found out about its host.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Detected {
    /// There is a hypervisor.
    pub hypervisor: bool,
    /// It offers directed yields and a shared run state.
    pub directed_yield: bool,
    /// It promises one pCPU for each vCPU.
    pub dedicated: bool,
}

/// What was chosen and why. Its `Display` is a line for the boot log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Choice {
    /// Whether hypercalls are made.
    pub paravirtual: bool,
    /// What was asked for.
    pub asked: Mode,
    /// The reason, in words.
    pub reason: &'static str,
}

impl Mode {
    /// Decides.
    #[must_use]
    pub const fn choose(self, found: Detected) -> Choice {
        let (paravirtual, reason) = match (self, found) {
            (Self::Native, _) => (false, "as asked"),
            (
                _,
                Detected {
                    hypervisor: false, ..
                },
            ) => (false, "there is no hypervisor"),
            (
                _,
                Detected {
                    directed_yield: false,
                    ..
                },
            ) => (false, "the host offers no directed yields"),
            (Self::Paravirtual, _) => (true, "as asked"),
            (
                Self::Auto,
                Detected {
                    dedicated: true, ..
                },
            ) => (false, "the host dedicates a pCPU to each vCPU"),
            (Self::Auto, _) => (true, "the host offers directed yields"),
        };
        Choice {
            paravirtual,
            asked: self,
            reason,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Native => "native",
            Self::Paravirtual => "paravirtual",
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let chosen = if self.paravirtual {
            Mode::Paravirtual
        } else {
            Mode::Native
        };
        write!(f, "pvqspin: {chosen} ({}: {})", self.asked, self.reason)
    }
}

/// Not a [`Mode`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct UnknownMode;

impl fmt::Display for UnknownMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("unknown lock mode; known are: auto, native, paravirtual")
    }
}

impl core::error::Error for UnknownMode {}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(name: &str) -> Result<Self, UnknownMode> {
        [Self::Auto, Self::Native, Self::Paravirtual]
            .into_iter()
            .find(|mode| mode.name() == name)
            .ok_or(UnknownMode)
    }
}

/// Where a [`Switchable`] environment finds the choice. Off until switched on, so that locks work
/// in early boot before anything was detected.
#[derive(Debug, Default)]
pub struct Switch(AtomicBool);

impl Switch {
    /// Off.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicBool::new(false))
    }

    /// Makes the choice effective. Once, at boot, before other CPUs start: a waiter that halted
    /// in one mode must not be left waiting for a kick by a releaser in the other.
    pub fn set(&self, choice: Choice) {
        // Relaxed: other CPUs are started afterwards, which orders it.
        self.0.store(choice.paravirtual, Ordering::Relaxed);
    }

    /// Whether hypercalls are made.
    #[must_use]
    #[inline]
    pub fn is_paravirtual(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Names the [`Switch`] of a [`Switchable`] environment.
pub trait HasSwitch: 'static {
    /// The switch.
    fn switch() -> &'static Switch;
}

/// An environment that behaves as `E` when its switch is on, and as bare metal when it is off.
///
/// Only slow paths ask the switch.
///
/// ```
/// # use pvqspin::{Budget, Cpu, CpuNodes, Env};
/// # struct Kernel;
/// # static NODES: CpuNodes = CpuNodes::new();
/// # impl Env for Kernel {
/// #     fn cpu() -> Cpu { Cpu::new(0).unwrap() }
/// #     fn nodes(_: Cpu) -> &'static CpuNodes { &NODES }
/// #     fn spin_until(mut c: impl FnMut() -> bool, _: Budget) -> bool { while !c() {} true }
/// # }
/// use pvqspin::mode::{Detected, HasSwitch, Mode, Switch, Switchable};
///
/// struct Boot;
/// static SWITCH: Switch = Switch::new();
///
/// impl HasSwitch for Boot {
///     fn switch() -> &'static Switch {
///         &SWITCH
///     }
/// }
///
/// static LOCK: pvqspin::Mutex<u32, Switchable<Kernel, Boot>> = pvqspin::Mutex::new(0);
/// *LOCK.lock() += 1; // in early boot: off
/// SWITCH.set(Mode::Auto.choose(Detected { hypervisor: true, directed_yield: true, dedicated: false }));
/// *LOCK.lock() += 1; // from now on with hypercalls
/// assert_eq!(*LOCK.lock(), 2);
/// ```
#[derive(Debug)]
pub struct Switchable<E, S>(PhantomData<fn() -> (E, S)>);

impl<E: Env, S: HasSwitch> Env for Switchable<E, S> {
    const MAX_CPUS: usize = E::MAX_CPUS;
    const SLEEP: Option<Sleep> = match E::SLEEP {
        Some(_) => Some(Sleep {
            halt: Self::halt,
            kick: Self::kick,
        }),
        None => None,
    };

    #[inline]
    fn cpu() -> Cpu {
        E::cpu()
    }

    #[inline]
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        E::nodes(cpu)
    }

    #[inline]
    fn spin_until(condition: impl FnMut() -> bool, budget: Budget) -> bool {
        E::spin_until(condition, budget)
    }

    #[inline]
    fn run_sample(cpu: Cpu) -> RunSample {
        if S::switch().is_paravirtual() {
            E::run_sample(cpu)
        } else {
            RunSample::RUNNING
        }
    }

    #[inline]
    fn pressure() -> bool {
        S::switch().is_paravirtual() && E::pressure()
    }

    #[inline]
    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        if S::switch().is_paravirtual() {
            E::set_waiting_for(cpu)
        } else {
            None
        }
    }

    #[inline]
    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        E::waiting_for(cpu)
    }

    #[inline]
    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        if S::switch().is_paravirtual() {
            E::redirect_wait_of(cpu, to);
        }
    }

    #[cfg(feature = "lockdep")]
    fn interrupt_state() -> crate::lockdep::InterruptState {
        E::interrupt_state()
    }

    #[cfg(feature = "lockdep")]
    fn order_violation(violation: &crate::lockdep::Violation) {
        E::order_violation(violation);
    }

    #[inline]
    fn cpu_count() -> usize {
        E::cpu_count()
    }

    #[inline]
    fn yield_to(hint: Hint) -> Status {
        if S::switch().is_paravirtual() {
            E::yield_to(hint)
        } else {
            Status::Refused
        }
    }

    #[inline]
    fn may_lend() -> bool {
        E::may_lend()
    }

    #[inline]
    fn now_ns() -> u64 {
        E::now_ns()
    }

    #[inline]
    fn self_deadlock(lock: usize) {
        E::self_deadlock(lock);
    }

    #[inline]
    fn checkpoint(point: Point) {
        E::checkpoint(point);
    }
}

impl<E: Env, S: HasSwitch> Switchable<E, S> {
    #[inline]
    fn halt(hint: Option<Hint>) {
        if S::switch().is_paravirtual() {
            Sleep::halt::<E>(hint);
        }
    }

    #[inline]
    fn kick(cpu: Cpu) {
        if S::switch().is_paravirtual() {
            Sleep::kick::<E>(cpu);
        }
    }
}
