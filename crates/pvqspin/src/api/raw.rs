//! What the forms with data have in common: a lock without data, whose acquisitions are tokens.
//!
//! The traits are for naming types ([`MutexOf<T, L>`](crate::MutexOf)), and sealed: the locks of this
//! crate implement them, each call is one of theirs.

use crate::api::irq_lock::{Interrupts, IrqLock, IrqToken};
use crate::api::irq_rwlock::IrqRwLock;
use crate::env::Env;
use crate::lock::QSpinLock;
use crate::policy::Policy;
use crate::rw::lock::QRwLock;
use crate::rw::token::{ReadToken, UpgradableToken, WriteToken};
use crate::token::Token;
use crate::word::Format;

mod sealed {
    pub trait Sealed {}
}

/// A lock without data: [`QSpinLock`] or [`IrqLock`].
pub trait RawLock: sealed::Sealed {
    /// What an acquisition must remember until its release.
    type Token;

    #[doc(hidden)]
    fn lock(&self) -> Self::Token;
    #[doc(hidden)]
    fn try_lock(&self) -> Option<Self::Token>;
    #[doc(hidden)]
    fn is_locked(&self) -> bool;
    /// # Safety
    ///
    /// The running CPU holds the lock, and `token` is what taking it returned.
    #[doc(hidden)]
    unsafe fn unlock(&self, token: Self::Token);
}

/// A reader-writer lock without data: [`QRwLock`] or [`IrqRwLock`].
pub trait RawRwLock: sealed::Sealed {
    /// What a read acquisition must remember until its release.
    type ReadToken;
    /// The same of a write acquisition.
    type WriteToken;
    /// The same of a read acquisition that may become a write one.
    type UpgradableToken;

    #[doc(hidden)]
    fn read(&self) -> Self::ReadToken;
    #[doc(hidden)]
    fn try_read(&self) -> Option<Self::ReadToken>;
    #[doc(hidden)]
    fn read_nested(&self) -> Self::ReadToken;
    #[doc(hidden)]
    fn write(&self) -> Self::WriteToken;
    #[doc(hidden)]
    fn try_write(&self) -> Option<Self::WriteToken>;
    #[doc(hidden)]
    fn upgradable(&self) -> Self::UpgradableToken;
    #[doc(hidden)]
    fn try_upgradable(&self) -> Option<Self::UpgradableToken>;
    #[doc(hidden)]
    fn is_locked(&self) -> bool;
    #[doc(hidden)]
    fn is_locked_exclusive(&self) -> bool;

    // Safety of all of them: the running CPU holds the lock in this way, and `token` is what taking it
    // returned.
    /// # Safety
    ///
    /// The running CPU reads, and `token` is what taking the lock returned.
    #[doc(hidden)]
    unsafe fn unlock_read(&self, token: Self::ReadToken);
    /// # Safety
    ///
    /// The running CPU writes, and `token` is what taking the lock returned.
    #[doc(hidden)]
    unsafe fn unlock_write(&self, token: Self::WriteToken);
    /// # Safety
    ///
    /// The running CPU reads, and `token` is what taking the lock returned.
    #[doc(hidden)]
    unsafe fn unlock_upgradable(&self, token: Self::UpgradableToken);
    /// # Safety
    ///
    /// The running CPU writes, and `token` is what taking the lock returned.
    #[doc(hidden)]
    unsafe fn downgrade(&self, token: Self::WriteToken) -> Self::ReadToken;
    /// # Safety
    ///
    /// The running CPU reads, and `token` is what taking the lock returned.
    #[doc(hidden)]
    unsafe fn upgrade(&self, token: Self::UpgradableToken) -> Self::WriteToken;
    /// # Safety
    ///
    /// The running CPU reads, and `token` is what taking the lock returned.
    #[doc(hidden)]
    unsafe fn try_upgrade(
        &self,
        token: Self::UpgradableToken,
    ) -> Result<Self::WriteToken, Self::UpgradableToken>;
    /// # Safety
    ///
    /// The running CPU reads, and `token` is what taking the lock returned.
    #[doc(hidden)]
    unsafe fn downgrade_upgradable(&self, token: Self::UpgradableToken) -> Self::ReadToken;
}

impl<E: Env, P: Policy, W: Format> sealed::Sealed for QSpinLock<E, P, W> {}
impl<E: Env, I: Interrupts, P: Policy, W: Format> sealed::Sealed for IrqLock<E, I, P, W> {}
impl<E: Env, P: Policy, W: Format> sealed::Sealed for QRwLock<E, P, W> {}
impl<E: Env, I: Interrupts, P: Policy, W: Format> sealed::Sealed for IrqRwLock<E, I, P, W> {}

