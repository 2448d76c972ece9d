//! What an acquisition of a [`QSpinLock`](crate::QSpinLock) remembers until its release.

use core::marker::PhantomData;

use crate::word::{head_bits, head_of};
use pvqspin_abi::Cpu;

/// What an acquisition must remember until its release.
///
/// It belongs to the CPU that took the lock, so it does not move to another.
#[must_use = "without its token a lock can never be released"]
#[derive(Debug)]
pub struct Token {
    /// The word while this acquisition is the only thing in it; in its head field, which is empty
    /// then, the head that was passed over. One register, kept through the section and by value
    /// to the end: behind a reference it would have to be written to memory on the fast path.
    raw: u32,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: a shared reference to a token gives access to nothing: reading it out takes the token
// by value. It is the move to another CPU that `not_send` forbids.
unsafe impl Sync for Token {}

impl Token {
    #[inline]
    pub(crate) const fn new(alone: u32) -> Self {
        Self {
            raw: alone,
            not_send: PhantomData,
        }
    }

    /// The token of an acquisition that passed over `head`. It equals no word: a lock that was
    /// taken past its head has `PENDING` set until it is released.
    pub(crate) const fn passing(alone: u32, head: Cpu) -> Self {
        Self::new(alone | head_bits(head))
    }

    /// The head that was passed over.
    pub(crate) const fn passed(&self) -> Option<Cpu> {
        head_of(self.raw)
    }

    /// The word that the release expects while no other CPU waits.
    #[inline]
    pub(crate) const fn alone(&self) -> u32 {
        self.raw
    }

    /// The token as a number, for callers that keep it outside of Rust's sight.
    #[must_use]
    #[inline]
    pub const fn into_raw(self) -> u32 {
        self.raw
    }

    /// The inverse of [`into_raw`](Self::into_raw).
    #[inline]
    pub const fn from_raw(raw: u32) -> Self {
        Self::new(raw)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::word::{Format, Idx3, LOCKED, PENDING, SpareBit};
    use pvqspin_abi::MAX_CPUS;

    fn a_token_remembers<W: Format>() {
        let cpu = |index| Cpu::new(index).expect("in range");
        for holder in [0, 1, W::MAX_CPUS - 1] {
            let alone = W::sole_holder(cpu(holder)) | LOCKED;
            assert_eq!(Token::new(alone).passed(), None);
            assert_eq!(Token::new(alone).into_raw(), alone);
            for head in [0, 126, 127, 128, MAX_CPUS - 1] {
                let raw = Token::passing(alone, cpu(head)).into_raw();
                assert_eq!(Token::from_raw(raw).passed(), Some(cpu(head)));
                // Else it could equal the word of a lock that was taken past its head.
                assert_eq!(raw & PENDING, 0);
            }
        }
    }

    #[test]
    fn a_token_remembers_the_head_that_it_passed() {
        a_token_remembers::<Idx3>();
        a_token_remembers::<SpareBit>();
    }
}
