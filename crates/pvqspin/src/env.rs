//! The world as the lock sees it: one trait, implemented once for each environment.
//!
//! The slow path never looks at a clock, a register or a hypervisor by itself. It asks [`Env`],
//! whose functions are all static, because a kernel finds its CPU in a register and has nothing
//! to pass in. Bare metal implements the first three and leaves the rest, which then compile to
//! nothing; a guest adds the paravirtual ones; a simulator can stop a virtual CPU in every one.
//!
//! Because [`Env::spin_until`] is the *only* way to wait, and everything paravirtual passes
//! through here, an environment sees all that a lock does without instrumented atomics.

use crate::nodes::CpuNodes;
use pvqspin_abi::{Cpu, Hint, RunSample, Status};

/// How long [`Env::spin_until`] may try.
///
/// ```
/// use pvqspin::Budget;
///
/// assert_eq!(Budget::ns(15_000).get(), Some(15_000));
/// assert_eq!(Budget::FOREVER.get(), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Budget(u32);

impl Budget {
    /// Until the condition holds, however long that takes.
    pub const FOREVER: Self = Self(u32::MAX);

    /// About so many nanoseconds of the caller's own time. Environments without a clock round.
    #[must_use]
    pub const fn ns(ns: u32) -> Self {
        Self(ns)
    }

    /// The nanoseconds, or `None` for [`FOREVER`](Self::FOREVER).
    #[must_use]
    #[inline]
    pub const fn get(self) -> Option<u32> {
        if self.0 == u32::MAX {
            None
        } else {
            Some(self.0)
        }
    }
}

/// The instants at which a preemption hurts most. See [`Env::checkpoint`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Point {
    /// About to join: nothing is published yet. Rivals: before the first contended attempt.
    Joining,
    /// Joined: the tail names this CPU, and nothing links it yet. A wait counts from here.
    Joined,
    /// Linked behind the predecessor, the wait-for edge published.
    Linked,
    /// The wish to be kicked is published; the halt comes next.
    Halting,
    /// The lock is held. In locks that name the holder elsewhere: before it is named.
    Taken,
    /// The lock is free again; the next in line was neither kicked nor yielded to.
    Released,
    /// In the fallback, with no queue node to wait on.
    Fallback,
}

impl Point {
    /// Every point, in the order of the slow path.
    pub const ALL: [Self; 7] = [
        Self::Joining,
        Self::Joined,
        Self::Linked,
        Self::Halting,
        Self::Taken,
        Self::Released,
        Self::Fallback,
    ];
}

/// How a CPU sleeps, and how it is woken: an environment has both, or neither.
///
/// ```
/// use pvqspin::{Cpu, Hint, Sleep};
/// # fn hypercall_halt(_: Option<Hint>) {}
/// # fn hypercall_kick(_: Cpu) {}
///
/// // In `impl Env`: const SLEEP: Option<Sleep> =
/// const SLEEP: Option<Sleep> = Some(Sleep {
///     halt: hypercall_halt,
///     kick: hypercall_kick,
/// });
/// # let _ = SLEEP;
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Sleep {
    /// Stops this CPU until it is kicked, and asks the host to run the hinted one. It may return at any
    /// time, for any reason: the lock looks again.
    ///
    /// Called with interrupts as they are where the lock is taken: masked, under an
    /// [`IrqLock`](crate::irq::IrqLock). An interrupt may end it.
    pub halt: fn(Option<Hint>),
    /// Ends the halt of that CPU, or the next one if it has not halted yet.
    ///
    /// It orders: what the caller did before it is visible to the CPU once its halt has ended.
    pub kick: fn(Cpu),
}

impl Sleep {
    /// Halts in `E`. Returns at once where no CPU sleeps.
    #[inline]
    pub fn halt<E: Env>(hint: Option<Hint>) {
        if let Some(sleep) = E::SLEEP {
            (sleep.halt)(hint);
        }
    }

    /// Kicks in `E`. Does nothing where no CPU sleeps.
    #[inline]
    pub fn kick<E: Env>(cpu: Cpu) {
        if let Some(sleep) = E::SLEEP {
            (sleep.kick)(cpu);
        }
    }
}

