//! `lock_api` 0.4, for the many crates that still use it.
//!
//! Its guards carry nothing, so the token is kept beside the word: [`RawMutex04`] is 8 bytes where
//! a [`QSpinLock`] is 4.

use core::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::env::Env;
use crate::lock::QSpinLock;
use crate::lockdep::Class;
use crate::policy::{Fifo, Policy};
use crate::token::Token;
use crate::word::{Format, Idx3};

/// A [`QSpinLock`] for `lock_api` 0.4.
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
/// use pvqspin::RawMutex04;
///
/// type Mutex<T> = lock_api_04::Mutex<RawMutex04<Kernel>, T>;
///
/// static COUNT: Mutex<u64> = Mutex::new(0);
/// *COUNT.lock() += 1;
/// assert!(!COUNT.is_locked());
/// ```
#[repr(C)]
pub struct RawMutex04<E, P = Fifo, W = Idx3> {
    lock: QSpinLock<E, P, W>,
    token: AtomicU32,
}

impl<E, P, W: Format> core::fmt::Debug for RawMutex04<E, P, W> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.lock.fmt(f)
    }
}

impl<E: Env, P: Policy, W: Format> RawMutex04<E, P, W> {
    fn keep(&self, token: Token) {
        // Relaxed: only holders touch it, and the lock orders them.
        self.token.store(token.into_raw(), Relaxed);
    }
}

// SAFETY: `QSpinLock` excludes.
unsafe impl<E: Env, P: Policy, W: Format> lock_api_04::RawMutex for RawMutex04<E, P, W> {
    const INIT: Self = Self {
        lock: QSpinLock::of_class(Class::Address),
        token: AtomicU32::new(0),
    };

    // The token names the CPU that took the lock.
    type GuardMarker = lock_api_04::GuardNoSend;

    #[inline]
    fn lock(&self) {
        self.keep(self.lock.lock());
    }

    #[inline]
    fn try_lock(&self) -> bool {
        match self.lock.try_lock() {
            Some(token) => {
                self.keep(token);
                true
            }
            None => false,
        }
    }

    #[inline]
    unsafe fn unlock(&self) {
        let token = Token::from_raw(self.token.load(Relaxed));
        // SAFETY: the caller holds the lock; the token is what its acquisition kept.
        unsafe { self.lock.unlock(token) };
    }

    #[inline]
    fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }
}
