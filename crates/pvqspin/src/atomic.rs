//! The atomics of the lock: the real ones, or loom's under `cfg(loom)`.

#[cfg(not(loom))]
pub(crate) use core::sync::atomic::{AtomicU32, Ordering, compiler_fence};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, Ordering};

/// loom has no compiler fence. The one of this crate only keeps an interrupt handler on the same
/// CPU from seeing stores out of order, and loom has no interrupts either.
#[cfg(loom)]
pub(crate) fn compiler_fence(_ordering: Ordering) {}

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
