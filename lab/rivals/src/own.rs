//! `pvqspin` under every policy and word format, behind the same trait as its rivals.

use pvqspin::{Env, Format, Policy, QSpinLock, Token};

use crate::Lock;

impl<E: Env, P: Policy, W: Format> Lock<E> for QSpinLock<E, P, W> {
    type Token = Token;

    /// The nodes are the environment's, so the number of CPUs does not matter.
    fn new(_cpus: usize) -> Self {
        Self::new()
    }

    #[inline]
    fn lock(&self) -> Token {
        Self::lock(self)
    }

    #[inline]
    unsafe fn unlock(&self, token: Token) {
        // SAFETY: the caller of this function promises the same.
        unsafe { Self::unlock(self, token) }
    }

    fn word(&self) -> Option<u32> {
        Some(self.raw_word())
    }
}
