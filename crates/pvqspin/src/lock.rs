//! The lock and its fast paths. Everything contended is in [`crate::queue`].
//!
//! Uncontended, a paravirtual lock costs one compare-exchange from free to *held by me, alone*,
//! and one back: the holder is named in the same atomic step that takes the lock. With the name
//! in a second store, a preemption between the two would make every waiter believe that the
//! holder runs.
//!
//! A native lock names no CPU.

use core::fmt;
use core::marker::PhantomData;

use crate::atomic::{AtomicU32, Ordering, compiler_fence};
use crate::env::Env;
use crate::lockdep::{Class, How};
use crate::policy::{Fifo, Kind, Policy};
use crate::queue;
use crate::queue::release::{self, Lends};
use crate::token::Token;
use crate::word::{Format, Idx3, LOCKED};

/// A 4-byte queued spinlock without data.
///
/// - `E`: the environment ([`Env`]): bare metal, a guest, a simulator.
/// - `P`: the waiting policy ([`Policy`]), [`Fifo`] unless chosen otherwise.
/// - `W`: the word format ([`Format`]), [`Idx3`] unless chosen otherwise.
///
/// [`Mutex`](crate::Mutex) guards data with it, `lock_api::Mutex` does too.
///
/// # Memory ordering
///
/// Taking the lock acquires, releasing it releases: what happened in one critical section happened
/// before the next. A failed [`try_lock`](Self::try_lock) orders nothing.
///
/// # Panics
///
/// Nothing here panics.
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
/// use pvqspin::{Fifo, Idx3, QSpinLock};
///
/// static LOCK: QSpinLock<Kernel, Fifo, Idx3> = QSpinLock::new();
/// # #[cfg(not(feature = "lockdep"))]
/// assert_eq!(size_of_val(&LOCK), 4);
///
/// let token = LOCK.lock();
/// assert!(LOCK.is_locked());
/// assert!(LOCK.try_lock().is_none());
/// // SAFETY: the token is from the line above, and this CPU holds the lock.
/// unsafe { LOCK.unlock(token) };
/// ```
///
/// With the feature `lockdep` a lock is larger than four bytes: it carries its class.
#[cfg_attr(not(feature = "lockdep"), repr(transparent))]
#[cfg_attr(feature = "lockdep", repr(C))]
pub struct QSpinLock<E, P = Fifo, W = Idx3> {
    word: AtomicU32,
    class: Class,
    kind: Kind<E, P, W>,
}

impl<E, P, W> QSpinLock<E, P, W> {
    const_unless_loom! {
        /// A free lock.
        #[must_use]
        #[cfg_attr(feature = "lockdep", track_caller)]
        pub fn new() -> Self {
            Self::of_class(Class::here())
        }
    }

    const_unless_loom! {
        /// A free lock of this class.
        pub(crate) fn of_class(class: Class) -> Self {
            Self {
                word: AtomicU32::new(0),
                class,
                kind: PhantomData,
            }
        }
    }

    #[inline]
    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// The raw word, for debuggers and traces. [`crate::word`] tells how to read it.
    #[must_use]
    pub fn raw_word(&self) -> u32 {
        self.word.load(Ordering::Relaxed)
    }

    /// Whether a CPU holds the lock, or is about to. Stale when it returns.
    #[must_use]
    #[inline]
    pub fn is_locked(&self) -> bool {
        self.raw_word() != 0
    }
}

impl<E: Env, P: Policy, W: Format> QSpinLock<E, P, W> {
    /// Looked at when a lock is used: a word with too few numbers would hang.
    const NUMBERS_SUFFICE: () = assert!(
        E::MAX_CPUS <= W::MAX_CPUS,
        "the environment has more CPUs than the word of this lock has numbers"
    );

    /// The word of a lock that the running CPU holds and no other wants.
    #[inline]
    fn alone() -> u32 {
        const { Self::NUMBERS_SUFFICE };
        if P::RULES.paravirtual() {
            W::sole_holder(E::cpu()) | LOCKED
        } else {
            LOCKED
        }
    }

    /// Takes the lock, waiting for as long as it takes.
    ///
    /// A CPU that takes a lock that it holds waits for ever, as with every spinlock. If nothing else
    /// waits, [`Env::self_deadlock`] is told; the feature `lockdep` reports it always, and so does
    /// [`report`](Self::report) from outside.
    #[inline]
    pub fn lock(&self) -> Token {
        self.class.taking::<E>(self.address(), How::Exclusive);
        match self.take_free() {
            Some(token) => {
                // No instruction, and no ordering that is not there already. It keeps the end of
                // the fast path a place of its own; without it, LLVM shares a zero between this
                // and the releasing compare-exchange, in a register that has to survive the slow
                // path, and so makes small callers save and restore three registers.
                compiler_fence(Ordering::Acquire);
                token
            }
            None => queue::lock_contended::<E, P, W>(&self.word),
        }
    }

    /// Takes the lock if no CPU holds or awaits it.
    #[inline]
    pub fn try_lock(&self) -> Option<Token> {
        self.class.trying::<E>(self.address(), How::Exclusive);
        let token = self.take_free()?;
        self.class.taken::<E>(self.address());
        Some(token)
    }

    #[inline]
    fn take_free(&self) -> Option<Token> {
        let alone = Self::alone();
        // Acquire pairs with the release in `unlock` of the holder before.
        self.word
            .compare_exchange(0, alone, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| Token::new(alone))
    }

    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// The running CPU holds the lock, and `token` is what taking it returned.
    #[inline]
    pub unsafe fn unlock(&self, token: Token) {
        self.release(token, Lends::Yes);
    }

    /// Releases the lock, but keeps the pCPU even if the next in line is preempted.
    ///
    /// # Safety
    ///
    /// As for [`unlock`](Self::unlock).
    pub(crate) unsafe fn unlock_without_lending(&self, token: Token) {
        self.release(token, Lends::No);
    }

    #[inline]
    fn release(&self, token: Token, lends: Lends) {
        let late = self.class.released::<E>(self.address());
        if !P::RULES.paravirtual() {
            release::native(&self.word);
            late.tell::<E>();
            return;
        }
        // Release pairs with the acquire of the next acquisition.
        if let Err(seen) =
            self.word
                .compare_exchange(token.alone(), 0, Ordering::Release, Ordering::Relaxed)
        {
            release::contended::<E, P>(&self.word, token, seen, lends);
        }
        late.tell::<E>();
    }
}

impl<E, P, W> Default for QSpinLock<E, P, W> {
    fn default() -> Self {
        Self::of_class(Class::Address)
    }
}

impl<E, P, W: Format> fmt::Debug for QSpinLock<E, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.raw_word();
        f.debug_struct("QSpinLock")
            .field("locked", &(word & LOCKED != 0))
            .field("tail", &W::tail(word))
            .field("head", &crate::word::head_of(word))
            .finish()
    }
}

#[cfg(not(any(loom, feature = "lockdep")))]
const _: () = assert!(size_of::<QSpinLock<(), (), ()>>() == 4);
