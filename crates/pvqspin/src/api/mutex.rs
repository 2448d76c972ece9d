//! A mutex that needs no `lock_api`.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use crate::env::Env;
use crate::lock::{QSpinLock, Token};
use crate::policy::{Fifo, Policy};
use crate::word::{Format, Idx3};

/// Data behind a [`QSpinLock`].
///
/// The type parameters are those of the lock. Preemption by the own kernel must be off while a
/// guard lives, as with any spinlock; [`crate::irq`] has a variant that masks interrupts.
///
/// Memory ordering and panics are those of the lock: what happened while one guard lived happened
/// before the next one was handed out, and nothing here panics.
///
/// A panic in a critical section releases the lock as the guard unwinds, and poisons nothing:
/// kernels do not unwind, and whoever does knows best what its data is worth then.
///
/// ```
/// # use pvqspin::{Budget, Cpu, CpuNodes, Env};
/// # struct Kernel;
/// # static NODES: CpuNodes = CpuNodes::new();
/// # impl Env for Kernel {
/// #     fn cpu() -> Cpu { Cpu::new(0).unwrap() }
/// #     fn nodes(_: Cpu) -> &'static CpuNodes { &NODES }
/// #     fn spin_until(mut c: impl FnMut() -> bool, _: Budget) -> bool { while !c() {} true }
/// # }
/// use pvqspin::Mutex;
///
/// static RUN_QUEUE: Mutex<[u32; 4], Kernel> = Mutex::new([0; 4]);
///
/// let mut queue = RUN_QUEUE.lock();
/// queue[2] = 7;
/// assert!(RUN_QUEUE.try_lock().is_none());
/// drop(queue);
/// assert_eq!(RUN_QUEUE.lock()[2], 7);
/// ```
pub struct Mutex<T: ?Sized, E, P = Fifo, W = Idx3> {
    lock: QSpinLock<E, P, W>,
    data: UnsafeCell<T>,
}

// SAFETY: the lock hands out access to one CPU at a time, which amounts to sending `T` from one to
// the next; `QSpinLock` keeps that promise.
unsafe impl<T: ?Sized + Send, E, P, W> Sync for Mutex<T, E, P, W> {}

impl<T, E, P, W> Mutex<T, E, P, W> {
    const_unless_loom! {
        /// Free, with this data.
        #[must_use]
        #[cfg_attr(feature = "lockdep", track_caller)]
        pub fn new(data: T) -> Self {
            Self {
                lock: QSpinLock::new(),
                data: UnsafeCell::new(data),
            }
        }
    }

    /// The data, without locking: nobody else can have the mutex.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized, E: Env, P: Policy, W: Format> Mutex<T, E, P, W> {
    /// Takes the lock and gives access to the data.
    #[inline]
    pub fn lock(&self) -> MutexGuard<'_, T, E, P, W> {
        self.guard(self.lock.lock())
    }

    /// Takes the lock if nobody holds or awaits it.
    #[inline]
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T, E, P, W>> {
        self.lock.try_lock().map(|token| self.guard(token))
    }

    /// Whether somebody holds the lock. Stale when it returns.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    /// The lock itself, for a [`dump`](crate::report).
    #[must_use]
    pub fn raw(&self) -> &QSpinLock<E, P, W> {
        &self.lock
    }

    /// The data, without locking: the borrow shows that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    #[inline]
    fn guard(&self, token: Token) -> MutexGuard<'_, T, E, P, W> {
        MutexGuard {
            mutex: self,
            token: ManuallyDrop::new(token),
        }
    }
}

impl<T: ?Sized, E, P, W: Format> fmt::Debug for Mutex<T, E, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mutex")
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

/// Access to the data of a [`Mutex`], until it is dropped.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct MutexGuard<'a, T: ?Sized, E: Env, P: Policy, W: Format> {
    mutex: &'a Mutex<T, E, P, W>,
    token: ManuallyDrop<Token>,
}

// SAFETY: sharing a guard shares `&T` and nothing else; `Token` is `Sync`.
unsafe impl<T: ?Sized + Sync, E: Env, P: Policy, W: Format> Sync for MutexGuard<'_, T, E, P, W> {}

impl<T: ?Sized, E: Env, P: Policy, W: Format> Deref for MutexGuard<'_, T, E, P, W> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard exists, so its CPU holds the lock and nobody writes.
        unsafe { &*self.mutex.data.get() }
    }
}

impl<T: ?Sized, E: Env, P: Policy, W: Format> DerefMut for MutexGuard<'_, T, E, P, W> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard exists and is borrowed mutably, so its CPU holds the lock and this is
        // the only reference.
        unsafe { &mut *self.mutex.data.get() }
    }
}

impl<T: ?Sized, E: Env, P: Policy, W: Format> Drop for MutexGuard<'_, T, E, P, W> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: a guard is dropped once, and does not touch its token afterwards.
        let token = unsafe { ManuallyDrop::take(&mut self.token) };
        // SAFETY: the token is from the acquisition that made this guard, which cannot leave its
        // CPU (`Token` is not `Send`).
        unsafe { self.mutex.lock.unlock(token) };
    }
}

impl<T: ?Sized + fmt::Debug, E: Env, P: Policy, W: Format> fmt::Debug
    for MutexGuard<'_, T, E, P, W>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
