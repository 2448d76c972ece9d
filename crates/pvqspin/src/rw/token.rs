//! What an acquisition of a [`QRwLock`](crate::QRwLock) remembers until its release.

use core::marker::PhantomData;

use crate::token::Token;

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
    #[inline]
    pub(crate) const fn new(mark: u32) -> Self {
        Self {
            mark,
            not_send: PhantomData,
        }
    }

    /// The mark that this acquisition added to those of its CPU, or 0.
    #[inline]
    pub(crate) const fn mark(&self) -> u32 {
        self.mark
    }

    /// The token as a number, for code that has to keep it outside of Rust's sight.
    #[must_use]
    #[inline]
    pub const fn into_raw(self) -> u32 {
        self.mark
    }

    /// The inverse of [`into_raw`](Self::into_raw).
    #[inline]
    pub const fn from_raw(raw: u32) -> Self {
        Self::new(raw)
    }
}

impl WriteToken {
    #[inline]
    pub(crate) const fn new(alone: u32, turn: Option<Token>) -> Self {
        Self { alone, turn }
    }

    /// The word while no CPU is first in line, and the turn that the writer keeps.
    #[inline]
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

/// What an upgradable read acquisition must remember. It belongs to the CPU that took it.
#[must_use = "without its token a lock can never be released"]
#[derive(Debug)]
pub struct UpgradableToken {
    read: ReadToken,
    turn: Token,
    not_send: PhantomData<*mut ()>,
}

// SAFETY: a shared reference to a token gives access to nothing, as for the others.
unsafe impl Sync for UpgradableToken {}

impl UpgradableToken {
    pub(crate) const fn new(read: ReadToken, turn: Token) -> Self {
        Self {
            read,
            turn,
            not_send: PhantomData,
        }
    }

    /// The read acquisition, and the turn in the queue.
    pub(crate) fn into_parts(self) -> (ReadToken, Token) {
        (self.read, self.turn)
    }
}
