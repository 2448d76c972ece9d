//! Access to the data of a reader-writer lock.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use crate::api::cell::RwLockOf;
use crate::api::raw::RawRwLock;

/// Read access to the data of a reader-writer lock, until it is dropped.
///
/// `L` is the lock without its data, as for a [`Guard`](crate::Guard).
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct ReadGuard<'a, T: ?Sized, L: RawRwLock> {
    of: &'a RwLockOf<T, L>,
    token: ManuallyDrop<L::ReadToken>,
    not_send: PhantomData<*mut ()>,
}

/// Write access to the data of a reader-writer lock, until it is dropped.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct WriteGuard<'a, T: ?Sized, L: RawRwLock> {
    of: &'a RwLockOf<T, L>,
    token: ManuallyDrop<L::WriteToken>,
    not_send: PhantomData<*mut ()>,
}

/// Read access that can become write access, with no other writer in between.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct UpgradableGuard<'a, T: ?Sized, L: RawRwLock> {
    of: &'a RwLockOf<T, L>,
    token: ManuallyDrop<L::UpgradableToken>,
    not_send: PhantomData<*mut ()>,
}

/// Read access to a part of the data: see [`ReadGuard::map`].
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct MappedReadGuard<'a, T: ?Sized, L: RawRwLock> {
    lock: &'a L,
    token: ManuallyDrop<L::ReadToken>,
    data: NonNull<T>,
    access: PhantomData<&'a T>,
}

/// Write access to a part of the data: see [`WriteGuard::map`].
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct MappedWriteGuard<'a, T: ?Sized, L: RawRwLock> {
    lock: &'a L,
    token: ManuallyDrop<L::WriteToken>,
    data: NonNull<T>,
    access: PhantomData<&'a mut T>,
}

macro_rules! guard {
    ($guard:ident, $unlock:ident, $this:ident, $lock:expr, $data:expr) => {
        // SAFETY: sharing a guard shares `&T` and nothing else: a token is taken out by value only.
        unsafe impl<T: ?Sized + Sync, L: RawRwLock> Sync for $guard<'_, T, L> {}

        impl<T: ?Sized, L: RawRwLock> Deref for $guard<'_, T, L> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                let $this = self;
                // SAFETY: this guard exists, so its CPU has the lock, and nothing else writes.
                unsafe { &*$data }
            }
        }

        impl<T: ?Sized, L: RawRwLock> Drop for $guard<'_, T, L> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: a guard is dropped once, and does not touch its token afterwards.
                let token = unsafe { ManuallyDrop::take(&mut self.token) };
                let $this = self;
                // SAFETY: the token is from the acquisition that made this guard, which cannot leave
                // its CPU (a raw pointer is not `Send`).
                unsafe { $lock.$unlock(token) };
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

/// A guard of the whole data.
macro_rules! whole {
    ($guard:ident, $token:ident, $unlock:ident) => {
        impl<'a, T: ?Sized, L: RawRwLock> $guard<'a, T, L> {
            /// # Safety
            ///
            /// This CPU has the lock in this way, and `token` is what taking it returned.
            #[inline]
            pub(crate) unsafe fn new(of: &'a RwLockOf<T, L>, token: L::$token) -> Self {
                Self {
                    of,
                    token: ManuallyDrop::new(token),
                    not_send: PhantomData,
                }
            }

            /// The guard in its parts. It is not dropped.
            fn into_parts(self) -> (&'a RwLockOf<T, L>, L::$token) {
                let mut this = ManuallyDrop::new(self);
                // SAFETY: `this` is not dropped, so its token is used once.
                let token = unsafe { ManuallyDrop::take(&mut this.token) };
                (this.of, token)
            }
        }

        guard!($guard, $unlock, this, this.of.raw(), this.of.data_ptr());
    };
}

/// How a guard is narrowed to a part of its data.
macro_rules! maps {
    ($guard:ident to $mapped:ident, [$($exclusive:tt)*], $this:ident, $parts:expr) => {
        impl<'a, T: ?Sized, L: RawRwLock> $guard<'a, T, L> {
            /// Keeps the lock, and access to a part of the data only.
            pub fn map<U: ?Sized>(
                $($exclusive)* this: Self,
                part: impl FnOnce(& $($exclusive)* T) -> & $($exclusive)* U,
            ) -> $mapped<'a, U, L> {
                let data = NonNull::from(part(& $($exclusive)* this));
                let $this = this;
                let (lock, token) = $parts;
                $mapped {
                    lock,
                    token: ManuallyDrop::new(token),
                    data,
                    access: PhantomData,
                }
            }

            /// As [`map`](Self::map), if there is such a part.
            ///
            /// # Errors
            ///
            /// The guard, if there is none.
            pub fn try_map<U: ?Sized>(
                $($exclusive)* this: Self,
                part: impl FnOnce(& $($exclusive)* T) -> Option<& $($exclusive)* U>,
            ) -> Result<$mapped<'a, U, L>, Self> {
                let Some(data) = part(& $($exclusive)* this).map(NonNull::from) else {
                    return Err(this);
                };
                let $this = this;
                let (lock, token) = $parts;
                Ok($mapped {
                    lock,
                    token: ManuallyDrop::new(token),
                    data,
                    access: PhantomData,
                })
            }
        }
    };
}

