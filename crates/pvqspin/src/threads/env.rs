//! [`Env`] for ordinary threads: what a waiter does with its CPU, and what others can see of it.

use core::cell::Cell;
use core::hint;
use std::sync::OnceLock;
use std::time::{Duration, Instant};
use std::{thread, thread_local};

use super::slots;
use crate::env::{Budget, Env, Sleep};
use crate::nodes::CpuNodes;
use pvqspin_abi::{Cpu, Hint, RunSample, RunState, Status};

/// How long a waiter spins before it lets others have its CPU.
///
/// As long as giving it away and getting it back costs, two switches of about 2 µs: then waiting
/// costs at most twice of what it would have to (Karlin, Manasse, McGeoch and Owicki, "Competitive
/// randomized algorithms for nonuniform problems", 1990).
const SPIN_BEFORE_YIELD: Duration = Duration::from_micros(4);

/// How often to look between two looks at the clock, which costs as much as a few of these.
const LOOKS_PER_TICK: u32 = 16;

/// Ordinary threads. See the [module](crate::threads).
#[derive(Clone, Copy, Debug)]
pub struct Threads;

/// How often a waiter yields before it sleeps. Among threads of one priority each yield gives
/// all others a turn; whatever is not released after so many is held for long, or by a thread that a
/// yield does not give the CPU to.
const YIELDS_BEFORE_SLEEP: u32 = 32;

/// How long it sleeps first, and at most: at least about what going to sleep and waking up costs, and at most
/// a small part of what it has waited by then.
const SLEEPS: [Duration; 4] = [
    Duration::from_micros(50),
    Duration::from_micros(100),
    Duration::from_micros(200),
    Duration::from_micros(400),
];

thread_local! {
    /// How often this thread has stepped aside since it last got what it waited for.
    static STEPS: Cell<u32> = const { Cell::new(0) };
}

/// How long to sleep instead of the yield with this number; `None`: yield.
fn sleep_instead(step: u32) -> Option<Duration> {
    let late = step.checked_sub(YIELDS_BEFORE_SLEEP)? as usize;
    Some(SLEEPS[late.min(SLEEPS.len() - 1)])
}

/// Lets others have this CPU, and says so for as long as it lasts.
fn step_aside() {
    let step = STEPS.get();
    STEPS.set(step.saturating_add(1));
    let leave = || match sleep_instead(step) {
        None => thread::yield_now(),
        Some(time) => thread::sleep(time),
    };
    let Some(slot) = slots::own() else {
        leave();
        return;
    };
    slot.presence.set(RunState::Preempted);
    leave();
    slot.presence.set(RunState::Running);
}

impl Env for Threads {
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    #[inline]
    fn cpu() -> Cpu {
        slots::cpu()
    }

    #[inline]
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &slots::of(cpu).nodes
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let budget = budget.get().map(|ns| Duration::from_nanos(ns.into()));
        let mut began = None;
        let mut stepped_aside = Duration::ZERO;
        loop {
            for _ in 0..LOOKS_PER_TICK {
                if condition() {
                    STEPS.set(0);
                    return true;
                }
                hint::spin_loop();
            }
            // The first look at the clock comes after the first spin: most waits are shorter.
            let spent = began.get_or_insert_with(Instant::now).elapsed();
            if budget.is_some_and(|budget| spent >= budget) {
                return condition();
            }
            if spent - stepped_aside >= SPIN_BEFORE_YIELD {
                step_aside();
                stepped_aside = spent;
            }
        }
    }

    fn self_deadlock(lock: usize) {
        std::eprintln!(
            "pvqspin: thread {:?} takes the lock at {lock:#x}, which it holds: it waits for ever",
            thread::current().name().unwrap_or("without a name")
        );
    }

    /// A finding goes to standard error. No interrupt comes to a thread.
    #[cfg(feature = "lockdep")]
    fn order_violation(violation: &crate::lockdep::Violation) {
        std::eprintln!("{violation}");
    }

    #[inline]
    fn run_sample(cpu: Cpu) -> RunSample {
        slots::of(cpu).presence.sample()
    }

    #[inline]
    fn pressure() -> bool {
        true
    }

    fn yield_to(_hint: Hint) -> Status {
        step_aside();
        Status::Stale
    }

    fn now_ns() -> u64 {
        static BEGAN: OnceLock<Instant> = OnceLock::new();
        let since = BEGAN.get_or_init(Instant::now).elapsed();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl Threads {
    fn halt(_hint: Option<Hint>) {
        // Who has no slot never waits in a queue, and only who waits in one halts.
        if let Some(slot) = slots::own() {
            slot.parker.halt();
        }
    }

    fn kick(cpu: Cpu) {
        slots::of(cpu).parker.kick();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_yields_first_and_sleeps_in_the_end() {
        assert_eq!(sleep_instead(0), None);
        assert_eq!(sleep_instead(YIELDS_BEFORE_SLEEP - 1), None);
        assert_eq!(sleep_instead(YIELDS_BEFORE_SLEEP), Some(SLEEPS[0]));
        assert_eq!(sleep_instead(u32::MAX), Some(SLEEPS[3]));
    }
}
