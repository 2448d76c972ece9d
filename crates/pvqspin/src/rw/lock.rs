//! The reader-writer lock: what it consists of. `fast.rs` takes and releases it, `slow.rs` and `front.rs`
//! wait for it.
//!
//! ```text
//!   QRwLock, 8 bytes
//!     word     readers, or the writer; who is first in line      crate::rw::word
//!     queue    a QSpinLock: all other CPUs that wait             crate::queue::join
//! ```
//!
//! The wait queue *is* a [`QSpinLock`]: a CPU that must wait takes it, and waits for the word only
//! once it is its turn. (Linux puts its `qrwlock` onto a `qspinlock` in the same way.) So the order
//! of the queue is the order of the lock, and in the queue each waiter names the CPU it waits for,
//! yields, halts and is kicked exactly as under the mutex.
//!
//! ```text
//!   read ──► no queue, no writer: readers + 1 ──────────────────────────────────► reading
//!     └────► queue ──► first in line ──► no writer: readers + 1 ──► leave queue ──► reading
//!
//!   write ─► free: the word names us ───────────────────────────────────────────► writing
//!     └────► queue ──► first in line ──► no writer, no reader: it names us ──────► writing
//!                                                    (leaves the queue when it releases)
//! ```
//!
//! A writer that queued keeps its turn until it releases the lock: to those behind it, it simply
//! is the holder of the queue, who is named, yielded to and hurried by what the mutex has for it.

use core::fmt;

use crate::atomic::{AtomicU32, Ordering};
use crate::env::Env;
use crate::lock::QSpinLock;
use crate::lockdep::{Class, How, Late};
use crate::policy::{Fifo, Policy};
use crate::rw::token::ReadToken;
use crate::rw::word::{WRITER, first_of, readers_of, writer_of, written_by};
use crate::word::{Format, Idx3};

/// An 8-byte queued reader-writer lock without data.
///
/// The type parameters are those of a [`QSpinLock`]. [`RwLock`](crate::RwLock) guards data with it,
/// `lock_api::RwLock` does too.
///
/// # Order
///
/// First come, first served, for readers and writers alike; readers that follow each other read
/// together. A waiter is passed by no CPU that calls after it has joined the queue, but for
///
/// - what was under way: a CPU that had looked at the queue just before, once for each CPU,
/// - [`read_nested`](Self::read_nested), which is for that,
/// - what the policy allows in its queue ([`Bounded`](crate::Bounded), and CPUs without a node).
///
/// # Interrupt handlers
///
/// As with the mutex, a lock that a handler takes must be taken with that interrupt masked, with
/// one relief: if all that handlers do is [`read_nested`](Self::read_nested), readers may leave the
/// interrupt enabled. Writers must mask it before they call.
///
/// # Memory ordering
///
/// Taking the lock acquires and releasing it releases, readers as well as writers. A failed
/// [`try_read`](Self::try_read) or [`try_write`](Self::try_write) orders nothing.
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
/// use pvqspin::QRwLock;
///
/// static LOCK: QRwLock<Kernel> = QRwLock::new();
///
/// # #[cfg(not(feature = "lockdep"))]
/// assert_eq!(size_of_val(&LOCK), 8);
///
/// let (one, two) = (LOCK.read(), LOCK.read());
/// assert!(LOCK.try_write().is_none());
/// // SAFETY: this CPU reads, twice, and these are the tokens.
/// unsafe {
///     LOCK.unlock_read(one);
///     LOCK.unlock_read(two);
/// }
/// let token = LOCK.write();
/// assert!(LOCK.try_read().is_none());
/// // SAFETY: this CPU writes, and this is the token.
/// unsafe { LOCK.unlock_write(token) };
/// ```
#[repr(C)]
pub struct QRwLock<E, P = Fifo, W = Idx3> {
    pub(crate) word: AtomicU32,
    class: Class,
    pub(crate) queue: QSpinLock<E, P, W>,
}

impl<E, P, W> QRwLock<E, P, W> {
    const_unless_loom! {
        /// A free lock.
        #[must_use]
        #[cfg_attr(feature = "lockdep", track_caller)]
        pub fn new() -> Self {
            Self::of_class(Class::here())
        }
    }

    const_unless_loom! {
        /// A free lock of this class. Its queue is no lock of its own.
        pub(crate) fn of_class(class: Class) -> Self {
            Self {
                word: AtomicU32::new(0),
                class,
                queue: QSpinLock::of_class(Class::Untracked),
            }
        }
    }

