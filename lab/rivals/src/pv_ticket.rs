//! The paravirtual ticket lock: strict order; who waits for long halts, and is kicked when its
//! ticket comes up.
//!
//! ```text
//!   ticket = next++
//!     │
//!     ▼            budget gone        not my turn
//!   spin ───────────────────► register ─────────► HALT ──┐
//!     ▲  my turn: held           │ my turn: held         │
//!     └──────────────────────────────────────────────────┘  kicked
//!
//!   unlock: serving++; any registered? find who waits for `serving`, and KICK it
//! ```
//!
//! Linux's paravirtual ticket lock (Jeremy Fitzhardinge, 2010; Raghavendra K T and Srivatsa
//! Vaddagiri for KVM, 2013; Linux 3.12 to 4.1). A ticket does not say whose it is: the halting
//! waiter cannot name a vCPU, so its halt carries no hint, and the unlocker searches all
//! registered waiters for the next ticket.
//!
//! Against the original:
//! - The spin threshold was 2^15 rounds (2^11 in the first versions), 0.4 to 2 ms: most of a slice. Here
//!   it is [`SPIN_NS`], which loses far less to a preempted holder.
//! - The registrations belong to the lock instead of being one for each CPU and all locks.
//! - The flag that sends an unlocker into its slow path is a count of registered waiters; it stands
//!   beside `serving` in one 64-bit word.

use core::marker::PhantomData;
use core::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed};
use core::sync::atomic::{AtomicU32, AtomicU64};

use pvqspin::{Budget, Env, Point, Sleep};

use crate::Lock;
use crate::per_cpu::PerCpu;

/// How long a waiter spins before it halts, in ns.
pub const SPIN_NS: u32 = 10_000;

/// One registered waiter, in the lower half of [`PvTicket::serving`].
const SLEEPER: u64 = 1;
const SLEEPERS: u64 = u32::MAX as u64;
/// One ticket, in the upper half: an overflow falls off the top and disturbs nothing.
const TICKET: u64 = 1 << 32;

/// The paravirtual ticket lock.
#[derive(Debug)]
pub struct PvTicket<E> {
    /// The ticket being served, and how many waiters are registered.
    serving: AtomicU64,
    next: AtomicU32,
    /// The ticket that each CPU waits for in its halt: `ticket + 1`, or 0.
    registered: PerCpu<AtomicU64>,
    environment: PhantomData<fn() -> E>,
}

const fn ticket_of(serving: u64) -> u32 {
    (serving >> 32) as u32
}

impl<E: Env> PvTicket<E> {
    #[inline]
    fn is_served(&self, ticket: u32) -> bool {
        // Acquire pairs with the release in `unlock`.
        ticket_of(self.serving.load(Acquire)) == ticket
    }

    #[cold]
    fn wait_for(&self, ticket: u32) {
        E::checkpoint(Point::Joined);
        while !E::spin_until(|| self.is_served(ticket), Budget::ns(SPIN_NS)) {
            self.halt_until_served(ticket);
        }
        E::checkpoint(Point::Taken);
    }

    /// Registers and halts once. It may return before the ticket is served.
    fn halt_until_served(&self, ticket: u32) {
        let slot = self.registered.of(E::cpu());
        slot.store(u64::from(ticket) + 1, Relaxed);
        // One word decides: either this step comes before the unlock that serves us, whose own
        // step then sees a sleeper (its acquire pairs with this release: it also sees the slot);
        // or it comes after, and we see our ticket. A kick between this and the halt ends the
        // halt, so no wake-up is lost.
        let seen = self.serving.fetch_add(SLEEPER, AcqRel);
        if ticket_of(seen) != ticket {
            E::checkpoint(Point::Halting);
            Sleep::halt::<E>(None);
        }
        slot.store(0, Relaxed);
        self.serving.fetch_sub(SLEEPER, Relaxed);
    }

    /// Kicks the waiter with `ticket`, if it has registered. One that has not is still spinning.
    #[cold]
    fn kick_waiter_for(&self, ticket: u32) {
        E::checkpoint(Point::Released);
        let wanted = u64::from(ticket) + 1;
        let waiter = self
            .registered
            .iter()
            .find(|(_, slot)| slot.load(Relaxed) == wanted);
        if let Some((Some(cpu), _)) = waiter {
            Sleep::kick::<E>(cpu);
        }
    }
}

impl<E: Env> Lock<E> for PvTicket<E> {
    /// The ticket.
    type Token = u32;

    fn new(cpus: usize) -> Self {
        Self {
            serving: AtomicU64::new(0),
            next: AtomicU32::new(0),
            registered: PerCpu::new(cpus),
            environment: PhantomData,
        }
    }

    #[inline]
    fn lock(&self) -> u32 {
        // Relaxed: a ticket orders nothing yet.
        let ticket = self.next.fetch_add(1, Relaxed);
        if !self.is_served(ticket) {
            self.wait_for(ticket);
        }
        ticket
    }

    #[inline]
    unsafe fn unlock(&self, ticket: u32) {
        // Release hands over what the lock guards; acquire sees the slots of who registered.
        let seen = self.serving.fetch_add(TICKET, AcqRel);
        if seen & SLEEPERS != 0 {
            self.kick_waiter_for(ticket.wrapping_add(1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::Alone;

    #[test]
    fn tickets_wrap_and_leave_the_sleepers_alone() {
        let lock = PvTicket::<Alone>::new(1);
        lock.next.store(u32::MAX, Relaxed);
        // Two sleepers that have registered nowhere: every unlock searches, and finds none.
        lock.serving
            .store(u64::from(u32::MAX) * TICKET + 2 * SLEEPER, Relaxed);
        for expected in [u32::MAX, 0, 1] {
            let ticket = lock.lock();
            assert_eq!(ticket, expected);
            // SAFETY: taken in the line before.
            unsafe { lock.unlock(ticket) };
        }
        assert_eq!(lock.serving.load(Relaxed), 2 * TICKET + 2 * SLEEPER);
    }
}
