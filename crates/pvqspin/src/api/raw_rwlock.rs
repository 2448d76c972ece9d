//! `lock_api` 0.5: the raw reader-writer lock, whose guards carry the tokens.

use crate::env::Env;
use crate::lockdep::Class;
use crate::policy::Policy;
use crate::rw::lock::QRwLock;
use crate::rw::token::{ReadToken, UpgradableToken, WriteToken};
use crate::word::Format;

/// `lock_api::RwLock` over a [`QRwLock`], eight bytes plus the data.
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
/// use pvqspin::QRwLock;
///
/// type RwLock<T> = lock_api::RwLock<QRwLock<Kernel>, T>;
///
/// static ROUTES: RwLock<[u8; 4]> = RwLock::new([0; 4]);
/// ROUTES.write()[1] = 9;
/// let (one, two) = (ROUTES.read(), ROUTES.read());
/// assert_eq!((one[1], two[1]), (9, 9));
/// assert!(ROUTES.try_write().is_none());
/// ```
// SAFETY: `QRwLock` excludes: a writer has exchanged a word without readers and writer for one that
// names a writer, and readers are counted only in words without a writer.
unsafe impl<E: Env, P: Policy, W: Format> lock_api::RawRwLock for QRwLock<E, P, W> {
    const INIT: Self = Self::of_class(Class::Address);

    type SharedGuard = ReadToken;
    type ExclusiveGuard = WriteToken;

    #[inline]
    fn lock_shared(&self) -> ReadToken {
        QRwLock::read(self)
    }

    #[inline]
    fn try_lock_shared(&self) -> Option<ReadToken> {
        QRwLock::try_read(self)
    }

    #[inline]
    unsafe fn unlock_shared(&self, guard: ReadToken) {
        // SAFETY: the caller's promise is the same.
        unsafe { QRwLock::unlock_read(self, guard) }
    }

    #[inline]
    fn lock_exclusive(&self) -> WriteToken {
        QRwLock::write(self)
    }

    #[inline]
    fn try_lock_exclusive(&self) -> Option<WriteToken> {
        QRwLock::try_write(self)
    }

    #[inline]
    unsafe fn unlock_exclusive(&self, guard: WriteToken) {
        // SAFETY: the caller's promise is the same.
        unsafe { QRwLock::unlock_write(self, guard) }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        QRwLock::is_locked(self)
    }

    #[inline]
    fn is_locked_exclusive(&self) -> bool {
        QRwLock::is_locked_exclusive(self)
    }
}

// SAFETY: `QRwLock::downgrade` makes the writer a reader in one step.
unsafe impl<E: Env, P: Policy, W: Format> lock_api::RawRwLockDowngrade for QRwLock<E, P, W> {
    unsafe fn downgrade(&self, guard: WriteToken) -> ReadToken {
        // SAFETY: the caller's promise is the same.
        unsafe { QRwLock::downgrade(self, guard) }
    }
}

// SAFETY: an upgradable reader has the turn, without which nothing becomes a writer or another such
// reader.
unsafe impl<E: Env, P: Policy, W: Format> lock_api::RawRwLockUpgrade for QRwLock<E, P, W> {
    type UpgradableGuard = UpgradableToken;

    fn lock_upgradable(&self) -> UpgradableToken {
        QRwLock::upgradable_read(self)
    }

    fn try_lock_upgradable(&self) -> Option<UpgradableToken> {
        QRwLock::try_upgradable_read(self)
    }

    unsafe fn unlock_upgradable(&self, guard: UpgradableToken) {
        // SAFETY: the caller's promise is the same.
        unsafe { QRwLock::unlock_upgradable_read(self, guard) }
    }

    unsafe fn upgrade(&self, guard: UpgradableToken) -> WriteToken {
        // SAFETY: the caller's promise is the same.
        unsafe { QRwLock::upgrade(self, guard) }
    }

    unsafe fn try_upgrade(&self, guard: UpgradableToken) -> Result<WriteToken, UpgradableToken> {
        // SAFETY: the caller's promise is the same.
        unsafe { QRwLock::try_upgrade(self, guard) }
    }
}
