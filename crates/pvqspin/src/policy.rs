//! Waiting policies: what a waiter does when spinning is pointless, and what a releaser does for
//! the next in line.
//!
//! A policy is a type, its rules are constants, and the one slow path is compiled for each: no
//! policy is looked up at run time, and a native lock holds no trace of the others.
//!
//! | policy | a stalled waiter | names | the releaser | order |
//! | --- | --- | --- | --- | --- |
//! | [`Native`] | spins | | hands over | FIFO after pending |
//! | [`Fifo`] | yields, stays runnable; halts under long holds | predecessor; the head: the holder | yields to a preempted head | FIFO |
//! | [`FifoHalt`] | halts | predecessor; the head: the holder | kicks a halted head | FIFO |
//! | [`FifoHolder`] | halts | the holder | kicks the head, always | FIFO |
//! | [`Bounded`] | yields, or passes over those who are off their pCPUs; halts behind the head if the host refuses | the holder, or a head that is too old | yields to a preempted head; where the host refuses, only to one that waited too long | FIFO among the running, bounded where the host runs a head that is too old |

use core::marker::PhantomData;

/// The type parameters of a lock, which owns none of them: whatever they are, the lock is
/// `Send + Sync`.
pub(crate) type Kind<E, P, W> = PhantomData<fn() -> (E, P, W)>;

/// Which CPU a waiter in the queue names in its hypercall.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Names {
    /// The CPU before it in the queue; the host follows the chain from there.
    Predecessor,
    /// The holder of the lock, found through the word and the head's wait-for edge.
    Holder,
}

/// What a waiter does once it knows that spinning is pointless.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stalls {
    /// Spins on. Nothing paravirtual is compiled in.
    Spin,
    /// Lends its pCPU as soon as it sees its target preempted, and stays runnable.
    Yield,
    /// Halts when the spin budget is gone.
    Halt,
}

/// The constants of a policy.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rules {
    /// What a stalled waiter does.
    pub stalls: Stalls,
    /// Which CPU it names.
    pub names: Names,
    /// How long a waiter spins, in ns, before it halts: always ([`Stalls::Halt`]), where holds
    /// have been long lately ([`Stalls::Yield`]), or behind
    /// the head, where it may be passed over and the host refuses.
    pub spin_ns: u32,
    /// How long a hold is, in ns, before a waiter that would rather spin takes it for a long one
    /// ([`Stalls::Yield`]); `u32::MAX`: never, and so it never halts.
    pub long_hold_ns: u32,
    /// How long to leave the host alone, in ns, after a yield that ran no vCPU.
    pub retry_ns: u32,
    /// Whether every contended release kicks the head, asleep or not. Only under pressure: while
    /// every vCPU has a pCPU, none sleeps.
    pub kicks_always: bool,
    /// For how long running waiters may pass over a preempted head, in µs; 0 for strict order.
    pub pass_over_us: u32,
}

impl Rules {
    /// Whether anything but spinning is compiled in.
    #[must_use]
    pub const fn paravirtual(&self) -> bool {
        !matches!(self.stalls, Stalls::Spin)
    }

    /// Whether a waiter that yields ever takes a hold for a long one, and sleeps.
    #[must_use]
    pub(crate) const fn may_find_holds_long(&self) -> bool {
        self.long_hold_ns != u32::MAX
    }

    /// Whether running waiters may ever pass over a preempted one.
    #[must_use]
    pub const fn passes_over(&self) -> bool {
        self.pass_over_us > 0
    }
}

/// A waiting policy: a name and its [`Rules`].
///
/// The ones in this module cover the comparison; your own is a few lines:
///
/// ```
/// use pvqspin::{Fifo, Policy, Rules};
///
/// /// As `Fifo`, but it asks the host again only every 100 µs.
/// struct Patient;
///
/// impl Policy for Patient {
///     const NAME: &'static str = "patient";
///     const RULES: Rules = Rules { retry_ns: 100_000, ..Fifo::RULES };
/// }
///
/// // `QSpinLock<MyKernel, Patient>` is a lock with that policy.
/// # let _: fn() -> Patient = || Patient;
/// ```
pub trait Policy: 'static {
    /// The name in reports.
    const NAME: &'static str;
    /// What it does.
    const RULES: Rules;
}

/// How long a halting waiter spins first, in ns.
///
/// Linux spins 2^15 rounds, most of a slice on processors whose `PAUSE` is long. The models behind
/// this design spin 10 µs, about four times what a halt and a wake-up cost.
const SPIN_BEFORE_HALT_NS: u32 = 10_000;

