//! The reader-writer lock that masks interrupts.

use core::fmt;
use core::marker::PhantomData;

use crate::api::irq_lock::{Interrupts, IrqToken, masked, masked_if, unmasked_after};
use crate::env::Env;
use crate::lockdep::Class;
use crate::policy::{Fifo, Policy};
use crate::rw::lock::QRwLock;
use crate::rw::token::{ReadToken, UpgradableToken, WriteToken};
use crate::word::{Format, Idx3};

/// A [`QRwLock`] that keeps interrupts masked from before it is taken until after it is released, to
/// read as well as to write.
///
/// Where handlers only read, and with [`read_nested`](QRwLock::read_nested), the plain lock is enough,
/// if its writers mask interrupts.
#[repr(transparent)]
pub struct IrqRwLock<E, I, P = Fifo, W = Idx3> {
    lock: QRwLock<E, P, W>,
    interrupts: PhantomData<fn() -> I>,
}

impl<E, I, P, W> IrqRwLock<E, I, P, W> {
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
                lock: QRwLock::of_class(class),
                interrupts: PhantomData,
            }
        }
    }
}

impl<E: Env, I: Interrupts, P: Policy, W: Format> IrqRwLock<E, I, P, W> {
    /// The lock itself, for a [`report`](crate::report).
    pub fn raw(&self) -> &QRwLock<E, P, W> {
        &self.lock
    }

    /// Masks interrupts, then takes the lock to read.
    #[inline]
    pub fn read(&self) -> IrqToken<I, ReadToken> {
        masked(|| self.lock.read())
    }

    /// Masks interrupts and takes the lock to read, or does neither.
    #[inline]
    pub fn try_read(&self) -> Option<IrqToken<I, ReadToken>> {
        masked_if(|| self.lock.try_read())
    }

    /// Masks interrupts, then takes the lock to read past all that wait: see
    /// [`QRwLock::read_nested`].
    pub fn read_nested(&self) -> IrqToken<I, ReadToken> {
        masked(|| self.lock.read_nested())
    }

    /// Masks interrupts, then takes the lock to write.
    #[inline]
    pub fn write(&self) -> IrqToken<I, WriteToken> {
        masked(|| self.lock.write())
    }

    /// Masks interrupts and takes the lock to write, or does neither.
    #[inline]
    pub fn try_write(&self) -> Option<IrqToken<I, WriteToken>> {
        masked_if(|| self.lock.try_write())
    }

    /// Masks interrupts, then takes the lock to read, alone among those that may become writers.
    pub fn upgradable_read(&self) -> IrqToken<I, UpgradableToken> {
        masked(|| self.lock.upgradable_read())
    }

    /// Masks interrupts and takes the lock to read, alone among those that may become writers, or does
    /// neither.
    pub fn try_upgradable_read(&self) -> Option<IrqToken<I, UpgradableToken>> {
        masked_if(|| self.lock.try_upgradable_read())
    }

    /// Whether the lock is held. Stale when it returns.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    /// Whether the lock is held to write. Stale when it returns.
    #[must_use]
    pub fn is_locked_exclusive(&self) -> bool {
        self.lock.is_locked_exclusive()
    }

    /// Ends a read section, then puts the interrupts back as they were.
    ///
    /// # Safety
    ///
    /// The running CPU reads under this lock, and `token` is what taking it returned.
    #[inline]
    pub unsafe fn unlock_read(&self, token: IrqToken<I, ReadToken>) {
        // SAFETY: the caller's promise.
        let release = || unsafe { self.lock.unlock_read(token.token) };
        // SAFETY: the state is from this acquisition's `mask`, and the token is used up.
        unsafe { unmasked_after::<I>(token.state, release) };
    }

    /// Ends a write section, then puts the interrupts back as they were.
    ///
    /// # Safety
    ///
    /// The running CPU writes under this lock, and `token` is what taking it returned.
    #[inline]
    pub unsafe fn unlock_write(&self, token: IrqToken<I, WriteToken>) {
        // SAFETY: the caller's promise.
        let release = || unsafe { self.lock.unlock_write(token.token) };
        // SAFETY: the state is from this acquisition's `mask`, and the token is used up.
        unsafe { unmasked_after::<I>(token.state, release) };
    }

    /// Ends an upgradable read section, then puts the interrupts back as they were.
    ///
    /// # Safety
    ///
    /// The running CPU reads under this lock, and `token` is what taking it returned.
    pub unsafe fn unlock_upgradable_read(&self, token: IrqToken<I, UpgradableToken>) {
        // SAFETY: the caller's promise.
        let release = || unsafe { self.lock.unlock_upgradable_read(token.token) };
        // SAFETY: the state is from this acquisition's `mask`, and the token is used up.
        unsafe { unmasked_after::<I>(token.state, release) };
    }

    /// [`QRwLock::downgrade`]. Interrupts stay masked.
    ///
    /// # Safety
    ///
    /// The running CPU writes under this lock, and `token` is what taking it returned.
    pub unsafe fn downgrade(&self, token: IrqToken<I, WriteToken>) -> IrqToken<I, ReadToken> {
        let IrqToken { token, state } = token;
        // SAFETY: the caller's promise.
        let token = unsafe { self.lock.downgrade(token) };
        IrqToken { token, state }
    }

    /// [`QRwLock::upgrade`]. Interrupts stay masked.
    ///
    /// # Safety
    ///
    /// The running CPU reads under this lock, and `token` is what taking it returned.
    pub unsafe fn upgrade(&self, token: IrqToken<I, UpgradableToken>) -> IrqToken<I, WriteToken> {
        let IrqToken { token, state } = token;
        // SAFETY: the caller's promise.
        let token = unsafe { self.lock.upgrade(token) };
        IrqToken { token, state }
    }

    /// [`QRwLock::try_upgrade`]. Interrupts stay masked.
    ///
    /// # Errors
    ///
    /// The token, if there is another reader.
    ///
    /// # Safety
    ///
    /// As for [`upgrade`](Self::upgrade).
    pub unsafe fn try_upgrade(
        &self,
        token: IrqToken<I, UpgradableToken>,
    ) -> Result<IrqToken<I, WriteToken>, IrqToken<I, UpgradableToken>> {
        let IrqToken { token, state } = token;
        // SAFETY: the caller's promise.
        match unsafe { self.lock.try_upgrade(token) } {
            Ok(token) => Ok(IrqToken { token, state }),
            Err(token) => Err(IrqToken { token, state }),
        }
    }

    /// [`QRwLock::downgrade_upgradable`]. Interrupts stay masked.
    ///
    /// # Safety
    ///
    /// As for [`upgrade`](Self::upgrade).
    pub unsafe fn downgrade_upgradable(
        &self,
        token: IrqToken<I, UpgradableToken>,
    ) -> IrqToken<I, ReadToken> {
        let IrqToken { token, state } = token;
        // SAFETY: the caller's promise.
        let token = unsafe { self.lock.downgrade_upgradable(token) };
        IrqToken { token, state }
    }
}

impl<E, I, P, W> Default for IrqRwLock<E, I, P, W> {
    fn default() -> Self {
        Self::of_class(Class::Address)
    }
}

impl<E, I, P, W: Format> fmt::Debug for IrqRwLock<E, I, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lock.fmt(f)
    }
}
