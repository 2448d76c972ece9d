//! From writing to reading, and from reading to writing, without letting another writer in between.
//!
//! ```text
//!   write ── downgrade ──────────────────────────────► read
//!   upgradable read ── upgrade ──► write      upgradable read ── downgrade ──► read
//!     the turn in the queue,         waits for the other readers
//!     and a count among the readers
//! ```
//!
//! An upgradable reader keeps its turn in the queue for as long as it reads. So nothing else becomes a
//! writer, or an upgradable reader, before it is done; readers that call later wait behind it. (Those
//! that read already go on, and [`read_nested`](QRwLock::read_nested) comes in.)
//!
//! An upgrade waits for readers that know nothing of it: none of them would kick it, so it never halts.

use crate::atomic::Ordering;
use crate::env::{Env, Sleep};
use crate::lockdep::How;
use crate::policy::Policy;
use crate::rw::lock::QRwLock;
use crate::rw::slow;
use crate::rw::token::{ReadToken, UpgradableToken, WriteToken};
use crate::rw::word::{ASLEEP, WRITER, first_of, readers_of, without_writer};
use crate::word::Format;

impl<E: Env, P: Policy, W: Format> QRwLock<E, P, W> {
    /// From writing to reading: what this CPU wrote stays as it is until it stops to read.
    ///
    /// # Safety
    ///
    /// The running CPU writes under this lock, and `token` is what taking it returned.
    pub unsafe fn downgrade(&self, token: WriteToken) -> ReadToken {
        let read = self.mark();
        let (alone, turn) = token.into_parts();
        if let Some(turn) = turn {
            // While it keeps the turn nothing else touches the word. Release pairs with the acquire of
            // the readers that come now.
            self.word.store(1, Ordering::Release);
            // SAFETY: this CPU has the queue since it queued, and the token is from then.
            unsafe { self.queue.unlock_without_lending(turn) };
            return read;
        }
        let mut seen = alone;
        // Release pairs with the acquire of the first in line, if it reads, and of later readers. Only
        // the first in line changes the word under a writer.
        while let Err(now) = self.word.compare_exchange(
            seen,
            without_writer(seen) + 1,
            Ordering::Release,
            Ordering::Relaxed,
        ) {
            seen = now;
        }
        // It may want to read as well. (It is not lent this pCPU: it may have to wait for us.)
        if Self::PARAVIRTUAL
            && seen & ASLEEP != 0
            && let Some(first) = first_of(seen)
        {
            Sleep::kick::<E>(first);
        }
        read
    }

    /// Takes the lock to read, alone among those that may become writers.
    ///
    /// It waits in the queue, and whatever calls later waits behind it until it is released.
    pub fn upgradable_read(&self) -> UpgradableToken {
        self.taking(How::Shared);
        slow::upgradable(self)
    }

    /// Takes the lock to read, alone among those that may become writers, if no CPU writes or waits.
    pub fn try_upgradable_read(&self) -> Option<UpgradableToken> {
        self.trying(How::Shared);
        let turn = self.queue.try_lock()?;
        let open = |word| word & WRITER == 0 && first_of(word).is_none();
        match self.enter(open, |word| word + 1) {
            Some(read) => {
                self.taken();
                Some(UpgradableToken::new(read, turn))
            }
            None => {
                // SAFETY: taken above, on this CPU.
                unsafe { self.queue.unlock(turn) };
                None
            }
        }
    }

    /// From reading to writing, once the other readers have left. No other writer comes in between.
    ///
    /// # Safety
    ///
    /// The running CPU reads under this lock, and `token` is what taking it returned.
    pub unsafe fn upgrade(&self, token: UpgradableToken) -> WriteToken {
        let (read, turn) = token.into_parts();
        slow::upgrade(self);
        Self::unmark(&read);
        WriteToken::new(Self::alone(), Some(turn))
    }

    /// From reading to writing if there is no other reader.
    ///
    /// # Errors
    ///
    /// The token, if there is one.
    ///
    /// # Safety
    ///
    /// As for [`upgrade`](Self::upgrade).
    pub unsafe fn try_upgrade(
        &self,
        token: UpgradableToken,
    ) -> Result<WriteToken, UpgradableToken> {
        if !self.take_from_one_reader() {
            return Err(token);
        }
        let (read, turn) = token.into_parts();
        Self::unmark(&read);
        Ok(WriteToken::new(Self::alone(), Some(turn)))
    }

    /// The only reader becomes the writer. It has the turn.
    pub(crate) fn take_from_one_reader(&self) -> bool {
        let seen = self.word.load(Ordering::Relaxed);
        // Acquire pairs with the releases of the readers before. The one that is left is this CPU.
        seen & WRITER == 0
            && readers_of(seen) == 1
            && self
                .word
                .compare_exchange(seen, Self::alone(), Ordering::Acquire, Ordering::Relaxed)
                .is_ok()
    }

    /// Gives the turn away and goes on reading.
    ///
    /// # Safety
    ///
    /// As for [`upgrade`](Self::upgrade).
    pub unsafe fn downgrade_upgradable(&self, token: UpgradableToken) -> ReadToken {
        let (read, turn) = token.into_parts();
        // SAFETY: this CPU has the turn since it took the lock, and the token is from then.
        unsafe { self.queue.unlock_without_lending(turn) };
        read
    }

    /// Ends an upgradable read section.
    ///
    /// # Safety
    ///
    /// The running CPU reads under this lock, and `token` is what taking it returned.
    pub unsafe fn unlock_upgradable_read(&self, token: UpgradableToken) {
        let late = self.releasing();
        let (read, turn) = token.into_parts();
        // Release pairs with the acquire of the next writer, which has to take the queue first.
        self.word.fetch_sub(1, Ordering::Release);
        Self::unmark(&read);
        // SAFETY: this CPU has the turn since it took the lock, and the token is from then. The lock
        // is not gone before that.
        unsafe { self.queue.unlock(turn) };
        late.tell::<E>();
    }
}
