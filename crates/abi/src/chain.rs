//! From a hint to the vCPU that all wait for in the end.
//!
//! ```text
//!   caller --hint--> waiter --waits for--> waiter --waits for--> holder
//!                    running               preempted             preempted: run this one
//! ```
//!
//! A host that keeps the contract walks it in the hypercall; in front of a host that only takes a
//! name, the guest walks it before the call. Every edge comes from memory that the guest can write,
//! so the walk believes nothing but the states. It looks at no vCPU of another VM (edges are VM-local
//! numbers), and at no more of them than the VM has.
//!
//! ```
//! use pvqspin_abi::RunState::{Preempted, Running};
//! use pvqspin_abi::chain::{End, Look, follow};
//!
//! // vCPU 0 names 1, which waits for 2, which holds the lock and is preempted.
//! let vcpus = [(Running, Some(1)), (Running, Some(2)), (Preempted, None)];
//! let look = |n: usize| Look { state: vcpus[n].0, waits_for: vcpus[n].1 };
//! assert_eq!(follow(vcpus.len(), 0, 1, look), (End::Run(2), 1));
//! ```

use crate::page::RunState;

/// What the walk sees of one vCPU.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// What it does, as far as the walker knows.
    pub state: RunState,
    /// What the guest says that it waits for.
    pub waits_for: Option<usize>,
}

/// What the walk came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// This one could run and does not.
    Run(usize),
    /// What it all waits for is running.
    Running,
    /// No vCPU on the way can run.
    NoTarget,
}

/// Follows the edges from `first` on, for `caller`, in a VM of so many vCPUs. Returns what it
/// came to, and after how many hops.
///
/// `look` is asked about vCPUs below `vcpus` (and `first`) only, and at most `vcpus` times, or
/// [`MOST_HOPS`]. A longer chain is followed that far, and ends at the last vCPU on the way that could run: it
/// asks in its turn. A circle is noticed after a few times its length.
#[must_use]
pub fn follow(
    vcpus: usize,
    caller: usize,
    first: usize,
    look: impl Fn(usize) -> Look,
) -> (End, u64) {
    let mut seen = Seen::default();
    let mut at = first;
    // For the circles: where the walk was when its length was last a power of two.
    let (mut mark, mut next_mark) = (first, 1);
    let most = MOST_HOPS.min(vcpus as u64);
    for hops in 0..most {
        let Look { state, waits_for } = look(at);
        seen.note(at, state);
        match waits_for {
            // One that waits for the caller, or for itself, is stuck where it stands: it was
            // preempted after joining the queue and before linking itself.
            Some(next) if next < vcpus && next != caller && next != at => {
                at = next;
            }
            _ => return (seen.end_at(at, state), hops),
        }
        if at == mark {
            return (seen.end_of_cycle(), hops + 1);
        }
        if hops + 1 == next_mark {
            (mark, next_mark) = (at, 2 * next_mark);
        }
    }
    // In as many hops as there are vCPUs a walk has met one twice.
    let circle = most == vcpus as u64;
    (
        if circle {
            seen.end_of_cycle()
        } else {
            seen.end_of_walk()
        },
        most,
    )
}

/// How far a chain is followed: what one hypercall costs does not depend on how many vCPUs there are.
pub const MOST_HOPS: u64 = 256;

/// What was passed on the way.
#[derive(Default)]
struct Seen {
    first_preempted: Option<usize>,
    last_preempted: Option<usize>,
    running: bool,
}

impl Seen {
    fn note(&mut self, at: usize, state: RunState) {
        match state {
            RunState::Preempted => {
                self.first_preempted.get_or_insert(at);
                self.last_preempted = Some(at);
            }
            RunState::Running => self.running = true,
            RunState::Halted | RunState::Idle => {}
        }
    }

    fn end_at(&self, at: usize, state: RunState) -> End {
        match state {
            RunState::Preempted => End::Run(at),
            RunState::Running => End::Running,
            // Asleep, and it waits for none: what is nearest to it and can run may wake it.
            RunState::Halted | RunState::Idle => {
                self.last_preempted.map_or(End::NoTarget, End::Run)
            }
        }
    }

    /// Too long a chain: whatever it all waits for is nearer to the last one than to the first.
    fn end_of_walk(&self) -> End {
        match self.last_preempted {
            Some(last) => End::Run(last),
            None => self.end_of_cycle(),
        }
    }

