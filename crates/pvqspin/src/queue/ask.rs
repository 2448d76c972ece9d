//! Talking to the host: hints, and what became of them.

use crate::env::{Budget, Env};
use crate::events::Event;
use crate::nodes::CpuNodes;
use crate::policy::Policy;
use crate::queue::{holds, join};
use pvqspin_abi::{Cpu, Hint, RunSample, RunState, Status, mutate};

/// A hint that names `cpu` as it is now.
pub(crate) fn hint_for<E: Env>(cpu: Cpu) -> Hint {
    Hint {
        cpu,
        generation: E::run_sample(cpu).generation(),
    }
}

/// Lends this pCPU to `cpu`, or to whom it waits for. `sample` is what the caller saw of it: if it
/// has run since, the host drops the request.
pub(crate) fn yield_to<E: Env>(why: Event, cpu: Cpu, sample: RunSample) -> Status {
    let nodes = E::nodes(E::cpu());
    nodes.count(why);
    let status = E::yield_to(Hint {
        cpu,
        generation: mutate!(
            "forget_generation",
            sample.generation(),
            pvqspin_abi::Generation::default()
        ),
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

/// What a waiter at the front does about a holder that keeps it waiting: lends it this pCPU if it
/// is stuck. True if it runs, or sleeps, and holds have been long lately: then one may halt.
pub(crate) fn hurry<E: Env, P: Policy>(
    nodes: &CpuNodes,
    holder: Cpu,
    patience: Budget,
    moved: &impl Fn() -> bool,
) -> bool {
    let sample = E::run_sample(holder);
    if join::is_stuck_at::<E>(holder, sample) {
        let status = yield_to::<E>(Event::YieldToHolder, holder, sample);
        if should_back_off(status) {
            E::spin_until(moved, Budget::ns(P::RULES.retry_ns));
        }
        return false;
    }
    // Sleep only under a holder that runs, or one that sleeps itself: halting while it is preempted
    // would leave its pCPU to chance.
    let unhurried = matches!(sample.state(), RunState::Running | RunState::Halted);
    unhurried && holds::ran_out::<P>(nodes, patience)
}

/// Lends this pCPU to the head of a *free* lock.
///
/// Its edge still names whoever held the lock last, who may be anywhere by now, even queued
/// behind: a host that followed it would run the wrong one. So it goes first.
pub(crate) fn yield_to_head<E: Env>(head: Cpu, sample: RunSample) -> Status {
    mutate!("keep_edge_of_head", withdraw_edge_of::<E>(head, sample), ());
    yield_to::<E>(Event::YieldToHead, head, sample)
}

/// Withdraws the edge of the head of a free lock, for a head that was seen off its pCPU.
///
/// One that ran since may have taken the lock and wait again: then its edge is a new one, and true.
/// (It may also run between the look and the write. It puts its edge right when it runs next.)
pub(crate) fn withdraw_edge_of<E: Env>(head: Cpu, seen: RunSample) {
    if E::run_sample(head) == seen {
        E::redirect_wait_of(head, None);
    }
}

/// Whether a caller that got this status should leave the host alone for a while.
///
/// After `Ran` the world has moved on, and after `Stale` the caller's picture of it was old: both
/// are reasons to look again at once.
pub(crate) const fn should_back_off(status: Status) -> bool {
    matches!(status, Status::AlreadyRunning | Status::Refused)
}