macro_rules! raw_lock {
    ([$($generics:tt)*] $lock:ty, $token:ty) => {
        impl<$($generics)*> RawLock for $lock {
            type Token = $token;

            #[inline]
            fn lock(&self) -> $token {
                self.lock()
            }

            #[inline]
            fn try_lock(&self) -> Option<$token> {
                self.try_lock()
            }

            #[inline]
            fn is_locked(&self) -> bool {
                self.is_locked()
            }

            #[inline]
            // SAFETY: the trait asks the caller for what the lock's own `unlock` asks for.
            unsafe fn unlock(&self, token: $token) {
                // SAFETY: this CPU holds the lock, and the token is from taking it: the caller's promise.
                unsafe { self.unlock(token) }
            }
        }
    };
}

raw_lock!([E: Env, P: Policy, W: Format] QSpinLock<E, P, W>, Token);
raw_lock!([E: Env, I: Interrupts, P: Policy, W: Format] IrqLock<E, I, P, W>, IrqToken<I>);

macro_rules! raw_rw_lock {
    ([$($generics:tt)*] $lock:ty, $read:ty, $write:ty, $upgradable:ty) => {
        impl<$($generics)*> RawRwLock for $lock {
            type ReadToken = $read;
            type WriteToken = $write;
            type UpgradableToken = $upgradable;

            #[inline]
            fn read(&self) -> $read {
                self.read()
            }

            #[inline]
            fn try_read(&self) -> Option<$read> {
                self.try_read()
            }

            #[inline]
            fn read_nested(&self) -> $read {
                self.read_nested()
            }

            #[inline]
            fn write(&self) -> $write {
                self.write()
            }

            #[inline]
            fn try_write(&self) -> Option<$write> {
                self.try_write()
            }

            #[inline]
            fn upgradable(&self) -> $upgradable {
                self.upgradable_read()
            }

            #[inline]
            fn try_upgradable(&self) -> Option<$upgradable> {
                self.try_upgradable_read()
            }

            #[inline]
            fn is_locked(&self) -> bool {
                self.is_locked()
            }

            #[inline]
            fn is_locked_exclusive(&self) -> bool {
                self.is_locked_exclusive()
            }

            #[inline]
            // SAFETY: the caller promises what the trait asks for.
            unsafe fn unlock_read(&self, token: $read) {
                // SAFETY: this CPU reads, and the token is from that: the caller's promise.
                unsafe { self.unlock_read(token) }
            }

            #[inline]
            // SAFETY: the caller promises what the trait asks for.
            unsafe fn unlock_write(&self, token: $write) {
                // SAFETY: this CPU writes, and the token is from that: the caller's promise.
                unsafe { self.unlock_write(token) }
            }

            #[inline]
            // SAFETY: the caller promises what the trait asks for.
            unsafe fn unlock_upgradable(&self, token: $upgradable) {
                // SAFETY: this CPU reads and may upgrade, and the token is from that: the caller's promise.
                unsafe { self.unlock_upgradable_read(token) }
            }

            #[inline]
            // SAFETY: the caller promises what the trait asks for.
            unsafe fn downgrade(&self, token: $write) -> $read {
                // SAFETY: this CPU writes, and the token is from that: the caller's promise.
                unsafe { self.downgrade(token) }
            }

            #[inline]
            // SAFETY: the caller promises what the trait asks for.
            unsafe fn upgrade(&self, token: $upgradable) -> $write {
                // SAFETY: this CPU reads and may upgrade, and the token is from that: the caller's promise.
                unsafe { self.upgrade(token) }
            }

            #[inline]
            // SAFETY: the caller promises what the trait asks for.
            unsafe fn try_upgrade(&self, token: $upgradable) -> Result<$write, $upgradable> {
                // SAFETY: this CPU reads and may upgrade, and the token is from that: the caller's promise.
                unsafe { self.try_upgrade(token) }
            }

            #[inline]
            // SAFETY: the caller promises what the trait asks for.
            unsafe fn downgrade_upgradable(&self, token: $upgradable) -> $read {
                // SAFETY: this CPU reads and may upgrade, and the token is from that: the caller's promise.
                unsafe { self.downgrade_upgradable(token) }
            }
        }
    };
}

raw_rw_lock!([E: Env, P: Policy, W: Format] QRwLock<E, P, W>, ReadToken, WriteToken, UpgradableToken);
raw_rw_lock!(
    [E: Env, I: Interrupts, P: Policy, W: Format] IrqRwLock<E, I, P, W>,
    IrqToken<I, ReadToken>,
    IrqToken<I, WriteToken>,
    IrqToken<I, UpgradableToken>
);
