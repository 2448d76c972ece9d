//! Order checking switched off: nothing, in no time.

/// How a lock is taken.
#[derive(Clone, Copy)]
pub(crate) enum How {
    Exclusive,
    Shared,
    Nested,
}

/// The class of a lock: no bytes, no code.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class;

#[expect(
    non_upper_case_globals,
    reason = "they stand for the variants of the other `Class`"
)]
impl Class {
    pub(crate) const Address: Self = Self;
    pub(crate) const Untracked: Self = Self;

    pub(crate) const fn here() -> Self {
        Self
    }

    #[inline]
    pub(crate) fn taking<E>(self, _lock: usize, _how: How) {}

    #[inline]
    pub(crate) fn trying<E>(self, _lock: usize, _how: How) {}

    #[inline]
    pub(crate) fn taken<E>(self, _lock: usize) {}

    #[inline]
    #[expect(
        clippy::extra_unused_type_parameters,
        reason = "as of the other `Class`"
    )]
    pub(crate) fn released<E>(self, _lock: usize) -> Late {
        Late
    }
}

/// A finding that is told once the lock is free.
#[must_use]
pub(crate) struct Late;

impl Late {
    #[inline]
    pub(crate) fn tell<E>(self) {}
}
