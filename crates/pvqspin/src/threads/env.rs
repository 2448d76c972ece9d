//! [`Env`] for ordinary threads: what a waiter does with its CPU, and what others can see of it.

use core::hint;
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use super::slots;
use crate::env::{Budget, Env};
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

/// Whether a thread is on a CPU, as far as it tells: only it knows when it gives one away.
#[derive(Debug)]
pub(super) struct Presence(AtomicU32);

impl Presence {
    pub(super) const fn new() -> Self {
        Self(AtomicU32::new(RunSample::RUNNING.raw()))
    }

    fn sample(&self) -> RunSample {
        // Acquire pairs with the release in `set`, as for the page of a vCPU.
        RunSample::from_raw(self.0.load(Acquire))
    }

    fn set(&self, state: RunState) {
        // Plain load and store: only the thread itself writes.
        let generation = RunSample::from_raw(self.0.load(Relaxed)).generation();
        let sample = RunSample::new(state, generation.next());
        self.0.store(sample.raw(), Release);
    }
}

/// Lets others have this CPU, and says so for as long as it lasts.
fn step_aside() {
    let Some(slot) = slots::own() else {
        thread::yield_now();
        return;
    };
    slot.presence.set(RunState::Preempted);
    thread::yield_now();
    slot.presence.set(RunState::Running);
}

impl Env for Threads {
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

    #[inline]
    fn run_sample(cpu: Cpu) -> RunSample {
        slots::of(cpu).presence.sample()
    }

    #[inline]
    fn pressure() -> bool {
        true
    }

    fn halt(_hint: Option<Hint>) {
        // Who has no slot never waits in a queue, and only who waits in one halts.
        if let Some(slot) = slots::own() {
            slot.parker.halt();
        }
    }

    fn kick(cpu: Cpu) {
        slots::of(cpu).parker.kick();
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
