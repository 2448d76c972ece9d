//! Asking the host: hints, directed yields, and what became of them.

use crate::env::{Budget, Env};
use crate::events::Event;
use crate::policy::Policy;
use crate::queue::look::Seen;
use pvqspin_abi::{Cpu, Hint, Status};

/// A hint that names `cpu` as it is now.
pub(crate) fn hint_for<E: Env>(cpu: Cpu) -> Hint {
    Hint {
        cpu,
        generation: E::run_sample(cpu).generation(),
    }
}

/// Lends this pCPU to `target`, or to the CPU that it waits for. If it has run since it was seen,
/// the host drops the request. Refused without a call where this CPU may not lend.
pub(crate) fn yield_to<E: Env>(why: Event, target: Seen) -> Status {
    if !E::may_lend() {
        return Status::Refused;
    }
    let nodes = E::nodes(E::cpu());
    nodes.count(why);
    let status = E::yield_to(Hint {
        cpu: target.cpu,
        generation: target.sample.generation(),
    });
    nodes.observe_yield(status);
    nodes.count(match status {
        Status::Ran => Event::YieldRan,
        Status::AlreadyRunning => Event::YieldAlreadyRunning,
        Status::Stale => Event::YieldStale,
        Status::Refused => Event::YieldRefused,
    });
    status
}

/// Lends this pCPU to the head of a *free* lock.
///
/// Its edge still names the last holder, which may be anywhere by now, even queued behind: a host
/// that followed it would run the wrong CPU. So the edge goes first.
pub(crate) fn yield_to_head<E: Env>(head: Seen) -> Status {
    withdraw_edge_of::<E>(head);
    yield_to::<E>(Event::YieldToHead, head)
}

/// Withdraws the edge of the head of a free lock, for a head that was seen off its pCPU.
///
/// One that ran since may have taken the lock and wait again: then its edge is a new one, and true.
/// (It may also run between the look and the write. It puts its edge right when it runs next.)
pub(crate) fn withdraw_edge_of<E: Env>(head: Seen) {
    if E::run_sample(head.cpu) == head.sample {
        E::redirect_wait_of(head.cpu, None);
    }
}

/// Whether a caller that got this status should leave the host alone for a while.
///
/// After `Ran` the world has moved on, and after `Stale` the caller's picture of it was old: both
/// are reasons to look again at once.
pub(crate) const fn should_back_off(status: Status) -> bool {
    matches!(status, Status::AlreadyRunning | Status::Refused)
}

/// Leaves the host alone for the retry interval if the status says so, or until `changed`.
pub(crate) fn back_off<E: Env, P: Policy>(status: Status, changed: impl FnMut() -> bool) {
    if should_back_off(status) {
        E::spin_until(changed, Budget::ns(P::RULES.retry_ns));
    }
}
