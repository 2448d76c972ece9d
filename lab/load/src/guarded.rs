//! A lock with what it guards: the proof that it excludes, and when it was released last.
//!
//! ```text
//!   a lock in lines of its own │ entered  left  last_release_ns   in lines of their own
//!                              │ written by the lock holder alone
//! ```

use core::marker::PhantomData;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pvqspin::Env;
use pvqspin_rivals::Lock;
use pvqspin_rivals::erased::{Erased, ErasedToken};

/// A lock that exists, whether its type is known or forgotten.
pub trait Exclusive: Sync {
    /// What an acquisition must remember until its release.
    type Token;

    /// Takes the lock.
    fn lock(&self) -> Self::Token;

    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// The caller holds the lock, and `token` is what its [`lock`](Self::lock) returned.
    #[expect(unsafe_code, reason = "releasing a rival is unsafe by contract")]
    unsafe fn unlock(&self, token: Self::Token);

    /// The raw word, if [`pvqspin::word`] tells how to read it.
    fn word(&self) -> Option<u32> {
        None
    }
}

/// A lock of a type that is known where it is compiled: its fast path is inlined.
#[derive(Debug)]
#[repr(align(128))]
pub struct Known<E, L> {
    lock: L,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env, L: Lock<E>> Known<E, L> {
    /// A free lock for CPUs `0..cpus`.
    #[must_use]
    pub fn new(cpus: usize) -> Self {
        Self {
            lock: L::new(cpus),
            environment: PhantomData,
        }
    }
}

impl<E: Env, L: Lock<E>> Exclusive for Known<E, L> {
    type Token = L::Token;

    #[inline]
    fn lock(&self) -> L::Token {
        self.lock.lock()
    }

    #[inline]
    #[expect(unsafe_code, reason = "releasing a rival is unsafe by contract")]
    unsafe fn unlock(&self, token: L::Token) {
        // SAFETY: the caller's promise.
        unsafe { self.lock.unlock(token) };
    }

    fn word(&self) -> Option<u32> {
        self.lock.word()
    }
}

impl<E: Env> Exclusive for Erased<E> {
    type Token = ErasedToken;

    #[inline]
    fn lock(&self) -> ErasedToken {
        Erased::lock(self)
    }

    #[inline]
    #[expect(unsafe_code, reason = "releasing a rival is unsafe by contract")]
    unsafe fn unlock(&self, token: ErasedToken) {
        // SAFETY: the caller's promise.
        unsafe { Erased::unlock(self, token) };
    }
}

/// A lock and what its holder writes.
#[derive(Debug)]
pub struct Guarded<K> {
    pub(crate) lock: K,
    pub(crate) account: Account,
}

impl<K: Exclusive> Guarded<K> {
    /// It is free, and has never been held.
    #[must_use]
    pub fn new(lock: K) -> Self {
        Self {
            lock,
            account: Account::default(),
        }
    }

    /// How often it was entered, as far as the accounts of those inside did not collide.
    #[must_use]
    pub fn entered(&self) -> u64 {
        self.account.entered.load(Relaxed)
    }
}

/// `entered` and `left` are equal between sections. Both are counted up by separate loads and
/// stores, so two CPUs inside at once see each other, or lose a count.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Account {
    entered: AtomicU64,
    left: AtomicU64,
    last_release_ns: AtomicU64,
}

impl Account {
    /// Counts up `entered`. Returns the count, and whether another vCPU was inside.
    #[inline]
    pub(crate) fn enter(&self) -> (u64, bool) {
        let before = self.entered.load(Relaxed);
        let crowded = self.left.load(Relaxed) != before;
        let ticket = before.wrapping_add(1);
        self.entered.store(ticket, Relaxed);
        (ticket, crowded)
    }

    /// Counts up `left`. Returns whether another vCPU came in meanwhile.
    #[inline]
    pub(crate) fn leave(&self, ticket: u64) -> bool {
        let crowded = self.entered.load(Relaxed) != ticket;
        self.left.store(ticket, Relaxed);
        crowded
    }

    /// When the holder before released the lock, or was about to.
    #[inline]
    pub(crate) fn last_release_ns(&self) -> u64 {
        self.last_release_ns.load(Relaxed)
    }

    /// The holder is about to release it.
    #[inline]
    pub(crate) fn set_last_release_ns(&self, now_ns: u64) {
        self.last_release_ns.store(now_ns, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_at_once_are_noticed_whoever_comes_first() {
        let account = Account::default();
        let (first, crowded) = account.enter();
        assert!(!crowded);
        let (second, crowded) = account.enter();
        assert!(crowded, "the second sees the first");
        assert!(account.leave(first), "the first sees the second");
        assert!(!account.leave(second));
        let (third, crowded) = account.enter();
        assert!(!crowded, "one violation is not counted for ever");
        assert!(!account.leave(third));
    }
}
