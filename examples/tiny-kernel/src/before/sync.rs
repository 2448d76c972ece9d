//! The kernel's spinlock. Interrupts are masked while it is held.

use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use crate::machine;

/// Data that one CPU at a time may touch.
pub struct SpinLock<T>(spin::Mutex<T>);

impl<T> SpinLock<T> {
    /// Free.
    pub const fn new(data: T) -> Self {
        Self(spin::Mutex::new(data))
    }

    /// Masks interrupts and takes the lock.
    pub fn lock(&self) -> Guard<'_, T> {
        let enabled = machine::disable_interrupts();
        Guard {
            data: ManuallyDrop::new(self.0.lock()),
            enabled,
        }
    }
}

/// Releases the lock, then puts the interrupts back.
pub struct Guard<'a, T> {
    data: ManuallyDrop<spin::MutexGuard<'a, T>>,
    enabled: bool,
}

impl<T> Deref for Guard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.data
    }
}

impl<T> DerefMut for Guard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.data
    }
}

impl<T> Drop for Guard<'_, T> {
    fn drop(&mut self) {
        // SAFETY: dropped here and nowhere else; the guard is not used again.
        unsafe { ManuallyDrop::drop(&mut self.data) };
        machine::restore_interrupts(self.enabled);
    }
}
