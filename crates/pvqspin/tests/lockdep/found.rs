//! What the checker has found.

use pvqspin::lockdep::{Kind, Violation};
use pvqspin::{Fifo, Mutex};

use crate::world::{Scripted, WORLD};

pub(crate) type Lock = Mutex<u32, Scripted, Fifo>;

pub(crate) fn found() -> Vec<Violation> {
    WORLD.with(|world| world.violations.take())
}

/// The checker has one graph for all locks, and a CPU that finds another one learning in it goes on
/// without: tests of what is found must not run beside each other.
pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub(crate) fn kinds() -> Vec<Kind> {
    found().iter().map(|violation| violation.kind).collect()
}
