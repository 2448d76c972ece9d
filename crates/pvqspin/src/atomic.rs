//! The atomics of the lock: the real ones, or loom's under `cfg(loom)`.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, Ordering, compiler_fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, Ordering};

/// loom has no compiler fence. The one of this crate only keeps an interrupt handler on the same
/// CPU from seeing stores out of order, and loom has no interrupts either.
#[cfg(loom)]
pub(crate) fn compiler_fence(_ordering: Ordering) {}

/// Knows whether those who touch a node know it as its owner built it. loom orders the stores to one
/// atomic as they were executed, so it cannot show a swap that lands before an older store; but it
/// reports two accesses to this one of which neither happens before the other.
#[derive(Debug)]
pub(crate) struct Built(#[cfg(loom)] loom::cell::UnsafeCell<()>);

// SAFETY: there is nothing in it, and loom checks every access.
#[cfg(loom)]
unsafe impl Sync for Built {}

#[cfg(not(loom))]
impl Built {
    pub(crate) const fn new() -> Self {
        Self()
    }
    pub(crate) fn by_owner(&self) {}
    pub(crate) fn is_known(&self) {}
}

#[cfg(loom)]
impl Built {
    pub(crate) fn new() -> Self {
        Self(loom::cell::UnsafeCell::new(()))
    }
    /// The owner builds the node: no other CPU may still touch it.
    pub(crate) fn by_owner(&self) {
        self.0.with_mut(|_| ());
    }
    /// Another CPU is about to change the node: it must know what the owner did.
    pub(crate) fn is_known(&self) {
        self.0.with(|_| ());
    }
}

/// Makes a constructor `const`, except under loom, whose atomics register themselves at run time.
macro_rules! const_unless_loom {
    ($(#[$meta:meta])* $vis:vis fn $name:ident($($arg:tt)*) -> $ret:ty $body:block) => {
        #[cfg(not(loom))]
        $(#[$meta])*
        $vis const fn $name($($arg)*) -> $ret $body
        #[cfg(loom)]
        $(#[$meta])*
        $vis fn $name($($arg)*) -> $ret $body
    };
}
