//! Taking and releasing a reader-writer lock that no other CPU is in the way of.

use crate::atomic::Ordering;
use crate::env::Env;
use crate::lockdep::How;
use crate::policy::{Policy, Stalls};
use crate::queue::release;
use crate::rw::lock::QRwLock;
use crate::rw::token::{ReadToken, WriteToken};
use crate::rw::word::{ASLEEP, READERS, WRITER, first_of, readers_of, without_writer};
use crate::rw::{leave, slow};
use crate::token::Token;
use crate::word::Format;

impl<E: Env, P: Policy, W: Format> QRwLock<E, P, W> {
    const MAY_HALT: bool = match P::RULES.stalls {
        Stalls::Spin => false,
        Stalls::Yield => P::RULES.may_find_holds_long(),
        Stalls::Halt => true,
    };

    /// Takes the lock to read, waiting for as long as it takes.
    #[inline]
    pub fn read(&self) -> ReadToken {
        self.taking(How::Shared);
        match self.read_open() {
            Some(token) => token,
            None => slow::read(self),
        }
    }

    /// Takes the lock to read if no CPU writes, or waits.
    #[inline]
    pub fn try_read(&self) -> Option<ReadToken> {
        self.trying(How::Shared);
        let token = self.read_open()?;
        self.taken();
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
        self.taking(How::Nested);
        loop {
            // The first in line stays so.
            let open = |word| word & WRITER == 0 && readers_of(word) < READERS;
            if let Some(token) = self.enter(open, |word| word + 1) {
                return token;
            }
            slow::wait_unqueued(self);
        }
    }

    /// Takes the lock to write, waiting for as long as it takes.
    #[inline]
    pub fn write(&self) -> WriteToken {
        self.taking(How::Exclusive);
        match self.write_free() {
            Some(token) => token,
            None => slow::write(self),
        }
    }

    /// Takes the lock to write if no CPU has it or waits for it.
    #[inline]
    pub fn try_write(&self) -> Option<WriteToken> {
        self.trying(How::Exclusive);
        let token = self.write_free()?;
        self.taken();
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
        let late = self.releasing();
        // What is needed of the lock is read before the release: afterwards it may be gone.
        let queue = if Self::PARAVIRTUAL {
            self.queue.raw_word()
        } else {
            0
        };
        if Self::MAY_HALT {
            leave::answer_for_the_kick::<E>(self.word.load(Ordering::Relaxed));
        }
        // Release pairs with the acquire of the next writer. It cannot fail, and says in the same
        // step whether we were the last, and who is first in line.
        let seen = self.word.fetch_sub(1, Ordering::Release);
        Self::unmark(&token);
        if Self::PARAVIRTUAL && (seen > READERS || seen == 1 && queue != 0) {
            leave::after_a_reader::<E, P, W>(seen, queue);
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
        let late = self.releasing();
        let (alone, turn) = token.into_parts();
        if let Some(turn) = turn {
            self.pass_turn_on(turn);
            late.tell::<E>();
            return;
        }
        // Release pairs with the acquire of the next acquisition.
        if let Err(seen) =
            self.word
                .compare_exchange(alone, 0, Ordering::Release, Ordering::Relaxed)
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
            without_writer(seen),
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
}