/// An environment in which the lock runs.
///
/// # Contract
///
/// - [`cpu`](Self::cpu) is constant while a lock is being taken or is held: preemption by *this*
///   kernel's scheduler must be off, as for every spinlock. Preemption by a hypervisor is what
///   the lock is for.
/// - [`nodes`](Self::nodes) returns the same place for the same CPU, always, and different places
///   for different CPUs. A lock of an implementation that breaks this may hang for ever; it still
///   excludes, because every acquisition is one exchange of the word from free to held.
/// - [`SLEEP`](Self::SLEEP), where there is one, keeps the contract of [`Sleep`].
/// - [`spin_until`](Self::spin_until) must also see what the *host* writes, and its budget must run
///   out: an implementation with Arm's `WFE` needs the event stream.
///
/// # Examples
///
/// Bare metal, one CPU (a real kernel reads the number from a register, and has an array):
///
/// ```
/// use pvqspin::{Budget, Cpu, CpuNodes, Env};
///
/// struct BareMetal;
/// static NODES: CpuNodes = CpuNodes::new();
///
/// impl Env for BareMetal {
///     fn cpu() -> Cpu {
///         Cpu::new(0).unwrap()
///     }
///     fn nodes(_cpu: Cpu) -> &'static CpuNodes {
///         &NODES
///     }
///     fn spin_until(mut condition: impl FnMut() -> bool, _budget: Budget) -> bool {
///         while !condition() {
///             core::hint::spin_loop();
///         }
///         true
///     }
/// }
///
/// static LOCK: pvqspin::Mutex<u32, BareMetal, pvqspin::Native> = pvqspin::Mutex::new(0);
/// *LOCK.lock() += 1;
/// assert_eq!(*LOCK.lock(), 1);
/// ```
pub trait Env: Sized + 'static {
    /// The most CPUs that this environment ever has: their numbers are below. A lock whose word has fewer
    /// numbers does not compile.
    ///
    /// The default is what the words of all formats have. An environment with more says so, and can then
    /// use [`Idx3`](crate::Idx3) only.
    const MAX_CPUS: usize = <crate::word::SpareBit as crate::word::Format>::MAX_CPUS;

    /// How CPUs sleep. Without it they spin, whatever the policy.
    const SLEEP: Option<Sleep> = None;

    /// How often a CPU that finds a paravirtual lock held looks at it before it queues, if no other CPU waits in line. 0: it
    /// queues at once.
    ///
    /// With looks a lock that two CPUs want all the time changes hands without nodes, as a native one does by its pending
    /// bit. A CPU that looks is not in line yet: others may be faster, any number of them while it is preempted at that.
    /// One that has queued is passed by no newcomer, whatever the policy's order says of those in line.
    const LOOKS: u32 = 0;

    /// The virtual CPU that executes this.
    ///
    /// On every fast path. Kept as an [`AtomicCpu`](crate::AtomicCpu) in memory of that CPU, the
    /// number needs no check.
    fn cpu() -> Cpu;

    /// The queue nodes of a CPU. It may belong to any CPU that ever took part.
    fn nodes(cpu: Cpu) -> &'static CpuNodes;

    /// Spins until `condition` holds or the budget is gone; says whether it held.
    ///
    /// The condition reads memory that other CPUs write, and has no side effect. It must be tried
    /// at least once, with the ordering that it brings itself: this function adds none.
    fn spin_until(condition: impl FnMut() -> bool, budget: Budget) -> bool;

    /// What `cpu` was doing a moment ago. Without a host: running.
    #[inline]
    fn run_sample(cpu: Cpu) -> RunSample {
        let _ = cpu;
        RunSample::RUNNING
    }

    /// Whether any runnable virtual CPU has to wait for a pCPU. Without a host: no.
    #[inline]
    fn pressure() -> bool {
        false
    }

    /// Publishes which CPU this one waits for, and returns the one before that (an interrupt
    /// handler that waits puts the interrupted wait back).
    ///
    /// An interrupt handler that takes locks *without* waiting still shows the edge of the wait
    /// that it interrupted. Kernels whose handlers hold locks for long withdraw it at interrupt
    /// entry, and put it back at exit.
    #[inline]
    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        let _ = cpu;
        None
    }

    /// The CPU that `cpu` published that it waits for.
    #[inline]
    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        let _ = cpu;
        None
    }

    /// Corrects the wait-for edge of *another* CPU that did not run since to do it itself: the lock
    /// that it waits for is free (`to` is `None`), or the CPU before it has left the queue.
    ///
    /// The other CPU may write the same edge at the same time. Both values are advice.
    #[inline]
    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        let _ = (cpu, to);
    }

    /// How many CPUs there are: their numbers are below that, and [`nodes`](Self::nodes) exist for
    /// each. 0 where that is not known.
    ///
    /// Where it is known, a writer that waits for preempted readers finds them, and a
    /// [`report`](crate::report) believes no CPU number beyond.
    #[inline]
    fn cpu_count() -> usize {
        0
    }

    /// Lends this pCPU to the hinted CPU, or to the CPU that it waits for in the end. Returns when this CPU
    /// runs again, at once or a loan later. A host without directed yields refuses.
    #[inline]
    fn yield_to(hint: Hint) -> Status {
        let _ = hint;
        Status::Refused
    }

    /// Whether the running CPU may lend its pCPU. Not in an NMI handler: what it interrupted may be
    /// in the middle of a hypercall, and would not come back before the loan is over. (A kick goes
    /// out from there all the same: it returns at once, and without it a sleeper would sleep on.)
    #[inline]
    fn may_lend() -> bool {
        true
    }

    /// Monotonic time in nanoseconds, comparable between CPUs; 0 always where there is no clock.
    #[inline]
    fn now_ns() -> u64 {
        0
    }

    /// Whether the running CPU could be interrupted, for the order checker. It cannot find what it
    /// is not told: the default is not to know.
    #[cfg(feature = "lockdep")]
    #[inline]
    fn interrupt_state() -> crate::lockdep::finding::InterruptState {
        crate::lockdep::finding::InterruptState::Unknown
    }

    /// The order checker found something: print it, or panic. It comes once for each finding, on
    /// the CPU that takes (or releases) the lock, in the middle of that. Nothing happens by default.
    ///
    /// It may take locks, but for those that the CPU holds already.
    #[cfg(feature = "lockdep")]
    #[inline]
    fn order_violation(violation: &crate::lockdep::finding::Violation) {
        let _ = violation;
    }

    /// This CPU is about to wait for a lock that it holds, at this address: it will wait for ever. Print it,
    /// from where nothing takes that lock. Nothing happens by default.
    ///
    /// Told where it is seen at no cost: a paravirtual lock that nothing else waits for, or that is held to
    /// write. [`lockdep`](crate#features) finds the rest.
    #[inline]
    fn self_deadlock(lock: usize) {
        let _ = lock;
    }

    /// Tells the environment where in the slow path this CPU stands.
    ///
    /// Kernels leave it empty, and it costs nothing. Simulators and tests preempt here.
    #[inline]
    fn checkpoint(point: Point) {
        let _ = point;
    }
}
