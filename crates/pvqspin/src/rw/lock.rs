//! The reader-writer lock and its fast paths. Waiting at the front is in `wait.rs`.
//!
//! ```text
//!   QRwLock, 8 bytes
//!     word     readers, or the writer; who is first in line      crate::rw::word
//!     queue    a QSpinLock: everybody else who waits             crate::queue::join
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
use core::marker::PhantomData;

use crate::atomic::{AtomicU32, Ordering};
use crate::env::Env;
use crate::lock::QSpinLock;
use crate::lockdep::{Class, How, Late};
use crate::policy::{Fifo, Policy, Stalls};
use crate::queue::release;
use crate::rw::word::{ASLEEP, READERS, WRITER, first_of, readers_of, writer_of, written_by};
use crate::rw::{wait, word};
use crate::token::Token;
use crate::word::{Format, Idx3};

/// What a read acquisition must remember until its release. It belongs to the CPU that took it.
#[must_use = "without its token a lock can never be released"]
#[derive(Debug)]
pub struct ReadToken {
    /// The mark that this acquisition added to those of its CPU, or 0.
    mark: u32,
    not_send: PhantomData<*mut ()>,
}

/// What a write acquisition must remember until its release. It belongs to the CPU that took it.
#[must_use = "without its token a lock can never be released"]
#[derive(Debug)]
pub struct WriteToken {
    /// The word while no CPU is first in line.
    alone: u32,
    /// The turn in the queue that the writer keeps, if it queued.
    turn: Option<Token>,
}

// SAFETY: a shared reference to a token gives access to nothing: reading it out takes the token
// by value. It is the move to another CPU that `not_send` forbids.
unsafe impl Sync for ReadToken {}

impl ReadToken {
    /// The token as a number, for code that has to keep it outside of Rust's sight.
    #[must_use]
    #[inline]
    pub const fn into_raw(self) -> u32 {
        self.mark
    }

    /// The inverse of [`into_raw`](Self::into_raw).
    #[inline]
    pub const fn from_raw(raw: u32) -> Self {
        Self {
            mark: raw,
            not_send: PhantomData,
        }
    }
}

impl WriteToken {
    pub(crate) const fn new(alone: u32, turn: Option<Token>) -> Self {
        Self { alone, turn }
    }

    /// The word while no CPU is first in line, and the turn that the writer keeps.
    pub(crate) fn into_parts(self) -> (u32, Option<Token>) {
        (self.alone, self.turn)
    }

    /// The token as a number, for code that has to keep it outside of Rust's sight.
    #[must_use]
    #[inline]
    pub fn into_raw(self) -> u64 {
        // No token is 0: it has the bit that says "locked".
        let turn = self.turn.map_or(0, Token::into_raw);
        u64::from(turn) << 32 | u64::from(self.alone)
    }

