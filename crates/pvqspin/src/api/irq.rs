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

use core::fmt;

use crate::env::Env;
use crate::lock::{QSpinLock, Token};
use crate::lockdep::Class;
use crate::policy::{Fifo, Policy};
use crate::word::{Format, Idx3};

/// How a kernel masks the interrupts of the running CPU.
///
/// ```
/// use pvqspin::irq::Interrupts;
/// use std::cell::Cell;
///
/// thread_local!(static ENABLED: Cell<bool> = const { Cell::new(true) });
///
/// /// A stand-in for `pushfq; cli` and `popfq`.
/// struct Flag;
///
/// impl Interrupts for Flag {
///     type State = bool;
///     fn mask() -> bool {
///         ENABLED.replace(false)
///     }
///     unsafe fn restore(was_enabled: bool) {
///         ENABLED.set(was_enabled);
///     }
/// }
/// # let outer = Flag::mask();
/// # let inner = Flag::mask();
/// # assert!(outer && !inner);
/// # unsafe { Flag::restore(inner); assert!(!ENABLED.get()); Flag::restore(outer) };
/// # assert!(ENABLED.get());
/// ```
pub trait Interrupts: 'static {
    /// What masking found: the flags register, or one bit of it.
    type State;

    /// Masks the interrupts of the running CPU and returns what it found.
    fn mask() -> Self::State;

    /// Puts back what the matching [`mask`](Self::mask) returned.
    ///
    /// # Safety
    ///
    /// `state` comes from a `mask` of this CPU, and is restored once.
    unsafe fn restore(state: Self::State);
}

/// What an acquisition of an [`IrqLock`] must remember.
pub struct IrqToken<I: Interrupts> {
    token: Token,
    state: I::State,
}

impl<I: Interrupts> fmt::Debug for IrqToken<I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrqToken")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// A [`QSpinLock`] that keeps interrupts masked from before it is taken until after it is
/// released. Four bytes, as the lock itself; memory ordering and panics are those of the lock.
///
/// While it waits, interrupts are masked as well: whoever masks for long waits makes everything
/// else on this CPU wait. `lock_api::Mutex` guards data with it.
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
/// use pvqspin::irq::{Interrupts, IrqLock};
/// use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
///
/// static ENABLED: AtomicBool = AtomicBool::new(true);
///
/// struct Flag;
///
/// impl Interrupts for Flag {
///     type State = bool;
///     fn mask() -> bool {
///         ENABLED.swap(false, Relaxed)
///     }
///     unsafe fn restore(was_enabled: bool) {
///         ENABLED.store(was_enabled, Relaxed);
///     }
/// }
///
/// static LOCK: IrqLock<Kernel, Flag> = IrqLock::new();
///
/// let token = LOCK.lock();
/// assert!(!ENABLED.load(Relaxed));
/// // SAFETY: the token is from the line above, and this CPU holds the lock.
/// unsafe { LOCK.unlock(token) };
/// assert!(ENABLED.load(Relaxed));
/// ```
#[repr(transparent)]
pub struct IrqLock<E, I, P = Fifo, W = Idx3> {
    lock: QSpinLock<E, P, W>,
    interrupts: core::marker::PhantomData<fn() -> I>,
}

impl<E, I, P, W> IrqLock<E, I, P, W> {
    const_unless_loom! {
        /// A free lock.
        #[must_use]
        #[cfg_attr(feature = "lockdep", track_caller)]
        pub fn new() -> Self {
            Self::of_class(Class::here())
        }
    }

    const_unless_loom! {
        pub(crate) fn of_class(class: Class) -> Self {
            Self {
                lock: QSpinLock::of_class(class),
                interrupts: core::marker::PhantomData,
            }
        }
    }
}

impl<E: Env, I: Interrupts, P: Policy, W: Format> IrqLock<E, I, P, W> {
    pub(crate) fn raw(&self) -> &QSpinLock<E, P, W> {
        &self.lock
    }

    /// Masks interrupts, then takes the lock.
    #[inline]
    pub fn lock(&self) -> IrqToken<I> {
        let state = I::mask();
        IrqToken {
            token: self.lock.lock(),
            state,
        }
    }

    /// Masks interrupts and takes the lock, or does neither.
    #[inline]
    pub fn try_lock(&self) -> Option<IrqToken<I>> {
        let state = I::mask();
        match self.lock.try_lock() {
            Some(token) => Some(IrqToken { token, state }),
            None => {
                // SAFETY: the state is from the line above, and nothing masked since.
                unsafe { I::restore(state) };
                None
            }
        }
    }

    /// Whether somebody holds the lock. Stale when it returns.
    #[must_use]
    #[inline]
    pub fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    /// Releases the lock, then puts the interrupts back as they were.
    ///
    /// # Safety
    ///
    /// The running CPU holds the lock, and `token` is what taking it returned.
    #[inline]
    pub unsafe fn unlock(&self, token: IrqToken<I>) {
        // SAFETY: the caller's promise.
        unsafe { self.lock.unlock(token.token) };
        // SAFETY: the state is from this acquisition's `mask`, and the token is used up.
        unsafe { I::restore(token.state) };
    }
}

impl<E, I, P, W> Default for IrqLock<E, I, P, W> {
    fn default() -> Self {
        Self::of_class(Class::Address)
    }
}

impl<E, I, P, W: Format> fmt::Debug for IrqLock<E, I, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock.fmt(f)
    }
}
