//! One test at a time.

/// The order checker has one graph for all locks, and a CPU that finds another one learning in it goes on
/// without: tests that take locks do not run beside each other.
pub(crate) fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
