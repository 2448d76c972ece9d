//! Access to the data of a mutex.

use core::fmt;
use core::marker::PhantomData;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;

use crate::api::cell::MutexOf;
use crate::api::raw::RawLock;

/// Access to the data of a mutex, until it is dropped: then the lock is released.
///
/// `L` is the lock without its data, so a guard that a function returns is short to name:
/// `threads::MutexGuard<'_, T>`, `Guard<'_, T, QSpinLock<Kernel>>`.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct Guard<'a, T: ?Sized, L: RawLock> {
    mutex: &'a MutexOf<T, L>,
    token: ManuallyDrop<L::Token>,
    not_send: PhantomData<*mut ()>,
}

/// Access to a part of the data of a mutex: see [`Guard::map`].
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct MappedGuard<'a, T: ?Sized, L: RawLock> {
    lock: &'a L,
    token: ManuallyDrop<L::Token>,
    data: NonNull<T>,
    access: PhantomData<&'a mut T>,
}

// SAFETY: sharing a guard shares `&T` and nothing else, for a token is taken out by value only.
unsafe impl<T: ?Sized + Sync, L: RawLock> Sync for Guard<'_, T, L> {}
// SAFETY: sharing a mapped guard shares `&T` and nothing else, as with a whole one.
unsafe impl<T: ?Sized + Sync, L: RawLock> Sync for MappedGuard<'_, T, L> {}

impl<'a, T: ?Sized, L: RawLock> Guard<'a, T, L> {
    /// # Safety
    ///
    /// This CPU holds the lock of `mutex`, and `token` is what taking it returned.
    #[inline]
    pub(crate) unsafe fn new(mutex: &'a MutexOf<T, L>, token: L::Token) -> Self {
        Self {
            mutex,
            token: ManuallyDrop::new(token),
            not_send: PhantomData,
        }
    }

    /// Never releases the lock, and gives the data away for as long as the mutex lives.
    pub fn leak(this: Self) -> &'a mut T {
        // SAFETY: the lock stays held for ever, so this stays the only reference.
        unsafe { &mut *ManuallyDrop::new(this).mutex.data_ptr() }
    }

    fn into_parts(self) -> (&'a L, L::Token) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so its token is used once.
        let token = unsafe { ManuallyDrop::take(&mut this.token) };
        (this.mutex.raw(), token)
    }
}

impl<'a, T: ?Sized, L: RawLock> MappedGuard<'a, T, L> {
    fn into_parts(self) -> (&'a L, L::Token) {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: `this` is not dropped, so its token is used once.
        let token = unsafe { ManuallyDrop::take(&mut this.token) };
        (this.lock, token)
    }
}

macro_rules! guard {
    ($guard:ident, $this:ident, $lock:expr, $data:expr) => {
        impl<'a, T: ?Sized, L: RawLock> $guard<'a, T, L> {
            /// Keeps the lock, and access to a part of the data only.
            pub fn map<U: ?Sized>(
                mut this: Self,
                part: impl FnOnce(&mut T) -> &mut U,
            ) -> MappedGuard<'a, U, L> {
                let data = NonNull::from(part(&mut this));
                let (lock, token) = this.into_parts();
                MappedGuard {
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
                mut this: Self,
                part: impl FnOnce(&mut T) -> Option<&mut U>,
            ) -> Result<MappedGuard<'a, U, L>, Self> {
                let Some(data) = part(&mut this).map(NonNull::from) else {
                    return Err(this);
                };
                let (lock, token) = this.into_parts();
                Ok(MappedGuard {
                    lock,
                    token: ManuallyDrop::new(token),
                    data,
                    access: PhantomData,
                })
            }
        }

        impl<T: ?Sized, L: RawLock> Deref for $guard<'_, T, L> {
            type Target = T;

            #[inline]
            fn deref(&self) -> &T {
                let $this = self;
                // SAFETY: this guard exists, so its CPU holds the lock, and nothing else writes.
                unsafe { &*$data }
            }
        }

        impl<T: ?Sized, L: RawLock> DerefMut for $guard<'_, T, L> {
            #[inline]
            fn deref_mut(&mut self) -> &mut T {
                let $this = self;
                // SAFETY: this guard exists and is borrowed mutably, so its CPU holds the lock and
                // this is the only reference.
                unsafe { &mut *$data }
            }
        }

        impl<T: ?Sized, L: RawLock> Drop for $guard<'_, T, L> {
            #[inline]
            fn drop(&mut self) {
                // SAFETY: a guard is dropped once, and does not touch its token afterwards.
                let token = unsafe { ManuallyDrop::take(&mut self.token) };
                let $this = self;
                // SAFETY: the token is from the acquisition that made this guard, which cannot leave
                // its CPU (a raw pointer is not `Send`).
                unsafe { $lock.unlock(token) };
            }
        }

        impl<T: ?Sized + fmt::Debug, L: RawLock> fmt::Debug for $guard<'_, T, L> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }

        impl<T: ?Sized + fmt::Display, L: RawLock> fmt::Display for $guard<'_, T, L> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                (**self).fmt(f)
            }
        }
    };
}

guard!(Guard, this, this.mutex.raw(), this.mutex.data_ptr());
guard!(MappedGuard, this, this.lock, this.data.as_ptr());
