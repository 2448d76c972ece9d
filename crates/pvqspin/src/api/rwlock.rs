//! A reader-writer lock with data, that needs no `lock_api`.

use core::fmt;

use crate::api::cell::RwLockOf;
use crate::api::irq_rwlock::IrqRwLock;
use crate::api::raw::RawRwLock;
use crate::api::rw_guard::{ReadGuard, UpgradableGuard, WriteGuard};
use crate::policy::Fifo;
use crate::rw::lock::QRwLock;
use crate::word::Idx3;

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
/// use pvqspin::{RwLock, UpgradableGuard, WriteGuard};
///
/// static ROUTES: RwLock<[u32; 4], Kernel> = RwLock::new([0; 4]);
///
/// ROUTES.write()[2] = 7;
/// let (one, two) = (ROUTES.read(), ROUTES.read());
/// assert_eq!((one[2], two[2]), (7, 7));
/// assert!(ROUTES.try_write().is_none());
/// drop((one, two));
///
/// // Read, then write if need be: nothing changes in between.
/// let routes = ROUTES.upgradable_read();
/// if routes[1] == 0 {
///     let mut routes = UpgradableGuard::upgrade(routes);
///     routes[1] = 8;
///     // And read on.
///     let routes = WriteGuard::downgrade(routes);
///     assert_eq!(routes[1], 8);
/// }
/// ```
pub type RwLock<T, E, P = Fifo, W = Idx3> = RwLockOf<T, QRwLock<E, P, W>>;

/// A reader's guard of a [`RwLock`].
pub type RwLockReadGuard<'a, T, E, P = Fifo, W = Idx3> = ReadGuard<'a, T, QRwLock<E, P, W>>;

/// A writer's guard of a [`RwLock`].
pub type RwLockWriteGuard<'a, T, E, P = Fifo, W = Idx3> = WriteGuard<'a, T, QRwLock<E, P, W>>;

impl<T, E, P, W> RwLockOf<T, QRwLock<E, P, W>> {
    const_unless_loom! {
        /// Free, with this data.
        #[must_use]
        #[cfg_attr(feature = "lockdep", track_caller)]
        pub fn new(data: T) -> Self {
            Self::of(QRwLock::new(), data)
        }
    }
}

impl<T, E, I, P, W> RwLockOf<T, IrqRwLock<E, I, P, W>> {
    const_unless_loom! {
        /// Free, with this data.
        #[must_use]
        #[cfg_attr(feature = "lockdep", track_caller)]
        pub fn new(data: T) -> Self {
            Self::of(IrqRwLock::new(), data)
        }
    }
}

impl<T: ?Sized, L: RawRwLock> RwLockOf<T, L> {
    /// Takes the lock to read.
    #[inline]
    pub fn read(&self) -> ReadGuard<'_, T, L> {
        self.reader(self.lock.read())
    }

    /// Takes the lock to read if nothing writes or waits.
    #[inline]
    pub fn try_read(&self) -> Option<ReadGuard<'_, T, L>> {
        self.lock.try_read().map(|token| self.reader(token))
    }

    /// Takes the lock to read, past all that wait. For interrupt handlers: see
    /// [`QRwLock::read_nested`].
    pub fn read_nested(&self) -> ReadGuard<'_, T, L> {
        self.reader(self.lock.read_nested())
    }

    /// Takes the lock to read, alone among those that may become writers: see
    /// [`UpgradableGuard::upgrade`]. Other readers that call later wait behind it.
    pub fn upgradable_read(&self) -> UpgradableGuard<'_, T, L> {
        self.upgradable(self.lock.upgradable())
    }

    /// Takes the lock to read, alone among those that may become writers, if nothing writes or waits.
    pub fn try_upgradable_read(&self) -> Option<UpgradableGuard<'_, T, L>> {
        self.lock
            .try_upgradable()
            .map(|token| self.upgradable(token))
    }

    /// Takes the lock to write.
    #[inline]
    pub fn write(&self) -> WriteGuard<'_, T, L> {
        self.writer(self.lock.write())
    }

    /// Takes the lock to write if it is free and nothing waits for it.
    #[inline]
    pub fn try_write(&self) -> Option<WriteGuard<'_, T, L>> {
        self.lock.try_write().map(|token| self.writer(token))
    }

    /// Whether the lock is held, to read or to write. Stale when it returns.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }

    /// Whether the lock is held to write. Stale when it returns.
    #[must_use]
    pub fn is_locked_exclusive(&self) -> bool {
        self.lock.is_locked_exclusive()
    }

    #[inline]
    fn reader(&self, token: L::ReadToken) -> ReadGuard<'_, T, L> {
        // SAFETY: the token says that this CPU reads.
        unsafe { ReadGuard::new(self, token) }
    }

    fn upgradable(&self, token: L::UpgradableToken) -> UpgradableGuard<'_, T, L> {
        // SAFETY: the token says that this CPU reads, and may upgrade.
        unsafe { UpgradableGuard::new(self, token) }
    }

    #[inline]
    fn writer(&self, token: L::WriteToken) -> WriteGuard<'_, T, L> {
        // SAFETY: the token says that this CPU writes.
        unsafe { WriteGuard::new(self, token) }
    }
}

/// The data, or that it is locked. It takes the lock to look, and does not wait for it.
impl<T: ?Sized + fmt::Debug, L: RawRwLock> fmt::Debug for RwLockOf<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("RwLock");
        match self.try_read() {
            Some(guard) => debug.field("data", &&*guard),
            None => debug.field("data", &format_args!("<locked>")),
        };
        debug.finish()
    }
}
