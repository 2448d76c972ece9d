//! Taking and releasing a lock in a script.

use pvqspin::{Format, Policy, QSpinLock, Token};

use crate::world::{Scripted, on};

/// A leaked lock, so that steps of the script can hold on to it.
pub(crate) fn lock<P: Policy, W: Format>() -> &'static QSpinLock<Scripted, P, W> {
    Box::leak(Box::new(QSpinLock::new()))
}

pub(crate) fn unlock<P: Policy, W: Format>(lock: &QSpinLock<Scripted, P, W>, token: Token) {
    // SAFETY: every script releases what it took, on the CPU that took it.
    unsafe { lock.unlock(token) }
}

/// `holder` takes the lock and releases it when the script gets there.
pub(crate) fn held_by<P: Policy, W: Format>(
    holder: usize,
    lock: &'static QSpinLock<Scripted, P, W>,
) -> impl FnOnce() {
    let token = on(holder, || lock.lock());
    move || on(holder, || unlock(lock, token))
}
