//! What to do about a lock that does not move: one pure function from what was seen, the rules of
//! the policy and the part that a CPU plays, to one action.
//!
//! The callers look, fill a [`Snapshot`] and carry the [`Action`] out. The mutex and the
//! reader-writer lock share it. Nothing here reads memory or asks the host; the tests at the end
//! have a row for every case.
//!
//! All of it is `#[inline]`: each caller knows its role and the rules when it is compiled, and what
//! remains is its row of the table. Without, every contended release of another crate's lock wrote
//! two snapshots to memory for two calls.

use crate::events::Event;
use crate::policy::{Rules, Stalls};
use crate::queue::look::Seen;
use pvqspin_abi::RunState;

/// The part that a CPU plays when it looks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Role {
    /// Not in the queue yet: whether to go first.
    Newcomer,
    /// In the middle of the queue: whether anything keeps the queue from moving.
    Queued,
    /// In the middle of the queue, with nothing to do for it: whether to sleep.
    Resting,
    /// First in line, behind a CPU that holds the lock.
    First,
    /// First in line, behind readers.
    BehindReaders,
    /// Has released the lock: whether the next in line needs a kick.
    Releasing,
    /// Has released the lock, and the next in line got no kick that it could follow.
    Lending,
}

/// The front of the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Front {
    /// The lock is free, and this head may take it.
    Free(Seen),
    /// The lock is held, by this CPU if it is known.
    Held(Option<Seen>),
    /// Not looked at: the role does not depend on it.
    Unseen,
}

/// What a CPU saw. What its role does not depend on keeps the value of [`Snapshot::NOTHING`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Snapshot {
    /// The CPU right before this one: its predecessor in the queue, the holder, a reader that is
    /// preempted; for a releaser: the next in line.
    pub(crate) before: Option<Seen>,
    /// That CPU holds the lock and cannot go on by itself.
    pub(crate) stuck: bool,
    /// The front of the queue.
    pub(crate) front: Front,
    /// A head that sleeps under a held lock, while every vCPU has a pCPU.
    pub(crate) sleeping_head: Option<Seen>,
    /// The waiters between the head and this CPU are off their pCPUs.
    pub(crate) all_ahead_off: bool,
    /// The head has waited so long that no CPU may pass over it.
    pub(crate) closed: bool,
    /// The next in line sleeps and asked for a kick, or gets one always.
    pub(crate) wants_kick: bool,
    /// The caller has nothing better to do with its pCPU.
    pub(crate) may_lend: bool,
    /// A halt would help, and is sure to end.
    pub(crate) may_halt: bool,
    /// Holds have been long lately, and this one has outlasted the spin budget.
    pub(crate) long_hold: bool,
    /// The host has lately refused to run the CPUs that it was asked to run.
    pub(crate) host_refuses: bool,
    /// This CPU has halted in this wait already.
    pub(crate) slept: bool,
}

impl Snapshot {
    /// Nothing was looked at.
    pub(crate) const NOTHING: Self = Self {
        before: None,
        stuck: false,
        front: Front::Unseen,
        sleeping_head: None,
        all_ahead_off: false,
        closed: false,
        wants_kick: false,
        may_lend: false,
        may_halt: false,
        long_hold: false,
        host_refuses: false,
        slept: false,
    };