/// When a spinning waiter of [`Fifo`] takes a hold for a long one, in ns.
///
/// A hand-over to a halted waiter costs two hypercalls, a switch and the poke of a pCPU: about 10 µs
/// where it was measured. Up to some times that, spinning wins; from there on, the pCPU that a halt
/// frees is worth more than the halt costs. On 2 pCPUs both are equal at holds of 40 µs, on 8 at 80
/// (`docs/study.md` has the curve): 60 µs loses at most a hundredth to the better choice at either.
const LONG_HOLD_NS: u32 = 60_000;

/// How long to leave the host alone after a yield that failed, in ns. Re-asking every 15 µs kept
/// 96 % of the bound in a model in which half of all yields failed; asking once kept 2 %.
const RETRY_NS: u32 = 15_000;

/// Spins, and compiles nothing else in. For bare metal, and for guests whose vCPUs are pinned.
#[derive(Clone, Copy, Debug)]
pub struct Native;

/// Strict order, yields both ways: a waiter lends its pCPU to a preempted holder, a releaser to a
/// preempted head. Halts only where holds are long. The default, for hosts that keep the contract
/// of a directed yield.
#[derive(Clone, Copy, Debug)]
pub struct Fifo;

/// The mail of 2014 to the letter: a waiter that gives up spinning halts and names its
/// predecessor; the releaser wakes it.
#[derive(Clone, Copy, Debug)]
pub struct FifoHalt;

/// The mail's alternative: a waiter that gives up spinning halts and names the *holder*; every
/// contended release kicks the next in line.
#[derive(Clone, Copy, Debug)]
pub struct FifoHolder;

/// Order among those who run, for hosts that take hints only, and for those that keep the contract.
/// A preempted head may be passed over until it has waited `WAIT_US` microseconds; then the lock is
/// closed to all others, and they ask the host to run that head. A releaser lends its pCPU to a
/// preempted head unless the host has lately refused. With `WAIT_US = 0` it is [`Fifo`] without halting.
///
/// The bound holds where the host runs the head when it is asked. A closed lock whose head the host refuses
/// to run would stand still for a slice, so a waiter takes it past the head once for each refusal, however
/// old the head is. ([`Event::PassedOverRefused`](crate::Event::PassedOverRefused) counts that;
/// [`Event::LongestBypassUs`](crate::Event::LongestBypassUs) leaves it out.) A host without directed
/// yields refuses each time, and a CPU that may not lend does not ask.
/// `docs/decisions/0004-passing-over-by-taking.md` has the figures.
///
/// It needs a clock ([`Env::now_ns`](crate::Env::now_ns)): without one the bound never comes.
#[derive(Clone, Copy, Debug)]
pub struct Bounded<const WAIT_US: u32 = 1_000>;

impl Policy for Native {
    const NAME: &'static str = "native";
    const RULES: Rules = Rules {
        stalls: Stalls::Spin,
        names: Names::Predecessor,
        spin_ns: u32::MAX,
        long_hold_ns: u32::MAX,
        retry_ns: 0,
        kicks_always: false,
        pass_over_us: 0,
    };
}

impl Policy for Fifo {
    const NAME: &'static str = "fifo";
    const RULES: Rules = Rules {
        stalls: Stalls::Yield,
        names: Names::Predecessor,
        spin_ns: SPIN_BEFORE_HALT_NS,
        long_hold_ns: LONG_HOLD_NS,
        retry_ns: RETRY_NS,
        kicks_always: false,
        pass_over_us: 0,
    };
}

impl Policy for FifoHalt {
    const NAME: &'static str = "fifo-halt";
    const RULES: Rules = Rules {
        stalls: Stalls::Halt,
        names: Names::Predecessor,
        spin_ns: SPIN_BEFORE_HALT_NS,
        long_hold_ns: u32::MAX,
        retry_ns: RETRY_NS,
        kicks_always: false,
        pass_over_us: 0,
    };
}

impl Policy for FifoHolder {
    const NAME: &'static str = "fifo-holder";
    const RULES: Rules = Rules {
        names: Names::Holder,
        kicks_always: true,
        ..FifoHalt::RULES
    };
}

impl<const WAIT_US: u32> Policy for Bounded<WAIT_US> {
    const NAME: &'static str = "bounded";
    const RULES: Rules = Rules {
        // The head never halts: it could not be told from a passed-over one in the word. Those
        // behind it do, where the host refuses, whatever holds are like.
        long_hold_ns: u32::MAX,
        pass_over_us: WAIT_US,
        ..Fifo::RULES
    };
}
