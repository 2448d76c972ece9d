//! Data beside its lock, before anything is said about how the lock is taken.

use core::cell::UnsafeCell;

/// Data behind the lock `L`: [`Mutex`](crate::Mutex) and [`irq::Mutex`](crate::irq::Mutex) are this.
pub struct MutexOf<T: ?Sized, L> {
    pub(super) lock: L,
    data: UnsafeCell<T>,
}

// SAFETY: the lock hands out access to one CPU at a time, which amounts to sending `T` from one to
// the next; `L` keeps that promise.
unsafe impl<T: ?Sized + Send, L: Sync> Sync for MutexOf<T, L> {}

/// Data behind the reader-writer lock `L`: [`RwLock`](crate::RwLock) and [`irq::RwLock`](crate::irq::RwLock) are this.
pub struct RwLockOf<T: ?Sized, L> {
    pub(super) lock: L,
    data: UnsafeCell<T>,
}

// SAFETY: the lock gives `&T` to several CPUs at once, which needs `Sync`, and `&mut T` to one
// after the other, which needs `Send`; `L` keeps the two apart.
unsafe impl<T: ?Sized + Send + Sync, L: Sync> Sync for RwLockOf<T, L> {}

/// What data and its lock offer before anything is said about how the lock is taken.
macro_rules! data_beside_its_lock {
    ($of:ident) => {
        impl<T, L> $of<T, L> {
            #[inline]
            pub(super) const fn of(lock: L, data: T) -> Self {
                Self {
                    lock,
                    data: UnsafeCell::new(data),
                }
            }

            /// The data, without locking: nothing else can have the lock.
            pub fn into_inner(self) -> T {
                self.data.into_inner()
            }
        }

        impl<T: ?Sized, L> $of<T, L> {
            /// The lock itself, for a [`report`](crate::report).
            #[must_use]
            #[inline]
            pub fn raw(&self) -> &L {
                &self.lock
            }

            /// The data, without locking: the borrow shows that nothing else has it.
            pub fn get_mut(&mut self) -> &mut T {
                self.data.get_mut()
            }

            /// Where the data is, for code that knows by other means that it holds the lock.
            #[inline]
            pub const fn data_ptr(&self) -> *mut T {
                self.data.get()
            }
        }

        /// A free lock with the default data. With the feature `lockdep` it is a class of its own.
        impl<T: Default, L: Default> Default for $of<T, L> {
            fn default() -> Self {
                Self::from(T::default())
            }
        }

        /// A free lock with this data. With the feature `lockdep` it is a class of its own.
        impl<T, L: Default> From<T> for $of<T, L> {
            fn from(data: T) -> Self {
                Self::of(L::default(), data)
            }
        }
    };
}

data_beside_its_lock!(MutexOf);
data_beside_its_lock!(RwLockOf);
