//! A reader-writer lock with data, that needs no `lock_api`.

use core::cell::UnsafeCell;
use core::fmt;
use core::mem::ManuallyDrop;
use core::ops::{Deref, DerefMut};

use crate::env::Env;
use crate::policy::{Fifo, Policy};
use crate::rw::lock::{QRwLock, ReadToken, WriteToken};
use crate::word::{Format, Idx3};

/// Data behind a [`QRwLock`], which tells about the order, and about interrupt handlers.
///
/// What happened while a writer's guard lived happened before the next guard of any kind was handed
/// out, and what readers did happened before the next writer's.
///
/// Preemption by the own kernel must be off while a guard lives, as with any spinlock. As with
/// [`Mutex`](crate::Mutex), a panic releases the lock and poisons nothing.
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
/// use pvqspin::RwLock;
///
/// static ROUTES: RwLock<[u32; 4], Kernel> = RwLock::new([0; 4]);
///
/// ROUTES.write()[2] = 7;
/// let (one, two) = (ROUTES.read(), ROUTES.read());
/// assert_eq!((one[2], two[2]), (7, 7));
/// assert!(ROUTES.try_write().is_none());
/// ```
pub struct RwLock<T: ?Sized, E, P = Fifo, W = Idx3> {
    lock: QRwLock<E, P, W>,
    data: UnsafeCell<T>,
}

// SAFETY: the lock gives `&T` to several CPUs at once, which needs `Sync`, and `&mut T` to one
// after the other, which needs `Send`; `QRwLock` keeps the two apart.
unsafe impl<T: ?Sized + Send + Sync, E, P, W> Sync for RwLock<T, E, P, W> {}

impl<T, E, P, W> RwLock<T, E, P, W> {
    const_unless_loom! {
        /// Free, with this data.
        #[must_use]
        #[cfg_attr(feature = "lockdep", track_caller)]
        pub fn new(data: T) -> Self {
            Self {
                lock: QRwLock::new(),
                data: UnsafeCell::new(data),
            }
        }
    }

    /// The data, without locking: nobody else can have the lock.
    pub fn into_inner(self) -> T {
        self.data.into_inner()
    }
}

impl<T: ?Sized, E: Env, P: Policy, W: Format> RwLock<T, E, P, W> {
    /// Takes the lock to read.
    #[inline]
    pub fn read(&self) -> RwLockReadGuard<'_, T, E, P, W> {
        self.reader(self.lock.read())
    }

    /// Takes the lock to read if nobody writes or waits.
    #[inline]
    pub fn try_read(&self) -> Option<RwLockReadGuard<'_, T, E, P, W>> {
        self.lock.try_read().map(|token| self.reader(token))
    }

    /// Takes the lock to read, past whoever waits. For interrupt handlers: see
    /// [`QRwLock::read_nested`].
    pub fn read_nested(&self) -> RwLockReadGuard<'_, T, E, P, W> {
        self.reader(self.lock.read_nested())
    }

    /// Takes the lock to write.
    #[inline]
    pub fn write(&self) -> RwLockWriteGuard<'_, T, E, P, W> {
        self.writer(self.lock.write())
    }

    /// Takes the lock to write if nobody has it or waits for it.
    #[inline]
    pub fn try_write(&self) -> Option<RwLockWriteGuard<'_, T, E, P, W>> {
        self.lock.try_write().map(|token| self.writer(token))
    }

    /// Whether somebody reads or writes. Stale when it returns.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    /// The data, without locking: the borrow shows that nobody else has it.
    pub fn get_mut(&mut self) -> &mut T {
        self.data.get_mut()
    }

    /// The lock itself, for a [`dump`](crate::report).
    #[must_use]
    pub fn raw(&self) -> &QRwLock<E, P, W> {
        &self.lock
    }

    #[inline]
    fn reader(&self, token: ReadToken) -> RwLockReadGuard<'_, T, E, P, W> {
        RwLockReadGuard {
            lock: self,
            token: ManuallyDrop::new(token),
        }
    }

    #[inline]
    fn writer(&self, token: WriteToken) -> RwLockWriteGuard<'_, T, E, P, W> {
        RwLockWriteGuard {
            lock: self,
            token: ManuallyDrop::new(token),
        }
    }
}

impl<T: ?Sized, E, P, W: Format> fmt::Debug for RwLock<T, E, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RwLock")
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

/// Read access to the data of a [`RwLock`], until it is dropped.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct RwLockReadGuard<'a, T: ?Sized, E: Env, P: Policy, W: Format> {
    lock: &'a RwLock<T, E, P, W>,
    token: ManuallyDrop<ReadToken>,
}

/// Write access to the data of a [`RwLock`], until it is dropped.
#[must_use = "the lock is released as soon as the guard is dropped"]
pub struct RwLockWriteGuard<'a, T: ?Sized, E: Env, P: Policy, W: Format> {
    lock: &'a RwLock<T, E, P, W>,
    token: ManuallyDrop<WriteToken>,
}

impl<T: ?Sized, E: Env, P: Policy, W: Format> Deref for RwLockReadGuard<'_, T, E, P, W> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard exists, so its CPU reads under the lock and nobody writes.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized, E: Env, P: Policy, W: Format> Drop for RwLockReadGuard<'_, T, E, P, W> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: a guard is dropped once, and does not touch its token afterwards.
        let token = unsafe { ManuallyDrop::take(&mut self.token) };
        // SAFETY: the token is from the acquisition that made this guard, which cannot leave its
        // CPU (`ReadToken` is not `Send`).
        unsafe { self.lock.lock.unlock_read(token) };
    }
}

impl<T: ?Sized, E: Env, P: Policy, W: Format> Deref for RwLockWriteGuard<'_, T, E, P, W> {
    type Target = T;

    #[inline]
    fn deref(&self) -> &T {
        // SAFETY: this guard exists, so its CPU holds the lock alone.
        unsafe { &*self.lock.data.get() }
    }
}

impl<T: ?Sized, E: Env, P: Policy, W: Format> DerefMut for RwLockWriteGuard<'_, T, E, P, W> {
    #[inline]
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard exists and is borrowed mutably, so its CPU holds the lock alone and
        // this is the only reference.
        unsafe { &mut *self.lock.data.get() }
    }
}

impl<T: ?Sized, E: Env, P: Policy, W: Format> Drop for RwLockWriteGuard<'_, T, E, P, W> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: a guard is dropped once, and does not touch its token afterwards.
        let token = unsafe { ManuallyDrop::take(&mut self.token) };
        // SAFETY: the token is from the acquisition that made this guard, which cannot leave its
        // CPU (`WriteToken` is not `Send`).
        unsafe { self.lock.lock.unlock_write(token) };
    }
}

impl<T: ?Sized + fmt::Debug, E: Env, P: Policy, W: Format> fmt::Debug
    for RwLockReadGuard<'_, T, E, P, W>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: ?Sized + fmt::Debug, E: Env, P: Policy, W: Format> fmt::Debug
    for RwLockWriteGuard<'_, T, E, P, W>
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
