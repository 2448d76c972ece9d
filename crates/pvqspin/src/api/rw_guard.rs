//! Access to the data of a reader-writer lock.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use crate::api::raw::RawRwLock;

/// Read access to the data of a reader-writer lock, until it is dropped.
///
/// `L` is the lock without its data, as for a [`Guard`](crate::Guard).
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct ReadGuard<'a, T: ?Sized, L: RawRwLock> {
    lock: &'a L,
    token: ManuallyDrop<L::ReadToken>,
    data: NonNull<T>,
    access: PhantomData<&'a T>,
}

/// Write access to the data of a reader-writer lock, until it is dropped.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct WriteGuard<'a, T: ?Sized, L: RawRwLock> {
    lock: &'a L,
    token: ManuallyDrop<L::WriteToken>,
    data: NonNull<T>,
    access: PhantomData<&'a mut T>,
}

/// Read access that can become write access, with no other writer in between.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct UpgradableGuard<'a, T: ?Sized, L: RawRwLock> {
    lock: &'a L,
    token: ManuallyDrop<L::UpgradableToken>,
    data: NonNull<T>,
    // It may become a writer, so it is as strict about `T` as one.
    access: PhantomData<&'a mut T>,
}

macro_rules! guard {
    ($guard:ident, $token:ident, $unlock:ident) => {
        // SAFETY: sharing a guard shares `&T` and nothing else: a token is taken out by value only.
        unsafe impl<T: ?Sized + Sync, L: RawRwLock> Sync for $guard<'_, T, L> {}

        impl<'a, T: ?Sized, L: RawRwLock> $guard<'a, T, L> {
            /// # Safety
            ///
            /// This CPU has `lock` in this way, `token` is what taking it returned, and the lock
            /// guards what is at `data`, which is not null and lives as long as the lock.
            #[inline]
            pub(crate) unsafe fn new(lock: &'a L, token: L::$token, data: *mut T) -> Self {
                Self {
                    lock,
                    token: ManuallyDrop::new(token),
                    // SAFETY: the caller's promise.
                    data: unsafe { NonNull::new_unchecked(data) },
                    access: PhantomData,
                }
            }

            /// The guard in its parts. It is not dropped.
            fn into_parts(self) -> (&'a L, L::$token, *mut T) {
                let mut this = ManuallyDrop::new(self);
                // SAFETY: `this` is not dropped, so its token is used once.
                let token = unsafe { ManuallyDrop::take(&mut this.token) };
                (this.lock, token, this.data.as_ptr())
            }
        }

        impl<T: ?Sized, L: RawRwLock> Deref for $guard<'_, T, L> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                // SAFETY: this guard exists, so its CPU has the lock, and nothing else writes.
                unsafe { self.data.as_ref() }
            }
        }

        impl<T: ?Sized, L: RawRwLock> Drop for $guard<'_, T, L> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: a guard is dropped once, and does not touch its token afterwards.
                let token = unsafe { ManuallyDrop::take(&mut self.token) };
                // SAFETY: the token is from the acquisition that made this guard, which cannot leave
                // its CPU (a raw pointer is not `Send`).
                unsafe { self.lock.$unlock(token) };
            }
        }

        impl<T: ?Sized + fmt::Debug, L: RawRwLock> fmt::Debug for $guard<'_, T, L> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: ?Sized + fmt::Display, L: RawRwLock> fmt::Display for $guard<'_, T, L> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

guard!(ReadGuard, ReadToken, unlock_read);
guard!(WriteGuard, WriteToken, unlock_write);
guard!(UpgradableGuard, UpgradableToken, unlock_upgradable);