    /// A cycle says nothing about which vCPU blocks which. The one nearest to the hint is as good a
    /// guess as any, and running it makes the guest look again.
    fn end_of_cycle(&self) -> End {
        match self.first_preempted {
            Some(first) => End::Run(first),
            None if self.running => End::Running,
            None => End::NoTarget,
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec;

    use RunState::{Halted, Idle, Preempted, Running};
    use proptest::prelude::*;

    /// Caller 0 hints at 1; `vcpus[n]` is the state and the edge of vCPU n.
    fn from_1(vcpus: &[(RunState, Option<usize>)]) -> (End, u64) {
        follow(vcpus.len(), 0, 1, |n| Look {
            state: vcpus[n].0,
            waits_for: vcpus[n].1,
        })
    }

    const CALLER: (RunState, Option<usize>) = (Running, Some(1));

    #[test]
    fn a_preempted_one_that_waits_for_nobody_is_the_end() {
        assert_eq!(from_1(&[CALLER, (Preempted, None)]), (End::Run(1), 0));
    }

    #[test]
    fn a_running_one_that_waits_for_nobody_is_the_end() {
        assert_eq!(from_1(&[CALLER, (Running, None)]), (End::Running, 0));
    }

    #[test]
    fn waiters_in_every_state_are_followed() {
        for state in [Running, Preempted, Halted, Idle] {
            let vcpus = [CALLER, (state, Some(2)), (Preempted, None)];
            assert_eq!(from_1(&vcpus), (End::Run(2), 1), "{state:?}");
        }
    }

    #[test]
    fn a_running_end_wins_over_preempted_waiters() {
        let vcpus = [CALLER, (Preempted, Some(2)), (Running, None)];
        assert_eq!(from_1(&vcpus), (End::Running, 1));
    }

    #[test]
    fn a_sleeping_end_falls_back_to_the_last_preempted_waiter() {
        for asleep in [Halted, Idle] {
            let vcpus = [
                CALLER,
                (Preempted, Some(2)),
                (Preempted, Some(3)),
                (Halted, Some(4)),
                (asleep, None),
            ];
            assert_eq!(from_1(&vcpus), (End::Run(2), 3));
            let vcpus = [CALLER, (Running, Some(2)), (asleep, None)];
            assert_eq!(from_1(&vcpus), (End::NoTarget, 1));
        }
    }

    #[test]
    fn one_that_waits_for_the_caller_is_stuck_where_it_stands() {
        let vcpus = [CALLER, (Running, Some(2)), (Preempted, Some(0))];
        assert_eq!(from_1(&vcpus), (End::Run(2), 1));
        assert_eq!(from_1(&[CALLER, (Running, Some(0))]), (End::Running, 0));
        assert_eq!(from_1(&[CALLER, (Halted, Some(0))]), (End::NoTarget, 0));
    }

    #[test]
    fn a_cycle_ends_at_the_preempted_one_nearest_to_the_hint() {
        let vcpus = [
            CALLER,
            (Running, Some(2)),
            (Preempted, Some(3)),
            (Preempted, Some(1)),
        ];
        assert_eq!(from_1(&vcpus), (End::Run(2), 4));
        let vcpus = [CALLER, (Running, Some(2)), (Halted, Some(1))];
        assert_eq!(from_1(&vcpus), (End::Running, 3));
        let vcpus = [CALLER, (Halted, Some(2)), (Idle, Some(1))];
        assert_eq!(from_1(&vcpus), (End::NoTarget, 3));
    }

    #[test]
    fn a_long_chain_is_followed_as_far_as_it_is_cheap() {
        let long = 10_000;
        let looks = core::cell::Cell::new(0);
        let (end, hops) = follow(long, 0, 1, |n| {
            looks.set(looks.get() + 1);
            Look {
                state: Preempted,
                waits_for: (n + 1 < long).then_some(n + 1),
            }
        });
        assert_eq!((end, hops), (End::Run(MOST_HOPS as usize), MOST_HOPS));
        assert_eq!(looks.get(), MOST_HOPS);
        // A circle of two among as many.
        looks.set(0);
        let (end, _) = follow(long, 0, 1, |n| {
            looks.set(looks.get() + 1);
            Look {
                state: Preempted,
                waits_for: Some(3 - n),
            }
        });
        assert_eq!(end, End::Run(1));
        assert!(looks.get() <= 4, "{}", looks.get());
    }

    #[test]
    fn an_edge_to_itself_or_to_nowhere_is_no_edge() {
        for edge in [1, 2, 99, usize::MAX] {
            assert_eq!(from_1(&[CALLER, (Preempted, Some(edge))]), (End::Run(1), 0));
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_the_edges_say_only_a_preempted_one_is_run(
            vcpus in prop::collection::vec(
                (
                    prop::sample::select(vec![Running, Preempted, Halted, Idle]),
                    prop::option::of(0_usize..40),
                ),
                2..32,
            ),
            caller in any::<prop::sample::Index>(),
            first in any::<prop::sample::Index>(),
        ) {
            let (caller, first) = (caller.index(vcpus.len()), first.index(vcpus.len()));
            prop_assume!(caller != first);
            let looks = core::cell::Cell::new(0);
            let (end, hops) = follow(vcpus.len(), caller, first, |n| {
                looks.set(looks.get() + 1);
                Look { state: vcpus[n].0, waits_for: vcpus[n].1 }
            });
            prop_assert!(looks.get() <= vcpus.len());
            prop_assert!(hops <= vcpus.len() as u64);
            if let End::Run(n) = end {
                prop_assert_eq!(vcpus[n].0, Preempted);
                prop_assert_ne!(n, caller);
            }
        }
    }
}
