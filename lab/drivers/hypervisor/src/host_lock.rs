//! The one lock around `host`.
//!
//! A plain test-and-test-and-set lock. It is taken on pCPU threads only, each pinned to a CPU of
//! its own, never in guest mode and never in a signal handler, and is held for a microsecond: no
//! place for a lock that puts threads to sleep, nor for the locks that are measured here.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicBool, Ordering};

/// A spinlock with its data.
#[derive(Debug)]
pub(crate) struct HostLock<T> {
    taken: AtomicBool,
    data: UnsafeCell<T>,
}

// SAFETY: the lock hands out one reference at a time.
unsafe impl<T: Send> Sync for HostLock<T> {}

impl<T> HostLock<T> {
    pub(crate) const fn new(data: T) -> Self {
        Self {
            taken: AtomicBool::new(false),
            data: UnsafeCell::new(data),
        }
    }

    pub(crate) fn lock(&self) -> Guard<'_, T> {
        // Acquire pairs with the release in `Guard::drop`. Among all else it is what makes a
        // vCPU's saved stack visible to the pCPU that enters it next.
        while self.taken.swap(true, Ordering::Acquire) {
            while self.taken.load(Ordering::Relaxed) {
                core::hint::spin_loop();
            }
        }
        Guard { lock: self }
    }

    pub(crate) fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

/// The lock, held.
pub(crate) struct Guard<'a, T> {
    lock: &'a HostLock<T>,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;
    fn deref(&self) -> &T {
        // SAFETY: the lock is held.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: the lock is held, and `self` is borrowed exclusively.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        self.lock.taken.store(false, Ordering::Release);
    }
}
