//! `lock_api` 0.5: raw mutexes whose guards carry the token.

use crate::env::Env;
use crate::irq::{Interrupts, IrqLock, IrqToken};
use crate::lock::QSpinLock;
use crate::lockdep::Class;
use crate::policy::Policy;
use crate::token::Token;
use crate::word::Format;

/// `lock_api::Mutex` over a [`QSpinLock`], four bytes plus the data.
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
/// use pvqspin::QSpinLock;
///
/// type Mutex<T> = lock_api::Mutex<QSpinLock<Kernel>, T>;
///
/// static COUNT: Mutex<u64> = Mutex::new(0);
/// *COUNT.lock() += 1;
/// assert_eq!(*COUNT.lock(), 1);
/// ```
// SAFETY: `QSpinLock` excludes: a successful `lock` or `try_lock` has exchanged the word from free
// to held, and no other CPU does so before the matching `unlock`.
unsafe impl<E: Env, P: Policy, W: Format> lock_api::RawMutex for QSpinLock<E, P, W> {
    const INIT: Self = Self::of_class(Class::Address);

    type Guard = Token;

    #[inline]
    fn lock(&self) -> Token {
        QSpinLock::lock(self)
    }

    #[inline]
    fn try_lock(&self) -> Option<Token> {
        QSpinLock::try_lock(self)
    }

    #[inline]
    unsafe fn unlock(&self, guard: Token) {
        // SAFETY: the caller's promise is the same.
        unsafe { QSpinLock::unlock(self, guard) }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        QSpinLock::is_locked(self)
    }
}

/// `lock_api::Mutex` over an [`IrqLock`]: the guard carries the saved interrupt state as well.
// SAFETY: as for `QSpinLock`, which does the excluding.
unsafe impl<E: Env, I: Interrupts, P: Policy, W: Format> lock_api::RawMutex
    for IrqLock<E, I, P, W>
{
    const INIT: Self = Self::of_class(Class::Address);

    type Guard = IrqToken<I>;

    #[inline]
    fn lock(&self) -> IrqToken<I> {
        IrqLock::lock(self)
    }

    #[inline]
    fn try_lock(&self) -> Option<IrqToken<I>> {
        IrqLock::try_lock(self)
    }

    #[inline]
    unsafe fn unlock(&self, guard: IrqToken<I>) {
        // SAFETY: the caller's promise is the same.
        unsafe { IrqLock::unlock(self, guard) }
    }

    #[inline]
    fn is_locked(&self) -> bool {
        IrqLock::is_locked(self)
    }
}
