//! Access to the data of a mutex.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use crate::api::raw::RawLock;

/// Access to the data of a mutex, until it is dropped: then the lock is released.
///
/// `L` is the lock without its data, so a guard that a function returns is short to name:
/// `threads::MutexGuard<'_, T>`, `Guard<'_, T, QSpinLock<Kernel>>`.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct Guard<'a, T: ?Sized, L: RawLock> {
    lock: &'a L,
    token: ManuallyDrop<L::Token>,
    data: NonNull<T>,
    access: PhantomData<&'a mut T>,
}

// SAFETY: sharing a guard shares `&T` and nothing else: a token is taken out by value only.
unsafe impl<T: ?Sized + Sync, L: RawLock> Sync for Guard<'_, T, L> {}

impl<'a, T: ?Sized, L: RawLock> Guard<'a, T, L> {
    /// # Safety
    ///
    /// This CPU holds `lock`, `token` is what taking it returned, and the lock guards what is at
    /// `data`, which is not null and lives as long as the lock.
    #[inline]
    pub(crate) unsafe fn new(lock: &'a L, token: L::Token, data: *mut T) -> Self {
        Self {
            lock,
            token: ManuallyDrop::new(token),
            // SAFETY: the caller's promise.
            data: unsafe { NonNull::new_unchecked(data) },
            access: PhantomData,
        }
    }

    /// Keeps the lock, and access to a part of the data only. `Guard::map(guard, |data| &mut data.part)`
    pub fn map<U: ?Sized>(mut this: Self, part: impl FnOnce(&mut T) -> &mut U) -> Guard<'a, U, L> {
        let data = NonNull::from(part(&mut this));
        this.with(data)
    }

    /// As [`map`](Self::map), if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard, if there is none.
    pub fn try_map<U: ?Sized>(
        mut this: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<Guard<'a, U, L>, Self> {
        let Some(data) = part(&mut this).map(NonNull::from) else {
            return Err(this);
        };
        Ok(this.with(data))
    }

    fn with<U: ?Sized>(self, data: NonNull<U>) -> Guard<'a, U, L> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so its token is used once.
        let token = unsafe { ManuallyDrop::take(&mut this.token) };
        Guard {
            lock: this.lock,
            token: ManuallyDrop::new(token),
            data,
            access: PhantomData,
        }
    }

    /// Never releases the lock, and gives the data away for as long as the mutex lives.
    pub fn leak(this: Self) -> &'a mut T {
        // SAFETY: the lock stays held for ever, so this stays the only reference.
        unsafe { ManuallyDrop::new(this).data.as_mut() }
    }
}

impl<T: ?Sized, L: RawLock> Deref for Guard<'_, T, L> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard exists, so its CPU holds the lock, and nothing else writes.
        unsafe { self.data.as_ref() }
    }
}

impl<T: ?Sized, L: RawLock> DerefMut for Guard<'_, T, L> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard exists and is borrowed mutably, so its CPU holds the lock and this is
        // the only reference.
        unsafe { self.data.as_mut() }
    }
}

impl<T: ?Sized, L: RawLock> Drop for Guard<'_, T, L> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: a guard is dropped once, and does not touch its token afterwards.
        let token = unsafe { ManuallyDrop::take(&mut self.token) };
        // SAFETY: the token is from the acquisition that made this guard, which cannot leave its
        // CPU (a raw pointer is not `Send`).
        unsafe { self.lock.unlock(token) };
    }
}

impl<T: ?Sized + fmt::Debug, L: RawLock> fmt::Debug for Guard<'_, T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Display, L: RawLock> fmt::Display for Guard<'_, T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
