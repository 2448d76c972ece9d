//! A lock whose type is forgotten, for code that must not be compiled anew for each lock.
//!
//! It costs two indirect calls for each acquisition, one to take and one to release, the same for
//! every lock; nothing is allocated after [`Erased::new`].

use alloc::boxed::Box;
use core::fmt;
use core::marker::PhantomData;
use core::mem::{MaybeUninit, align_of, size_of};

use pvqspin::Env;

use crate::Lock;

/// The token of a lock whose type is forgotten.
///
/// As every token it stays on its CPU.
#[must_use = "without its token a lock can never be released"]
#[derive(Debug)]
pub struct ErasedToken {
    room: [MaybeUninit<u64>; 2],
    not_send: PhantomData<*mut ()>,
}

/// What can be done with a lock of any type.
trait AnyLock: Sync {
    fn lock(&self) -> ErasedToken;

    /// # Safety
    ///
    /// The caller holds the lock, and `token` is what its [`lock`](Self::lock) returned.
    unsafe fn unlock(&self, token: ErasedToken);
}

/// Keeps the lock's word out of all others' cache lines.
#[repr(align(128))]
struct OwnLines<E, L> {
    lock: L,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env, L: Lock<E>> OwnLines<E, L> {
    /// Every token fits, or the catalogue does not compile.
    const TOKEN_FITS: () = assert!(
        size_of::<L::Token>() <= size_of::<[u64; 2]>()
            && align_of::<L::Token>() <= align_of::<u64>()
    );
}

impl<E: Env, L: Lock<E>> AnyLock for OwnLines<E, L> {
    fn lock(&self) -> ErasedToken {
        let () = Self::TOKEN_FITS;
        let mut token = ErasedToken {
            room: [const { MaybeUninit::uninit() }; 2],
            not_send: PhantomData,
        };
        // SAFETY: the room is large enough and aligned, as `TOKEN_FITS` asserts.
        unsafe {
            token
                .room
                .as_mut_ptr()
                .cast::<L::Token>()
                .write(self.lock.lock());
        }
        token
    }

    unsafe fn unlock(&self, token: ErasedToken) {
        // SAFETY: the caller got this token from `lock` of this very lock, which put an
        // `L::Token` there; it is read once, for it is used up here.
        let token = unsafe { token.room.as_ptr().cast::<L::Token>().read() };
        // SAFETY: the caller's promise.
        unsafe { self.lock.unlock(token) };
    }
}

/// A lock whose type is forgotten.
///
/// ```
/// # use pvqspin::{Budget, Cpu, CpuNodes, Env};
/// # struct Alone;
/// # static NODES: CpuNodes = CpuNodes::new();
/// # impl Env for Alone {
/// #     fn cpu() -> Cpu { Cpu::new(0).unwrap() }
/// #     fn nodes(_: Cpu) -> &'static CpuNodes { &NODES }
/// #     fn spin_until(mut c: impl FnMut() -> bool, _: Budget) -> bool { while !c() {} true }
/// # }
/// use pvqspin_rivals::erased::Erased;
/// use pvqspin_rivals::ticket::Ticket;
///
/// let lock = Erased::<Alone>::new::<Ticket<Alone>>(1);
/// let token = lock.lock();
/// // SAFETY: taken in the line before, with this token.
/// unsafe { lock.unlock(token) };
/// ```
pub struct Erased<E> {
    lock: Box<dyn AnyLock>,
    environment: PhantomData<fn() -> E>,
}

impl<E: Env> Erased<E> {
    /// A free lock of type `L` for CPUs `0..cpus`.
    #[must_use]
    pub fn new<L: Lock<E>>(cpus: usize) -> Self {
        Self {
            lock: Box::new(OwnLines::<E, L> {
                lock: L::new(cpus),
                environment: PhantomData,
            }),
            environment: PhantomData,
        }
    }

    /// Takes the lock. See [`Lock::lock`].
    #[inline]
    pub fn lock(&self) -> ErasedToken {
        self.lock.lock()
    }

    /// Releases the lock.
    ///
    /// # Safety
    ///
    /// The caller holds this lock, and `token` is what its [`lock`](Self::lock) returned.
    #[inline]
    pub unsafe fn unlock(&self, token: ErasedToken) {
        // SAFETY: the caller's promise.
        unsafe { self.lock.unlock(token) };
    }
}

impl<E> fmt::Debug for Erased<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Erased").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::CATALOG;
    use crate::test_env::Alone;
    use crate::visit::{Visitor, with_lock};

    struct Twice;

    impl Visitor<Alone> for Twice {
        type Output = ();

        fn visit<L: Lock<Alone>>(self) {
            // Two at once, released in the order in which they were taken: a token that lived in
            // a common place would be the other's.
            let locks = [(); 2].map(|()| Erased::<Alone>::new::<L>(1));
            for _ in 0..3 {
                let [first, second] = [0, 1].map(|of: usize| locks[of].lock());
                // SAFETY: both were taken in the line before, with these tokens.
                unsafe {
                    locks[0].unlock(first);
                    locks[1].unlock(second);
                }
            }
        }
    }

    #[test]
    fn every_lock_gets_its_own_token_back() {
        for entry in CATALOG {
            with_lock::<Alone, _>(entry.id, Twice);
        }
    }
}
