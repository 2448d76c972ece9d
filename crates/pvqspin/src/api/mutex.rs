//! A mutex that needs no `lock_api`.

use core::fmt;

use crate::api::cell::MutexOf;
use crate::api::guard::Guard;
use crate::api::irq_lock::IrqLock;
use crate::api::raw::RawLock;
use crate::lock::QSpinLock;
use crate::policy::Fifo;
use crate::word::Idx3;

/// Data behind a [`QSpinLock`].
///
/// The type parameters are those of the lock: the environment, the policy, the word. Each world has a
/// shorter name for the one with the right policy: `threads::Mutex<T>`, `kvm::Mutex<T, K>`,
/// [`bare::Mutex<T, K>`](crate::bare::Mutex).
///
/// Preemption by the own kernel must be off while a guard lives, as with any spinlock;
/// [`irq::Mutex`](crate::irq::Mutex) masks interrupts as well.
///
/// Memory ordering and panics are those of the lock: what happened while one guard lived happened
/// before the next one was handed out, and nothing here panics.
///
/// A panic in a critical section releases the lock as the guard unwinds, and poisons nothing:
/// kernels do not unwind, and a program that does knows best what its data is worth then.
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
pub type Mutex<T, E, P = Fifo, W = Idx3> = MutexOf<T, QSpinLock<E, P, W>>;

/// The guard of a [`Mutex`].
pub type MutexGuard<'a, T, E, P = Fifo, W = Idx3> = Guard<'a, T, QSpinLock<E, P, W>>;

impl<T, E, P, W> MutexOf<T, QSpinLock<E, P, W>> {
    const_unless_loom! {
        /// Free, with this data.
        #[must_use]
        #[cfg_attr(feature = "lockdep", track_caller)]
        pub fn new(data: T) -> Self {
            Self::of(QSpinLock::new(), data)
        }
    }
}

impl<T, E, I, P, W> MutexOf<T, IrqLock<E, I, P, W>> {
    const_unless_loom! {
        /// Free, with this data.
        #[must_use]
        #[cfg_attr(feature = "lockdep", track_caller)]
        pub fn new(data: T) -> Self {
            Self::of(IrqLock::new(), data)
        }
    }
}

impl<T: ?Sized, L: RawLock> MutexOf<T, L> {
    /// Takes the lock and gives access to the data.
    #[inline]
    pub fn lock(&self) -> Guard<'_, T, L> {
        let token = self.lock.lock();
        // SAFETY: this CPU holds the lock.
        unsafe { Guard::new(self, token) }
    }

    /// Takes the lock if it is free and nothing waits for it.
    #[inline]
    pub fn try_lock(&self) -> Option<Guard<'_, T, L>> {
        let token = self.lock.try_lock()?;
        // SAFETY: this CPU holds the lock.
        Some(unsafe { Guard::new(self, token) })
    }

    /// Whether the lock is held. Stale when it returns.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.lock.is_locked()
    }
}

/// The data, or that it is locked. It takes the lock to look, and does not wait for it.
impl<T: ?Sized + fmt::Debug, L: RawLock> fmt::Debug for MutexOf<T, L> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Mutex");
        match self.try_lock() {
            Some(guard) => debug.field("data", &&*guard),
            None => debug.field("data", &format_args!("<locked>")),
        };
        debug.finish()
    }
}