    #[inline]
    fn address(&self) -> usize {
        core::ptr::from_ref(self).addr()
    }

    /// The raw word, for debuggers. The source of this crate draws it in `rw/word.rs`.
    #[must_use]
    pub fn raw_word(&self) -> u32 {
        self.word.load(Ordering::Relaxed)
    }

    /// Whether a CPU reads or writes, or is about to. Stale when it returns.
    #[must_use]
    pub fn is_locked(&self) -> bool {
        self.raw_word() != 0
    }

    /// Whether a CPU writes. Stale when it returns.
    #[must_use]
    pub fn is_locked_exclusive(&self) -> bool {
        self.raw_word() & WRITER != 0
    }
}

impl<E: Env, P: Policy, W: Format> QRwLock<E, P, W> {
    pub(crate) const PARAVIRTUAL: bool = P::RULES.paravirtual();

    /// The word of a lock that the running CPU writes and no other wants. As with the mutex,
    /// a native writer has no name.
    #[inline]
    pub(crate) fn alone() -> u32 {
        if Self::PARAVIRTUAL {
            written_by(E::cpu())
        } else {
            WRITER
        }
    }

    /// Counts this CPU among the readers, which makes the word `entered`, for as long as the word
    /// is `open`.
    #[inline]
    pub(crate) fn enter(
        &self,
        open: impl Fn(u32) -> bool,
        entered: impl Fn(u32) -> u32,
    ) -> Option<ReadToken> {
        let mut seen = self.word.load(Ordering::Relaxed);
        if !open(seen) {
            return None;
        }
        // Marked for as long as it is counted: a waiter for readers looks for the marks.
        let token = self.mark();
        loop {
            // Acquire pairs with the release of the writer before. An exchange, not an addition:
            // the word is exact at every instant, so a reader never has to take itself back.
            match self.word.compare_exchange_weak(
                seen,
                entered(seen),
                Ordering::Acquire,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(token),
                Err(now) if open(now) => seen = now,
                Err(_) => {
                    Self::unmark(&token);
                    return None;
                }
            }
        }
    }

    /// For the order checker: this CPU is about to wait for the lock.
    #[inline]
    pub(crate) fn taking(&self, how: How) {
        self.class.taking::<E>(self.address(), how);
    }

    /// For the order checker: this CPU is about to try the lock.
    #[inline]
    pub(crate) fn trying(&self, how: How) {
        self.class.trying::<E>(self.address(), how);
    }

    /// For the order checker: trying succeeded.
    #[inline]
    pub(crate) fn taken(&self) {
        self.class.taken::<E>(self.address());
    }

    /// For the order checker: this CPU gives the lock back.
    #[inline]
    pub(crate) fn releasing(&self) -> Late {
        self.class.released::<E>(self.address())
    }

    /// Shows all CPUs that this one reads here. Native readers keep it to themselves.
    #[inline]
    pub(crate) fn mark(&self) -> ReadToken {
        let mark = if Self::PARAVIRTUAL {
            E::nodes(E::cpu()).start_reading(self.reading_mark())
        } else {
            0
        };
        ReadToken::new(mark)
    }

    #[inline]
    pub(crate) fn unmark(token: &ReadToken) {
        if token.mark() != 0 {
            E::nodes(E::cpu()).stop_reading(token.mark());
        }
    }

    /// The bit, of 32, that stands for this lock among the marks of a CPU. Others may share it.
    pub(crate) fn reading_mark(&self) -> u32 {
        // Fibonacci hashing of the address: the top five bits are the best mixed.
        let address = core::ptr::from_ref(self).addr() as u32 >> 3;
        1 << (address.wrapping_mul(0x9e37_79b9) >> 27)
    }
}

impl<E, P, W> Default for QRwLock<E, P, W> {
    fn default() -> Self {
        Self::of_class(Class::Address)
    }
}

impl<E, P, W: Format> fmt::Debug for QRwLock<E, P, W> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = self.raw_word();
        f.debug_struct("QRwLock")
            .field("written", &(word & WRITER != 0))
            .field("writer", &writer_of(word))
            .field("readers", &readers_of(word))
            .field("first", &first_of(word))
            .field("queue", &self.queue)
            .finish()
    }
}

#[cfg(not(any(loom, feature = "lockdep")))]
const _: () = assert!(size_of::<QRwLock<(), (), ()>>() == 8);
