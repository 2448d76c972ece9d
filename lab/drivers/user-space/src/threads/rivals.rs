//! Mutexes with a guard, behind the trait that all workloads take: [`Lock`].
//!
//! One short `impl` for each. A lock that can be told how to wait is here twice: spinning, which is
//! its default, and giving its CPU away, which is what one would choose for threads.

use std::cell::Cell;
use std::sync::PoisonError;

use pvqspin::threads::{self, Threads};
use pvqspin::{Idx3, Policy};
use pvqspin_rivals::Lock;

use crate::threads::thread::OnThread;

/// A mutex of user space.
pub(crate) trait UserMutex: Sync + 'static {
    /// Holds the lock until it is released.
    type Guard;

    /// A free one.
    fn new() -> Self;

    /// Takes it, waiting for as long as it takes.
    fn lock(&'static self) -> Self::Guard;

    /// Releases it.
    fn unlock(guard: Self::Guard) {
        drop(guard);
    }
}

/// Keeps a mutex out of the cache lines of its neighbours.
#[derive(Debug)]
#[repr(align(128))]
struct OwnLine<M>(M);

/// A [`UserMutex`] as a [`Lock`].
///
/// Guards borrow their mutex and tokens borrow nothing, so the mutex lives for ever: each run
/// leaks one, of a few hundred bytes.
pub(crate) struct Rival<M: 'static>(&'static OwnLine<M>);

impl<M: UserMutex> Lock<OnThread> for Rival<M> {
    type Token = M::Guard;

    fn new(_cpus: usize) -> Self {
        Self(Box::leak(Box::new(OwnLine(M::new()))))
    }

    #[inline]
    fn lock(&self) -> M::Guard {
        OnThread::calls_lock();
        self.0.0.lock()
    }

    #[inline]
    unsafe fn unlock(&self, token: M::Guard) {
        M::unlock(token);
    }
}

impl<P: Policy> UserMutex for threads::MutexWith<(), P> {
    type Guard = pvqspin::MutexGuard<'static, (), Threads, P, Idx3>;

    fn new() -> Self {
        Self::new(())
    }

    #[inline]
    fn lock(&'static self) -> Self::Guard {
        self.lock()
    }
}

impl UserMutex for std::sync::Mutex<()> {
    type Guard = std::sync::MutexGuard<'static, ()>;

    fn new() -> Self {
        Self::new(())
    }

    #[inline]
    fn lock(&'static self) -> Self::Guard {
        Self::lock(self).unwrap_or_else(PoisonError::into_inner)
    }
}

/// `impl UserMutex` for mutexes that are all used in the same way.
macro_rules! guarded {
    ($($mutex:ty => $guard:ty;)*) => {$(
        impl UserMutex for $mutex {
            type Guard = $guard;

            fn new() -> Self {
                Self::new(())
            }

            #[inline]
            fn lock(&'static self) -> Self::Guard {
                self.lock()
            }
        }
    )*};
}

guarded! {
    parking_lot::Mutex<()> => parking_lot::MutexGuard<'static, ()>;
    spin::mutex::SpinMutex<()> => spin::mutex::SpinMutexGuard<'static, ()>;
    spin::mutex::SpinMutex<(), spin::Yield> => spin::mutex::SpinMutexGuard<'static, (), spin::Yield>;
    spin::mutex::FairMutex<()> => spin::mutex::FairMutexGuard<'static, ()>;
    spinning_top::Spinlock<()> => spinning_top::guard::SpinlockGuard<'static, ()>;
    mcslock::barging::spins::Mutex<()> => mcslock::barging::spins::MutexGuard<'static, ()>;
    mcslock::barging::yields::Mutex<()> => mcslock::barging::yields::MutexGuard<'static, ()>;
}

/// Its guard is three words, and tokens are two at most: this one remembers the mutex alone.
impl<R: spin::RelaxStrategy + Sync + 'static> UserMutex for spin::mutex::TicketMutex<(), R> {
    type Guard = &'static Self;

    fn new() -> Self {
        Self::new(())
    }

    #[inline]
    fn lock(&'static self) -> &'static Self {
        std::mem::forget(self.lock());
        self
    }

    #[inline]
    fn unlock(mutex: &'static Self) {
        // SAFETY: `lock` forgot the guard that would have released it, so it is held, and this
        // takes by value what stands for holding it.
        unsafe { mutex.force_unlock() };
    }
}

/// `parking_lot`, releasing in the order in which the waiters went to sleep.
pub(crate) struct InOrder(parking_lot::Mutex<()>);

impl UserMutex for InOrder {
    type Guard = parking_lot::MutexGuard<'static, ()>;

    fn new() -> Self {
        Self(parking_lot::Mutex::new(()))
    }

    #[inline]
    fn lock(&'static self) -> Self::Guard {
        self.0.lock()
    }

    #[inline]
    fn unlock(guard: Self::Guard) {
        parking_lot::MutexGuard::unlock_fair(guard);
    }
}

thread_local! {
    /// A CLH lock swaps nodes with the waiter before: a thread with a node of its own never allocates.
    static CLH_NODE: Cell<Option<clhlock::raw::MutexNode>> = const { Cell::new(None) };
}

impl<R: clhlock::relax::Relax + 'static> UserMutex for clhlock::raw::Mutex<(), R> {
    type Guard = clhlock::raw::MutexGuard<'static, (), R>;

    fn new() -> Self {
        Self::new(())
    }

    #[inline]
    fn lock(&'static self) -> Self::Guard {
        self.lock_with(CLH_NODE.take().unwrap_or_default())
    }

    #[inline]
    fn unlock(guard: Self::Guard) {
        CLH_NODE.set(Some(guard.unlock()));
    }
}
