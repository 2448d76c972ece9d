//! The slots: which thread is which CPU.
//!
//! ```text
//!   NUMBER of a thread                                       TAKEN
//!   unknown ── first lock ──► slot n ── the thread ends ──►  one bit for each slot, lowest first
//!      │                                    │
//!      └── no slot free ──► OUTSIDE ◄───────┘ destructors that still take locks
//! ```
//!
//! [`OUTSIDE`] is a CPU number that any number of threads share. Its nodes are all in use, for ever,
//! so its threads never queue: they take the way that an NMI takes which interrupted three spinning
//! contexts. A number that is shared is only ever a hint, since no thread waits under it.

use core::fmt;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicU32, AtomicUsize};
use std::thread_local;

use super::parker::Parker;
use super::presence::Presence;
use crate::nodes::CpuNodes;
use pvqspin_abi::Cpu;

/// How many threads can have a slot at the same time.
pub const MAX_THREADS: usize = 4_096;

/// In words that every processor has atomically: some of 32 bits have no others.
const BITS: usize = usize::BITS as usize;

/// All that is kept for one thread.
#[derive(Debug)]
pub(super) struct Slot {
    pub(super) nodes: CpuNodes,
    /// Whether its thread has a CPU, and where it sleeps: what others look at.
    pub(super) presence: Presence,
    pub(super) parker: Parker,
}

impl Slot {
    const fn new() -> Self {
        Self {
            nodes: CpuNodes::new(),
            presence: Presence::new(),
            parker: Parker::new(),
        }
    }
}

static SLOTS: [Slot; MAX_THREADS] = [const { Slot::new() }; MAX_THREADS];
static TAKEN: [AtomicUsize; MAX_THREADS / BITS] =
    [const { AtomicUsize::new(0) }; MAX_THREADS / BITS];

/// Where the threads without a slot stand.
static WITHOUT: Slot = Slot {
    nodes: CpuNodes::exhausted(),
    ..Slot::new()
};

// What the module documentation says about memory.
// The order checker keeps more for each CPU.
#[cfg(not(feature = "lockdep"))]
const _: () = assert!(size_of::<[Slot; MAX_THREADS]>() <= 2 << 20);

/// The number that threads without a slot share: the first one behind the slots.
const OUTSIDE: Cpu = match Cpu::new(MAX_THREADS) {
    Some(cpu) => cpu,
    None => panic!("the word names fewer CPUs than there are slots"),
};

thread_local! {
    /// `cpu + 1`, or 0 before the first lock. Without a destructor, so that it can be read for as
    /// long as the thread runs any code. An atomic for the thread's own signal handlers.
    static NUMBER: AtomicU32 = const { AtomicU32::new(0) };
    /// Gives the slot back.
    static LEASE: Lease = const { Lease };
}

struct Lease;

impl Drop for Lease {
    fn drop(&mut self) {
        // From here on this thread is outside: `LEASE` cannot be had again.
        let number = NUMBER.with(|number| number.swap(OUTSIDE.plus_one(), Relaxed));
        if let Some(cpu) = Cpu::from_plus_one(number) {
            give_back(cpu);
        }
    }
}

#[inline]
fn number() -> Option<Cpu> {
    Cpu::from_plus_one(NUMBER.with(|number| number.load(Relaxed)))
}

/// The calling thread's number.
#[inline]
pub(super) fn cpu() -> Cpu {
    match number() {
        Some(cpu) => cpu,
        None => enrol(),
    }
}

/// The slot of the calling thread, if it has one of its own.
pub(super) fn own() -> Option<&'static Slot> {
    number().and_then(|cpu| SLOTS.get(cpu.index()))
}

/// The slot of a thread, or the one that threads without a slot share.
#[inline]
pub(super) fn of(cpu: Cpu) -> &'static Slot {
    SLOTS.get(cpu.index()).unwrap_or(&WITHOUT)
}

/// Takes a slot for the calling thread if there is one, for as long as the thread lives.
#[cold]
#[inline(never)]
fn enrol() -> Cpu {
    // The lease first: a slot without one would never come back.
    let cpu = match LEASE.try_with(|_| ()) {
        Ok(()) => take().unwrap_or(OUTSIDE),
        Err(_ended) => OUTSIDE,
    };
    // A signal handler that took its first lock in the middle of this has a slot of its own: it is done
    // with it, and it goes back.
    let before = NUMBER.with(|number| number.swap(cpu.plus_one(), Relaxed));
    if let Some(of_handler) = Cpu::from_plus_one(before) {
        give_back(of_handler);
    }
    cpu
}

/// The lowest free slot: few threads then use few pages.
fn take() -> Option<Cpu> {
    for (index, word) in TAKEN.iter().enumerate() {
        loop {
            let free = !word.load(Relaxed);
            if free == 0 {
                break;
            }
            let bit = free.trailing_zeros();
            // Acquire pairs with the release in `give_back`: the last owner is done with it.
            if word.fetch_or(1 << bit, Acquire) & 1 << bit == 0 {
                return Cpu::new(index * BITS + bit as usize);
            }
        }
    }
    None
}

fn give_back(cpu: Cpu) {
    // A thread that ends in the middle of a slow path left a node in a queue. No other thread may
    // have that node.
    if of(cpu).nodes.in_use() != 0 {
        return;
    }
    if let Some(word) = TAKEN.get(cpu.index() / BITS) {
        word.fetch_and(!(1 << (cpu.index() % BITS)), Release);
    }
}

/// Every slot is taken by a thread that lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TooManyThreads;

impl fmt::Display for TooManyThreads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "all {MAX_THREADS} slots are taken by threads that take locks; let some of them end, \
             or lock without a place in the queue"
        )
    }
}

impl core::error::Error for TooManyThreads {}

/// Makes sure that the calling thread has a slot, as its first lock would by itself.
///
/// To be called while holding no lock. A thread that found no slot when it first locked gets one
/// here, if one is free by now.
///
/// # Errors
///
/// If [`MAX_THREADS`] other threads have one. Locking then still works, without a place in the queue.
///
/// ```
/// # fn main() -> Result<(), pvqspin::threads::TooManyThreads> {
/// pvqspin::threads::register()?;
/// assert!(pvqspin::threads::registered() >= 1);
/// # Ok(())
/// # }
/// ```
pub fn register() -> Result<(), TooManyThreads> {
    if cpu() == OUTSIDE && enrol() == OUTSIDE {
        return Err(TooManyThreads);
    }
    Ok(())
}

/// How many slots are taken. Stale when it returns.
#[must_use]
pub fn registered() -> usize {
    TAKEN
        .iter()
        .map(|word| word.load(Relaxed).count_ones() as usize)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_in_the_middle_of_the_first_lock_costs_no_slot() {
        // What a handler leaves behind: a number, set after this thread saw none.
        for _ in 0..=MAX_THREADS {
            assert_ne!(enrol(), OUTSIDE, "slots were lost");
        }
    }
}
