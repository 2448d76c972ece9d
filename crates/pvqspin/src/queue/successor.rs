//! The next in line: who has linked itself behind a node, and what to do while it has not.

use crate::atomic::Ordering;
use crate::env::{Budget, Env};
use crate::events::Event;
use crate::policy::Policy;
use crate::queue::ask;
use crate::queue::look::{Seen, cpu_of};
use crate::queue::waiter::Waiter;
use crate::word::{Format, TAIL};
use pvqspin_abi::Cpu;

/// How long the holder waits for its successor to link itself before it asks the host, in ns. The
/// link follows the tail exchange within a few instructions, unless a preemption falls between.
const LINK_PATIENCE_NS: u32 = 1_000;

/// How many edges to follow for a host that follows none. Of a longer chain the one that was
/// reached is named; as soon as it runs, it asks for the CPU that it waits for itself.
const LONGEST_WALK: usize = 64;

impl<E: Env, P: Policy, W: Format> Waiter<'_, E, P, W> {
    /// Waits until the CPU that queued behind us has linked itself.
    ///
    /// If it was preempted between its tail exchange and its link, only the tail is known. The
    /// chain of waits leads from there to the CPU that is stuck, and the host follows it.
    pub(super) fn linked_successor(&self) -> u32 {
        // Acquire pairs with the release in `link`: the successor's node is initialised.
        let next = || self.node.next.load(Ordering::Acquire);
        let linked = || next() != 0;
        loop {
            if E::spin_until(linked, Budget::ns(LINK_PATIENCE_NS)) {
                return next();
            }
            if !Self::PARAVIRTUAL || !E::pressure() {
                continue;
            }
            let tail = self.word.load(Ordering::Relaxed) & TAIL;
            let Some(last) = cpu_of::<W>(tail) else {
                continue;
            };
            let stuck = Seen::at::<E>(stuck_behind::<E>(self.cpu, last));
            let status = ask::yield_to::<E>(Event::YieldToUnlinked, stuck);
            ask::back_off::<E, P>(status, linked);
        }
    }
}

/// From the tail, along the edges, to the CPU that waits for `me`, or for none yet. A host that
/// keeps the contract would find it by itself; one that takes hints only would look at the tail.
fn stuck_behind<E: Env>(me: Cpu, tail: Cpu) -> Cpu {
    let mut at = tail;
    for _ in 0..LONGEST_WALK {
        match E::waiting_for(at) {
            Some(next) if next != me => at = next,
            _ => break,
        }
    }
    at
}
