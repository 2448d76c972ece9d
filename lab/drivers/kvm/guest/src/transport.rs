//! What a transport is: an environment of the lock, and what has to be known to measure it.

use pvqspin::{Budget, Env, Status};
use pvqspin_load::own_time::OwnTime;

/// One way to a hypervisor: how a guest knows what it does, and how it asks for something.
pub(crate) trait Transport: Env {
    /// [`Env::spin_until`] of this environment, with the account of what was spun, and with the timer's
    /// interrupt in between.
    ///
    /// # Safety
    ///
    /// The account is that of the running vCPU.
    unsafe fn spin_measured(
        time: &OwnTime,
        condition: impl FnMut() -> bool,
        budget: Budget,
    ) -> bool;

    /// Counts the result of a directed yield, where the host does not count it.
    #[inline]
    fn count_yield(status: Status) {
        let _ = status;
    }

    /// Brings this vCPU's account of its time up to date, where the host does not do it. True if
    /// it was not.
    #[inline]
    fn notice_entry() -> bool {
        false
    }
}