    /// Whether the CPU before a waiter cannot watch over those before it: it is preempted, or it
    /// sleeps and the front does not move. Then the waiter behind it has to watch instead.
    pub(crate) fn before_is_absent(&self) -> bool {
        match self.before.map(|before| before.state()) {
            Some(RunState::Preempted) => true,
            Some(RunState::Halted) => match self.front {
                // Free, and its head does not take it: the kick of the releaser is overdue.
                Front::Free(head) => head.state() != RunState::Running,
                Front::Held(holder) => holder.is_some_and(|holder| holder.is_preempted()),
                Front::Unseen => false,
            },
            Some(RunState::Running | RunState::Idle) | None => false,
        }
    }
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Action {
    /// Nothing: spin, and look again.
    LookAgain,
    /// Leave the host alone for the retry interval, unless something changes.
    Wait,
    /// Lend this pCPU to it, or to the CPU that it waits for.
    Yield(Seen, Event),
    /// Lend this pCPU to the head of a free lock.
    YieldToHead(Seen),
    /// Take the free lock past this head.
    PassOver(Seen),
    /// Kick it.
    Kick(Seen),
    /// Kick it unless it wakes up by itself, and soon.
    KickIfOverdue(Seen),
    /// Withdraw its edge: the lock is free.
    WithdrawEdge(Seen),
    /// Halt until promoted or kicked.
    Halt,
}

/// Decides.
#[inline]
pub(crate) fn decide(rules: &Rules, role: Role, seen: &Snapshot) -> Action {
    match role {
        Role::Newcomer => may_pass_over(rules, seen).map_or(Action::LookAgain, Action::PassOver),
        Role::Queued => queued(rules, seen),
        Role::Resting => resting(rules, seen),
        Role::First => first(rules, seen),
        Role::BehindReaders => behind_readers(rules, seen),
        Role::Releasing => releasing(seen),
        Role::Lending => lending(rules, seen),
    }
}

#[inline]
fn yields(rules: &Rules) -> bool {
    matches!(rules.stalls, Stalls::Yield)
}

/// The head of a free lock, if it and all those between are off their pCPUs, and its age allows it.
#[inline]
fn may_pass_over(rules: &Rules, seen: &Snapshot) -> Option<Seen> {
    match seen.front {
        Front::Free(head)
            if rules.passes_over() && head.is_off() && seen.all_ahead_off && !seen.closed =>
        {
            Some(head)
        }
        _ => None,
    }
}

#[inline]
fn queued(rules: &Rules, seen: &Snapshot) -> Action {
    let Some(before) = seen.before else {
        return Action::LookAgain;
    };
    if !yields(rules) || !seen.before_is_absent() {
        return Action::LookAgain;
    }
    match (rules.passes_over(), seen.front) {
        (true, Front::Free(head)) => match may_pass_over(rules, seen) {
            Some(head) => Action::PassOver(head),
            None if seen.closed && head.is_preempted() => Action::YieldToHead(head),
            // The releaser may have lost its pCPU before it kicked.
            None if seen.closed && head.state() == RunState::Halted => Action::KickIfOverdue(head),
            None => Action::Wait,
        },
        (true, Front::Held(holder)) => match holder.unwrap_or(before) {
            target if target.is_preempted() => Action::Yield(target, Event::YieldToHolder),
            _ => Action::Wait,
        },
        (false, Front::Free(head)) => match head.state() {
            RunState::Preempted => Action::YieldToHead(head),
            RunState::Halted => Action::KickIfOverdue(head),
            // It takes the lock any moment. There is nothing to ask for.
            RunState::Running | RunState::Idle => Action::Wait,
        },
        // The host finds the CPU that blocks the queue at the end of the chain. (One that sleeps is
        // not it: that is further on.)
        (false, Front::Held(_)) => Action::Yield(before, Event::YieldToPredecessor),
        (_, Front::Unseen) => Action::LookAgain,
    }
}

/// Holds have been long lately, and the present holder runs: without the first, the queue would
/// turn into a convoy of sleepers; without the second, no CPU would be left to lend the holder a
/// pCPU. Where sleepers may be passed over and the host refuses, however long holds are.
#[inline]
fn resting(rules: &Rules, seen: &Snapshot) -> Action {
    let sleeps = match rules.stalls {
        Stalls::Spin => false,
        Stalls::Halt => true,
        Stalls::Yield => {
            rules.passes_over() && seen.host_refuses
                || rules.may_find_holds_long() && seen.long_hold
        }
    };
    match (sleeps, seen.may_halt, seen.sleeping_head) {
        (true, true, _) => Action::Halt,
        // Awake it will stand ready at the release.
        (true, false, Some(head)) if yields(rules) => Action::KickIfOverdue(head),
        _ => Action::LookAgain,
    }
}

#[inline]
fn first(rules: &Rules, seen: &Snapshot) -> Action {
    match (rules.stalls, seen.before) {
        (Stalls::Spin, _) | (Stalls::Yield, None) => Action::LookAgain,
        (Stalls::Halt, _) => halt_if_possible(seen),
        (Stalls::Yield, Some(holder)) if seen.stuck => Action::Yield(holder, Event::YieldToHolder),
        // Sleep only under a holder that runs, or one that sleeps itself: halting while it is
        // preempted would leave its pCPU to chance. A CPU that was woken under a held lock was
        // wanted to stand ready at the release.
        (Stalls::Yield, Some(holder)) => match holder.state() {
            RunState::Running | RunState::Halted
                if rules.may_find_holds_long() && seen.long_hold && !seen.slept =>
            {
                halt_if_possible(seen)
            }
            _ => Action::LookAgain,
        },
    }
}

#[inline]
fn behind_readers(rules: &Rules, seen: &Snapshot) -> Action {
    match (rules.stalls, seen.before) {
        (Stalls::Spin, _) => Action::LookAgain,
        (Stalls::Yield, Some(reader)) => Action::Yield(reader, Event::YieldToReader),
        // The readers run, as far as can be seen, and take long.
        (Stalls::Halt, _) | (Stalls::Yield, None) if seen.long_hold => halt_if_possible(seen),
        _ => Action::LookAgain,
    }
}

#[inline]
fn halt_if_possible(seen: &Snapshot) -> Action {
    if seen.may_halt {
        Action::Halt
    } else {
        Action::LookAgain
    }
}

#[inline]
fn releasing(seen: &Snapshot) -> Action {
    match seen.before {
        Some(next) if seen.wants_kick => Action::Kick(next),
        _ => Action::LookAgain,
    }
}

/// The lock is free, and no CPU can use it before the next in line runs.
#[inline]
fn lending(rules: &Rules, seen: &Snapshot) -> Action {
    match seen.before {
        Some(next) if next.is_preempted() => {
            // A head that others may pass over, on a host that refuses: the call would be in vain, and one
            // of the others takes the lock. Elsewhere they may never come, if the lock is a rare one.
            let leave_it_to_others = rules.passes_over() && !seen.closed && seen.host_refuses;
            if seen.may_lend && !leave_it_to_others {
                if yields(rules) {
                    Action::YieldToHead(next)
                } else {
                    Action::LookAgain
                }
            } else {
                // The head may hold another lock: a CPU that waits for that lock must find the head,
                // and not this CPU, at the end of the chain.
                Action::WithdrawEdge(next)
            }
        }
        _ => Action::LookAgain,
    }
}

#[cfg(all(test, not(loom)))]
mod tests;
