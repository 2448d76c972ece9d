//! Locks that interrupt handlers take too: interrupts stay masked while they are held.
//!
//! The kernel says how with [`Interrupts`]; [`IrqLock`] masks before it takes the lock and puts
//! the saved state back after it released it. The saved state travels in the guard, and nothing is
//! kept per CPU.
//!
//! Release nested locks in the reverse order, as scopes do. Released in the order in which they were
//! taken, the first release enables interrupts while the second lock is still held, as with
//! `spin_lock_irqsave` everywhere: a handler that takes the second lock then deadlocks. So do not
//! let the soundness of other code rest on interrupts being masked while a guard lives.

use crate::api::cell::{MutexOf, RwLockOf};
use crate::api::guard::Guard;
use crate::api::rw_guard::{ReadGuard, WriteGuard};
use crate::policy::Fifo;
use crate::word::Idx3;

pub use crate::api::irq_lock::{Interrupts, IrqLock, IrqToken};
pub use crate::api::irq_rwlock::IrqRwLock;

/// Data behind an [`IrqLock`]: interrupts are masked for as long as a guard lives.
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
/// # struct Flag;
/// # impl pvqspin::irq::Interrupts for Flag {
/// #     type State = ();
/// #     fn mask() {}
/// #     unsafe fn restore(_: ()) {}
/// # }
/// use pvqspin::irq;
///
/// type Mutex<T> = irq::Mutex<T, Kernel, Flag>;
///
/// static TICKS: Mutex<u64> = Mutex::new(0);
/// *TICKS.lock() += 1;
/// ```
pub type Mutex<T, E, I, P = Fifo, W = Idx3> = MutexOf<T, IrqLock<E, I, P, W>>;

/// The guard of a [`Mutex`].
pub type MutexGuard<'a, T, E, I, P = Fifo, W = Idx3> = Guard<'a, T, IrqLock<E, I, P, W>>;

/// Data behind an [`IrqRwLock`]: interrupts are masked for as long as a guard lives, a reader's as
/// well.
pub type RwLock<T, E, I, P = Fifo, W = Idx3> = RwLockOf<T, IrqRwLock<E, I, P, W>>;

/// A reader's guard of a [`RwLock`].
pub type RwLockReadGuard<'a, T, E, I, P = Fifo, W = Idx3> = ReadGuard<'a, T, IrqRwLock<E, I, P, W>>;

/// A writer's guard of a [`RwLock`].
pub type RwLockWriteGuard<'a, T, E, I, P = Fifo, W = Idx3> =
    WriteGuard<'a, T, IrqRwLock<E, I, P, W>>;
