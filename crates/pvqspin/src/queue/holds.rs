//! How long locks are held: what the CPUs at the front learn about it, and when they sleep
//! instead of spinning.
//!
//! ```text
//!   spin, up to long_hold ── released in time ───────────────► a short hold
//!     │ budget gone, and the holder runs
//!     ▼
//!   a long hold ── twice ───────────► holds are long: spin only up to spin_ns, then halt
//!     ▲                                 │ slept for long_hold or more
//!     └─────────────────────────────────┘
//! ```
//!
//! The score is in [`CpuNodes`], one for each CPU and not for each lock: a CPU that was at the
//! front of one lock under long holds soon finds out about the next one.
//! `docs/decisions/0005-who-knows-that-holds-are-long.md` tells how this came about.

use crate::env::{Budget, Env};
use crate::nodes::CpuNodes;
use crate::policy::{Policy, Stalls};

/// How long to spin before anything else is considered.
pub(crate) fn patience<P: Policy>(nodes: &CpuNodes, may_halt: impl FnOnce() -> bool) -> Budget {
    let yields = matches!(P::RULES.stalls, Stalls::Yield);
    let expects_to_sleep =
        || P::RULES.may_find_holds_long() && nodes.holds_are_long() && may_halt();
    if !yields || expects_to_sleep() {
        Budget::ns(P::RULES.spin_ns)
    } else {
        Budget::ns(P::RULES.long_hold_ns)
    }
}

/// A whole budget is gone, at the front, under a holder that is not preempted. Notes it, and says
/// whether holds have been long lately.
pub(crate) fn ran_out<P: Policy>(nodes: &CpuNodes, patience: Budget) -> bool {
    if !P::RULES.may_find_holds_long() {
        return false;
    }
    if patience == Budget::ns(P::RULES.long_hold_ns) {
        nodes.observe_hold(true);
    }
    nodes.holds_are_long()
}

/// Sleeps through a hold that is expected to be long, and looks whether it was.
pub(crate) fn sleep_through<E: Env, P: Policy>(nodes: &CpuNodes, halt: impl FnOnce()) {
    let began = E::now_ns();
    halt();
    // The wake-up takes about as long as was spun before: what was slept is what was held. Without
    // a clock nothing is learned.
    if E::now_ns().saturating_sub(began) >= P::RULES.long_hold_ns.into() {
        nodes.observe_hold(true);
    }
}
