//! [`pvqspin`] behind `critical-section`, `mutex-traits` and `embassy-sync`, each a feature.
//!
//! A raw mutex that masks interrupts is `Raw<Kernel, Interrupts>`:
//!
//! ```
//! # #[cfg(feature = "mutex-traits")] {
//! use mutex_traits::{ConstInit, ScopedRawMutex};
//! use pvqspin_adapters::Raw;
//! # use pvqspin::bare::{Bare, uniprocessor::OneCpu};
//! # type Kernel = Bare<OneCpu>;
//! # struct Flag;
//! # impl pvqspin::irq::Interrupts for Flag {
//! #     type State = ();
//! #     fn mask() {}
//! #     unsafe fn restore(_: ()) {}
//! # }
//!
//! static LOCK: Raw<Kernel, Flag> = Raw::INIT;
//! assert_eq!(LOCK.with_lock(|| 5), 5);
//! # }
//! ```

#![no_std]

#[cfg(feature = "critical-section")]
mod section;

#[cfg(feature = "critical-section")]
pub use section::CriticalSection;

/// What the macro expands to needs this crate.
#[cfg(feature = "critical-section")]
#[doc(hidden)]
pub use critical_section;

use core::fmt;

use pvqspin::irq::{Interrupts, IrqLock, IrqToken};
use pvqspin::{Env, Fifo, Format, Idx3, Policy};

/// A raw mutex for the traits of other crates: an [`IrqLock`]. A CPU that takes it again while it has it
/// waits for ever, as with every spinlock.
#[repr(transparent)]
pub struct Raw<E, I, P = Fifo, W = Idx3>(IrqLock<E, I, P, W>);

impl<E, I, P, W> Raw<E, I, P, W> {
    /// A free lock.
    #[must_use]
    pub const fn new() -> Self {
        Self(IrqLock::new())
    }

    /// The lock.
    #[must_use]
    pub const fn lock(&self) -> &IrqLock<E, I, P, W> {
        &self.0
    }
}

impl<E: Env, I: Interrupts, P: Policy, W: Format> Raw<E, I, P, W> {
    /// Does something under the lock.
    pub fn with<R>(&self, body: impl FnOnce() -> R) -> R {
        let _held = Held::new(&self.0, self.0.lock());
        body()
    }

    /// Does something under the lock, if it is free and nothing waits for it.
    pub fn try_with<R>(&self, body: impl FnOnce() -> R) -> Option<R> {
        let _held = Held::new(&self.0, self.0.try_lock()?);
        Some(body())
    }
}

impl<E, I, P, W> Default for Raw<E, I, P, W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, I, P, W: Format> fmt::Debug for Raw<E, I, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Releases on the way out, when unwinding too.
struct Held<'a, E: Env, I: Interrupts, P: Policy, W: Format> {
    lock: &'a IrqLock<E, I, P, W>,
    token: Option<IrqToken<I>>,
}

impl<'a, E: Env, I: Interrupts, P: Policy, W: Format> Held<'a, E, I, P, W> {
    fn new(lock: &'a IrqLock<E, I, P, W>, token: IrqToken<I>) -> Self {
        Self {
            lock,
            token: Some(token),
        }
    }
}

impl<E: Env, I: Interrupts, P: Policy, W: Format> Drop for Held<'_, E, I, P, W> {
    fn drop(&mut self) {
        if let Some(token) = self.token.take() {
            // SAFETY: the token is from the acquisition that made this, on this CPU.
            unsafe { self.lock.unlock(token) };
        }
    }
}

#[cfg(feature = "mutex-traits")]
impl<E, I, P, W> mutex_traits::ConstInit for Raw<E, I, P, W> {
    const INIT: Self = Self::new();
}

// SAFETY: the trait wants that no two bodies run at once. `scoped` runs each under the lock, whose token
// lives until the body has returned or unwound.
#[cfg(feature = "mutex-traits")]
unsafe impl<E: Env, I: Interrupts, P: Policy, W: Format> mutex_traits::ScopedRawMutex
    for Raw<E, I, P, W>
{
    fn try_with_lock<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        self.try_with(f)
    }

    fn with_lock<R>(&self, f: impl FnOnce() -> R) -> R {
        self.with(f)
    }

    fn is_locked(&self) -> bool {
        self.0.is_locked()
    }
}

// SAFETY: as for `ScopedRawMutex`.
#[cfg(feature = "embassy-sync")]
unsafe impl<E: Env, I: Interrupts, P: Policy, W: Format> embassy_sync::blocking_mutex::raw::RawMutex
    for Raw<E, I, P, W>
{
    const INIT: Self = Self::new();

    fn lock<R>(&self, f: impl FnOnce() -> R) -> R {
        self.with(f)
    }
}
