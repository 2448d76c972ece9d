//! One critical section for all CPUs of a kernel, which a CPU may enter again while it is in it.

use core::cell::UnsafeCell;
use core::fmt;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;

use pvqspin::irq::Interrupts;
use pvqspin::{Env, Fifo, Format, Idx3, Policy, QSpinLock, Token};

/// The state behind `critical_section::with`. Made by [`critical_section_with`](crate::critical_section_with).
pub struct CriticalSection<E, I: Interrupts, P = Fifo, W = Idx3> {
    lock: QSpinLock<E, P, W>,
    /// The CPU that is in it, plus 1.
    owner: AtomicU32,
    /// What it needs to leave. Its own while it is in.
    saved: UnsafeCell<Option<(Token, I::State)>>,
}

// SAFETY: `saved` is touched by the CPU that holds the lock alone, with interrupts masked. What is in it
// does not leave that CPU, so it need not be `Send`.
unsafe impl<E, I: Interrupts, P, W> Sync for CriticalSection<E, I, P, W> {}

impl<E, I: Interrupts, P, W> CriticalSection<E, I, P, W> {
    /// Nothing is in it.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            lock: QSpinLock::new(),
            owner: AtomicU32::new(0),
            saved: UnsafeCell::new(None),
        }
    }
}

impl<E: Env, I: Interrupts, P: Policy, W: Format> CriticalSection<E, I, P, W> {
    /// Enters. Says whether this CPU was in it before.
    pub fn acquire(&self) -> bool {
        // First of all, so that the CPU does not change.
        let state = I::mask();
        let me = E::cpu().plus_one();
        // Relaxed: it is this CPU's number only if this CPU wrote it.
        if self.owner.load(Relaxed) == me {
            // SAFETY: the state is from above; interrupts were masked already, and stay so.
            unsafe { I::restore(state) };
            return true;
        }
        let token = self.lock.lock();
        self.owner.store(me, Relaxed);
        // SAFETY: `saved` belongs to the CPU that holds the lock: this one, since the line above.
        unsafe { *self.saved.get() = Some((token, state)) };
        false
    }

    /// Leaves, if `was_in` is false.
    ///
    /// # Safety
    ///
    /// `was_in` is what the matching [`acquire`](Self::acquire) returned on this CPU, and all that were
    /// entered since are left.
    pub unsafe fn release(&self, was_in: bool) {
        if was_in {
            return;
        }
        // SAFETY: `saved` belongs to the CPU that holds the lock. The caller is in the section, so this one does,
        // until `unlock` below.
        let saved = unsafe { (*self.saved.get()).take() };
        self.owner.store(0, Relaxed);
        if let Some((token, state)) = saved {
            // SAFETY: `acquire` put the token there on this CPU, and `take` made sure that it is used once.
            unsafe { self.lock.unlock(token) };
            // SAFETY: the state is from `acquire`, on this CPU, and is put back once.
            unsafe { I::restore(state) };
        }
    }
}

impl<E, I: Interrupts, P, W> Default for CriticalSection<E, I, P, W> {
    fn default() -> Self {
        Self::new()
    }
}

impl<E, I: Interrupts, P, W: Format> fmt::Debug for CriticalSection<E, I, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CriticalSection")
            .field("lock", &self.lock)
            .finish_non_exhaustive()
    }
}

/// Makes this lock what `critical_section::with` takes, in the whole program: once, with the environment
/// of the kernel and how it masks interrupts.
///
/// ```ignore
/// pvqspin_adapters::critical_section_with!(Kernel, Flag);
/// ```
#[macro_export]
macro_rules! critical_section_with {
    ($env:ty, $interrupts:ty) => {
        const _: () = {
            static SECTION: $crate::CriticalSection<$env, $interrupts> =
                $crate::CriticalSection::new();

            struct Section;
            $crate::critical_section::set_impl!(Section);

            // SAFETY: the section excludes, on all CPUs, and may be entered again on the same.
            unsafe impl $crate::critical_section::Impl for Section {
                // SAFETY: the caller promises what the trait asks for, here and below.
                unsafe fn acquire() -> bool {
                    SECTION.acquire()
                }

                // SAFETY: as for `acquire`.
                unsafe fn release(was_in: bool) {
                    // SAFETY: the caller's promise is the same.
                    unsafe { SECTION.release(was_in) }
                }
            }
        };
    };
}