impl<'a, T: ?Sized, L: RawRwLock> ReadGuard<'a, T, L> {
    /// Keeps the lock, and access to a part of the data only.
    pub fn map<U: ?Sized>(this: Self, part: impl FnOnce(&T) -> &U) -> ReadGuard<'a, U, L> {
        let data = NonNull::from(part(&this));
        let (lock, token, _) = this.into_parts();
        // SAFETY: the lock is still had, and guards the part as it guards the whole.
        unsafe { ReadGuard::new(lock, token, data.as_ptr()) }
    }

    /// As [`map`](Self::map), if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard, if there is none.
    pub fn try_map<U: ?Sized>(
        this: Self,
        part: impl FnOnce(&T) -> Option<&U>,
    ) -> Result<ReadGuard<'a, U, L>, Self> {
        let Some(data) = part(&this).map(NonNull::from) else {
            return Err(this);
        };
        let (lock, token, _) = this.into_parts();
        // SAFETY: as in `map`.
        Ok(unsafe { ReadGuard::new(lock, token, data.as_ptr()) })
    }
}

impl<T: ?Sized, L: RawRwLock> DerefMut for WriteGuard<'_, T, L> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard exists and is borrowed mutably, so its CPU has the lock alone and this
        // is the only reference.
        unsafe { self.data.as_mut() }
    }
}

impl<'a, T: ?Sized, L: RawRwLock> WriteGuard<'a, T, L> {
    /// Keeps the lock, and access to a part of the data only.
    pub fn map<U: ?Sized>(
        mut this: Self,
        part: impl FnOnce(&mut T) -> &mut U,
    ) -> WriteGuard<'a, U, L> {
        let data = NonNull::from(part(&mut this));
        let (lock, token, _) = this.into_parts();
        // SAFETY: the lock is still had, and guards the part as it guards the whole.
        unsafe { WriteGuard::new(lock, token, data.as_ptr()) }
    }

    /// As [`map`](Self::map), if there is such a part.
    ///
    /// # Errors
    ///
    /// The guard, if there is none.
    pub fn try_map<U: ?Sized>(
        mut this: Self,
        part: impl FnOnce(&mut T) -> Option<&mut U>,
    ) -> Result<WriteGuard<'a, U, L>, Self> {
        let Some(data) = part(&mut this).map(NonNull::from) else {
            return Err(this);
        };
        let (lock, token, _) = this.into_parts();
        // SAFETY: as in `map`.
        Ok(unsafe { WriteGuard::new(lock, token, data.as_ptr()) })
    }

    /// From writing to reading: nothing changes in between, and other readers may read as well.
    pub fn downgrade(this: Self) -> ReadGuard<'a, T, L> {
        let (lock, token, data) = this.into_parts();
        // SAFETY: this CPU writes, and this is the token, which is not used again.
        let token = unsafe { lock.downgrade(token) };
        // SAFETY: this CPU reads now, and the data is the same.
        unsafe { ReadGuard::new(lock, token, data) }
    }
}

impl<'a, T: ?Sized, L: RawRwLock> UpgradableGuard<'a, T, L> {
    /// From reading to writing: waits for the other readers, and lets no other writer in before.
    pub fn upgrade(this: Self) -> WriteGuard<'a, T, L> {
        let (lock, token, data) = this.into_parts();
        // SAFETY: this CPU reads, and this is the token, which is not used again.
        let token = unsafe { lock.upgrade(token) };
        // SAFETY: this CPU writes now, and the data is the same.
        unsafe { WriteGuard::new(lock, token, data) }
    }

    /// From reading to writing if there is no other reader.
    ///
    /// # Errors
    ///
    /// The guard, if there is one.
    pub fn try_upgrade(this: Self) -> Result<WriteGuard<'a, T, L>, Self> {
        let (lock, token, data) = this.into_parts();
        // SAFETY: this CPU reads, and this is the token, which is not used again.
        match unsafe { lock.try_upgrade(token) } {
            // SAFETY: this CPU writes now, and the data is the same.
            Ok(token) => Ok(unsafe { WriteGuard::new(lock, token, data) }),
            // SAFETY: nothing has changed.
            Err(token) => Err(unsafe { Self::new(lock, token, data) }),
        }
    }

    /// Goes on reading, and leaves it to others to become writers.
    pub fn downgrade(this: Self) -> ReadGuard<'a, T, L> {
        let (lock, token, data) = this.into_parts();
        // SAFETY: this CPU reads, and this is the token, which is not used again.
        let token = unsafe { lock.downgrade_upgradable(token) };
        // SAFETY: this CPU still reads, and the data is the same.
        unsafe { ReadGuard::new(lock, token, data) }
    }
}
