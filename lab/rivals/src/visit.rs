//! From the name of a lock to its type.

use pvqspin::{Bounded, Env, Fifo, FifoHalt, FifoHolder, Idx3, QSpinLock, SpareBit};

use crate::Lock;
use crate::catalog::{BOUNDED_WAIT_US, LockId};
use crate::clh::Clh;
use crate::ideal::{Ideal, Oracle};
use crate::linux_pv::LinuxPv;
use crate::malthusian::Malthusian;
use crate::mcs::Mcs;
use crate::mcs_tp::McsTp;
use crate::native_queued::NativeQueued;
use crate::powerpc::Powerpc;
use crate::preemptable_ticket::PreemptableTicket;
use crate::pv_ticket::PvTicket;
use crate::s390_queued::S390Queued;
use crate::shuffling::Shuffling;
use crate::test_and_set::TestAndSet;
use crate::test_and_set_backoff::TestAndSetBackoff;
use crate::ticket::Ticket;
use crate::unfair_hinted::UnfairHinted;
use crate::unfair_queued::UnfairQueued;

/// Something to do with a lock type that is known only at run time.
pub trait Visitor<E: Env> {
    /// What comes out of it.
    type Output;

    /// Does it.
    fn visit<L: Lock<E>>(self) -> Self::Output;
}

/// Does something with the lock type of `id`.
///
/// ```
/// use pvqspin::{Budget, Cpu, CpuNodes, Env};
/// use pvqspin_rivals::Lock;
/// use pvqspin_rivals::catalog::CATALOG;
/// use pvqspin_rivals::visit::{Visitor, with_lock};
/// # struct Alone;
/// # static NODES: CpuNodes = CpuNodes::new();
/// # impl Env for Alone {
/// #     fn cpu() -> Cpu { Cpu::new(0).unwrap() }
/// #     fn nodes(_: Cpu) -> &'static CpuNodes { &NODES }
/// #     fn spin_until(mut c: impl FnMut() -> bool, _: Budget) -> bool { while !c() {} true }
/// # }
///
/// struct TakeOnce;
///
/// impl<E: Env> Visitor<E> for TakeOnce {
///     type Output = ();
///     fn visit<L: Lock<E>>(self) {
///         let lock = L::new(1);
///         let token = lock.lock();
///         // SAFETY: this CPU has just taken it, and got this token.
///         unsafe { lock.unlock(token) };
///     }
/// }
///
/// for entry in CATALOG {
///     with_lock::<Alone, _>(entry.id, TakeOnce);
/// }
/// ```
///
/// # Panics
///
/// If it is [`LockId::Ideal`], which is not in the catalogue: see [`with_lock_or_ideal`].
pub fn with_lock<E: Env, V: Visitor<E>>(id: LockId, visitor: V) -> V::Output {
    match id {
        LockId::Fifo => visitor.visit::<QSpinLock<E, Fifo, Idx3>>(),
        LockId::FifoHalt => visitor.visit::<QSpinLock<E, FifoHalt, Idx3>>(),
        LockId::FifoHolder => visitor.visit::<QSpinLock<E, FifoHolder, Idx3>>(),
        LockId::Bounded => visitor.visit::<QSpinLock<E, Bounded<BOUNDED_WAIT_US>, Idx3>>(),
        LockId::FifoBit => visitor.visit::<QSpinLock<E, Fifo, SpareBit>>(),
        LockId::TestAndSet => visitor.visit::<TestAndSet<E>>(),
        LockId::Ticket => visitor.visit::<Ticket<E>>(),
        LockId::NativeQueued => visitor.visit::<NativeQueued<E>>(),
        LockId::UnfairQueued => visitor.visit::<UnfairQueued<E>>(),
        LockId::PvTicket => visitor.visit::<PvTicket<E>>(),
        LockId::LinuxPv => visitor.visit::<LinuxPv<E>>(),
        LockId::UnfairHinted => visitor.visit::<UnfairHinted<E>>(),
        LockId::TestAndSetBackoff => visitor.visit::<TestAndSetBackoff<E>>(),
        LockId::Mcs => visitor.visit::<Mcs<E>>(),
        LockId::Clh => visitor.visit::<Clh<E>>(),
        LockId::McsTp => visitor.visit::<McsTp<E>>(),
        LockId::PreemptableTicket => visitor.visit::<PreemptableTicket<E>>(),
        LockId::Malthusian => visitor.visit::<Malthusian<E>>(),
        LockId::Shuffling => visitor.visit::<Shuffling<E>>(),
        LockId::S390Queued => visitor.visit::<S390Queued<E>>(),
        LockId::Powerpc => visitor.visit::<Powerpc<E>>(),
        LockId::Ideal => panic!("the ideal lock needs an oracle, and this environment is none"),
    }
}

/// As [`with_lock`], for an [`Oracle`]: it can also have the [ideal lock](LockId::Ideal).
pub fn with_lock_or_ideal<E: Oracle, V: Visitor<E>>(id: LockId, visitor: V) -> V::Output {
    match id {
        LockId::Ideal => visitor.visit::<Ideal<E>>(),
        other => with_lock::<E, V>(other, visitor),
    }
}
