//! Masking interrupts around an acquisition, and the mutex that does it.

use core::fmt;
use core::marker::PhantomData;

use crate::env::Env;
use crate::lock::QSpinLock;
use crate::lockdep::Class;
use crate::policy::{Fifo, Policy};
use crate::token::Token;
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

/// What an acquisition of an [`IrqLock`] must remember, or with another `T` one of an
/// [`IrqRwLock`](crate::irq::IrqRwLock).
pub struct IrqToken<I: Interrupts, T = Token> {
    pub(super) token: T,
    pub(super) state: I::State,
}

impl<I: Interrupts, T: fmt::Debug> fmt::Debug for IrqToken<I, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IrqToken")
            .field("token", &self.token)
            .finish_non_exhaustive()
    }
}

/// Puts interrupts back when it goes out of scope, unless they were taken out of it before: on the way
/// back from a lock that was not to be had, and when a hook of the environment unwinds.
struct PutBack<I: Interrupts>(Option<I::State>);

impl<I: Interrupts> PutBack<I> {
    #[inline]
    fn mask() -> Self {
        Self(Some(I::mask()))
    }
}

impl<I: Interrupts> Drop for PutBack<I> {
    #[inline]
    fn drop(&mut self) {
        if let Some(state) = self.0.take() {
            // SAFETY: the state is from a `mask` of this CPU, and was not put back.
            unsafe { I::restore(state) };
        }
    }
}

/// Masks interrupts and takes a lock.
#[inline(always)]
pub(super) fn masked<I: Interrupts, T>(take: impl FnOnce() -> T) -> IrqToken<I, T> {
    let state = I::mask();
    // Only a hook of the order checker may unwind.
    #[cfg(feature = "lockdep")]
    let mut state = PutBack::<I>(Some(state));
    let token = take();
    #[cfg(feature = "lockdep")]
    let state = {
        let taken = state.0.take();
        // Nothing has put it back, or masked since.
        taken.unwrap_or_else(I::mask)
    };
    IrqToken { token, state }
}

/// Masks interrupts and takes a lock, or does neither.
#[inline]
pub(super) fn masked_if<I: Interrupts, T>(
    take: impl FnOnce() -> Option<T>,
) -> Option<IrqToken<I, T>> {
    let mut interrupts = PutBack::<I>::mask();
    let token = take()?;
    interrupts.0.take().map(|state| IrqToken { token, state })
}

/// Releases a lock, then puts interrupts back.
///
/// # Safety
///
/// `state` is from a `mask` of this CPU, and was not put back.
#[inline(always)]
pub(super) unsafe fn unmasked_after<I: Interrupts>(state: I::State, release: impl FnOnce()) {
    // As when it was taken: a hook may unwind after the release.
    #[cfg(feature = "lockdep")]
    let _state = PutBack::<I>(Some(state));
    release();
    #[cfg(not(feature = "lockdep"))]
    // SAFETY: the caller's promise.
    unsafe {
        I::restore(state);
    }
}

/// A [`QSpinLock`] that keeps interrupts masked from before it is taken until after it is
/// released. Four bytes, as the lock itself; memory ordering and panics are those of the lock.
///
/// While it waits, interrupts are masked as well: a caller that masks for long waits makes everything
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
    interrupts: PhantomData<fn() -> I>,
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
                interrupts: PhantomData,
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
        masked(|| self.lock.lock())
    }

    /// Masks interrupts and takes the lock, or does neither.
    #[inline]
    pub fn try_lock(&self) -> Option<IrqToken<I>> {
        masked_if(|| self.lock.try_lock())
    }

    /// Whether the lock is held. Stale when it returns.
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
        let release = || unsafe { self.lock.unlock(token.token) };
        // SAFETY: the state is from this acquisition's `mask`, and the token is used up.
        unsafe { unmasked_after::<I>(token.state, release) };
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