    /// The inverse of [`into_raw`](Self::into_raw).
    #[inline]
    pub fn from_raw(raw: u64) -> Self {
        let turn = (raw >> 32) as u32;
        Self::new(raw as u32, (turn != 0).then(|| Token::from_raw(turn)))
    }
}

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

    /// The raw word, for debuggers. The source of this crate draws it in `rw_word.rs`.
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
    const MAY_HALT: bool = match P::RULES.stalls {
        Stalls::Spin => false,
        Stalls::Yield => P::RULES.may_find_holds_long(),
        Stalls::Halt => true,
    };

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

    /// Takes the lock to read, waiting for as long as it takes.
    #[inline]
    pub fn read(&self) -> ReadToken {
        self.class.taking::<E>(self.address(), How::Shared);
        match self.read_open() {
            Some(token) => token,
            None => wait::read(self),
        }
    }

    /// Takes the lock to read if no CPU writes, or waits.
    #[inline]
    pub fn try_read(&self) -> Option<ReadToken> {
        self.class.trying::<E>(self.address(), How::Shared);
        let token = self.read_open()?;
        self.class.taken::<E>(self.address());
        Some(token)
    }

    #[inline]
    fn read_open(&self) -> Option<ReadToken> {
        // No CPU is first in line, none writes, and there is room for one more: one comparison.
        // The queue is looked at for its order only: see "Order".
        let open = |word: u32| word < READERS && !self.queue.is_locked();
        self.enter(open, |word| word + 1)
    }

    /// Takes the lock to read, past all waiters: it waits for a writer that *holds* the lock, and
    /// for nothing else.
    ///
    /// For an interrupt handler whose CPU may be reading already, or waiting to. Behind a waiting
    /// writer it would wait for ever, because that one waits for the read section that the handler
    /// has interrupted. The writer that holds the lock has interrupts masked, so it is another CPU,
    /// and waits for nothing in this lock: there is no cycle.
    ///
    /// Writers have no bound against it. Keep it to handlers.
    pub fn read_nested(&self) -> ReadToken {
        self.class.taking::<E>(self.address(), How::Nested);
        loop {
            // The first in line stays so.
            let open = |word| word & WRITER == 0 && readers_of(word) < READERS;
            if let Some(token) = self.enter(open, |word| word + 1) {
                return token;
            }
            wait::wait_unqueued(self);
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

    /// Takes the lock to write, waiting for as long as it takes.
    #[inline]
    pub fn write(&self) -> WriteToken {
        self.class.taking::<E>(self.address(), How::Exclusive);
        match self.write_free() {
            Some(token) => token,
            None => wait::write(self),
        }
    }

    /// Takes the lock to write if no CPU has it or waits for it.
    #[inline]
    pub fn try_write(&self) -> Option<WriteToken> {
        self.class.trying::<E>(self.address(), How::Exclusive);
        let token = self.write_free()?;
        self.class.taken::<E>(self.address());
        Some(token)
    }

    #[inline]
    fn write_free(&self) -> Option<WriteToken> {
        if self.queue.is_locked() {
            return None;
        }
        let alone = Self::alone();
        // Acquire pairs with the releases of the writer and of all readers before.
        self.word
            .compare_exchange(0, alone, Ordering::Acquire, Ordering::Relaxed)
            .ok()
            .map(|_| WriteToken::new(alone, None))
    }

    /// Ends a read section.
    ///
    /// # Safety
    ///
    /// The running CPU reads under this lock, and `token` is what taking it returned.
    #[inline]
    pub unsafe fn unlock_read(&self, token: ReadToken) {
        let late = self.class.released::<E>(self.address());
        // What is needed of the lock is read before the release: afterwards it may be gone.
        let queue = if Self::PARAVIRTUAL {
            self.queue.raw_word()
        } else {
            0
        };
        if Self::MAY_HALT {
            wait::answer_for_the_kick::<E>(self.word.load(Ordering::Relaxed));
        }
        // Release pairs with the acquire of the next writer. It cannot fail, and says in the same
        // step whether we were the last, and who is first in line.
        let seen = self.word.fetch_sub(1, Ordering::Release);
        Self::unmark(&token);
        if Self::PARAVIRTUAL && (seen > READERS || seen == 1 && queue != 0) {
            wait::after_a_reader::<E, P, W>(seen, queue);
        }
        late.tell::<E>();
    }

    /// Ends a write section.
    ///
    /// # Safety
    ///
    /// The running CPU writes under this lock, and `token` is what taking it returned.
    #[inline]
    pub unsafe fn unlock_write(&self, token: WriteToken) {
        let late = self.class.released::<E>(self.address());
        if let Some(turn) = token.turn {
            self.pass_turn_on(turn);
            late.tell::<E>();
            return;
        }
        // Release pairs with the acquire of the next acquisition.
        if let Err(seen) =
            self.word
                .compare_exchange(token.alone, 0, Ordering::Release, Ordering::Relaxed)
        {
            self.pass_on(seen);
        }
        late.tell::<E>();
    }

    /// Ends the write section of a writer that queued.
    #[cold]
    #[inline(never)]
    fn pass_turn_on(&self, turn: Token) {
        // No other CPU has been first in line, so none has touched the word. Release pairs
        // with the acquire of the next acquisition.
        self.word.store(0, Ordering::Release);
        // SAFETY: this CPU holds the queue since it queued, and the token is from then. The queue,
        // and so the lock, is not gone before it is released.
        unsafe { self.queue.unlock(turn) };
    }

    /// Ends a write section while a CPU is first in line.
    #[cold]
    #[inline(never)]
    fn pass_on(&self, mut seen: u32) {
        // Only the first in line changes the word under a writer, and at most twice.
        while let Err(now) = self.word.compare_exchange(
            seen,
            word::without_writer(seen),
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            seen = now;
        }
        if Self::PARAVIRTUAL
            && let Some(first) = first_of(seen)
        {
            release::attend_to::<E, P>(first, seen & ASLEEP != 0);
        }
    }

    /// For the order checker: this CPU waits for the lock to read.
    pub(crate) fn about_to_read(&self) {
        self.class.taking::<E>(self.address(), How::Shared);
    }

    /// For the order checker: this CPU is going to read if that takes no waiting.
    pub(crate) fn about_to_try_to_read(&self) {
        self.class.trying::<E>(self.address(), How::Shared);
    }

    /// For the order checker: it reads without having waited.
    pub(crate) fn reads_by_trying(&self) {
        self.class.taken::<E>(self.address());
    }

    /// For the order checker: this CPU gives the lock back.
    pub(crate) fn about_to_release(&self) -> Late {
        self.class.released::<E>(self.address())
    }

    /// Shows everybody that this CPU reads here. Native readers keep it to themselves.
    #[inline]
    pub(crate) fn mark(&self) -> ReadToken {
        let mark = if Self::PARAVIRTUAL {
            E::nodes(E::cpu()).start_reading(self.reading_mark())
        } else {
            0
        };
        ReadToken {
            mark,
            not_send: PhantomData,
        }
    }

    #[inline]
    pub(crate) fn unmark(token: &ReadToken) {
        if token.mark != 0 {
            E::nodes(E::cpu()).stop_reading(token.mark);
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