macro_rules! writes {
    ($guard:ident, $this:ident, $data:expr) => {
        impl<T: ?Sized, L: RawRwLock> DerefMut for $guard<'_, T, L> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                let $this = self;
                // SAFETY: this guard exists and is borrowed mutably, so its CPU has the lock alone
                // and this is the only reference.
                unsafe { &mut *$data }
            }
        }
    };
}

whole!(ReadGuard, ReadToken, unlock_read);
whole!(WriteGuard, WriteToken, unlock_write);
whole!(UpgradableGuard, UpgradableToken, unlock_upgradable);
guard!(
    MappedReadGuard,
    unlock_read,
    this,
    this.lock,
    this.data.as_ptr()
);
guard!(
    MappedWriteGuard,
    unlock_write,
    this,
    this.lock,
    this.data.as_ptr()
);
writes!(WriteGuard, this, this.of.data_ptr());
writes!(MappedWriteGuard, this, this.data.as_ptr());

/// The lock and the token of a guard of a part, which is not dropped.
macro_rules! parts {
    ($guard:ident) => {{
        let mut guard = ManuallyDrop::new($guard);
        // SAFETY: the guard is not dropped, so its token is used once.
        let token = unsafe { ManuallyDrop::take(&mut guard.token) };
        (guard.lock, token)
    }};
}

maps!(ReadGuard to MappedReadGuard, [], this, {
    let (of, token) = this.into_parts();
    (of.raw(), token)
});
maps!(WriteGuard to MappedWriteGuard, [mut], this, {
    let (of, token) = this.into_parts();
    (of.raw(), token)
});
maps!(MappedReadGuard to MappedReadGuard, [], this, parts!(this));
maps!(MappedWriteGuard to MappedWriteGuard, [mut], this, parts!(this));

impl<'a, T: ?Sized, L: RawRwLock> WriteGuard<'a, T, L> {
    /// From writing to reading: nothing changes in between, and other readers may read as well.
    pub fn downgrade(this: Self) -> ReadGuard<'a, T, L> {
        let (of, token) = this.into_parts();
        // SAFETY: this CPU writes, and this is the token, which is not used again.
        let token = unsafe { of.raw().downgrade(token) };
        // SAFETY: this CPU reads now.
        unsafe { ReadGuard::new(of, token) }
    }
}

impl<'a, T: ?Sized, L: RawRwLock> UpgradableGuard<'a, T, L> {
    /// From reading to writing: waits for the other readers, and lets no other writer in before.
    pub fn upgrade(this: Self) -> WriteGuard<'a, T, L> {
        let (of, token) = this.into_parts();
        // SAFETY: this CPU reads, and this is the token, which is not used again.
        let token = unsafe { of.raw().upgrade(token) };
        // SAFETY: this CPU writes now.
        unsafe { WriteGuard::new(of, token) }
    }

    /// From reading to writing if there is no other reader.
    ///
    /// # Errors
    ///
    /// The guard, if there is one.
    pub fn try_upgrade(this: Self) -> Result<WriteGuard<'a, T, L>, Self> {
        let (of, token) = this.into_parts();
        // SAFETY: this CPU reads, and this is the token, which is not used again.
        match unsafe { of.raw().try_upgrade(token) } {
            // SAFETY: this CPU writes now.
            Ok(token) => Ok(unsafe { WriteGuard::new(of, token) }),
            // SAFETY: nothing has changed.
            Err(token) => Err(unsafe { Self::new(of, token) }),
        }
    }

    /// Goes on reading, and leaves it to others to become writers.
    pub fn downgrade(this: Self) -> ReadGuard<'a, T, L> {
        let (of, token) = this.into_parts();
        // SAFETY: this CPU reads, and this is the token, which is not used again.
        let token = unsafe { of.raw().downgrade_upgradable(token) };
        // SAFETY: this CPU still reads.
        unsafe { ReadGuard::new(of, token) }
    }
}
