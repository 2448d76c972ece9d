//! At the head of the queue: waiting for the word, taking it, and making the next one the head.
//!
//! ```text
//!   spin on the word ── free ──► withdraw the edge ──► take ──► promote the next ──► held
//!      │   ▲
//!      │   └── yield to the holder, if it is preempted; HALT, if it runs and holds are long
//!      └──────┘
//! ```

use crate::atomic::Ordering;
use crate::env::{Env, Point, Sleep};
use crate::events::Event;
use crate::node::state;
use crate::policy::Policy;
use crate::queue::age;
use crate::queue::ask;
use crate::queue::decide::{Action, Role, Snapshot, decide};
use crate::queue::edge::Edge;
use crate::queue::holds;
use crate::queue::look::{Seen, cpu_of, is_stuck, node_of};
use crate::queue::waiter::Waiter;
use crate::token::Token;
use crate::word::{Format, Held, LOCKED, PENDING, TAIL, head_bits, is_free};
use pvqspin_abi::{Cpu, RunState};

impl<E: Env, P: Policy, W: Format> Waiter<'_, E, P, W> {
    /// At the head of the queue: waits until the word is free, and takes it.
    pub(super) fn wait_for_word(&self, edge: &Edge<E, P>, promoter: Option<Cpu>) -> Token {
        // Whether this wait saw a hold that ended in time; a lock that is free at the first look
        // says nothing about how long it was held.
        let mut saw_short_hold = false;
        loop {
            let seen = self.word.load(Ordering::Relaxed);
            if is_free(seen) {
                edge.withdraw();
                if self.take(seen) {
                    break;
                }
                continue;
            }
            // In strict order the holder is known and stays the same. A CPU that passed over us
            // says so.
            let holder = match Held::read::<W>(seen, Self::PARAVIRTUAL) {
                Held::Past(holder) => Some(holder),
                _ => promoter,
            };
            edge.keep(self.cpu, holder);
            // Newcomers change the tail, which is none of the head's business.
            let moved = || (self.word.load(Ordering::Relaxed) ^ seen) & !TAIL != 0;
            let stalled = || Self::YIELDS && holder.is_some_and(is_stuck::<E>);
            let patience = self.patience();
            E::spin_until(|| moved() || stalled(), patience);
            if moved() {
                // Also if a budget ran out under it. To count only those that ended in time finds
                // holds of 80 µs long too soon, and costs a quarter of the throughput beside a
                // neighbour.
                saw_short_hold = true;
                continue;
            }
            age::note_wait_goes_on::<E, P>(self.nodes);
            if !Self::PARAVIRTUAL {
                continue;
            }
            let mut snapshot = Snapshot {
                slept: self.slept.get(),
                ..look_at_holder::<E>(holder)
            };
            if Self::YIELDS && snapshot.may_be_a_long_hold() {
                snapshot.long_hold = holds::ran_out::<P>(self.nodes, patience);
            }
            snapshot.may_halt = self.may_halt();
            match decide(&P::RULES, Role::First, &snapshot) {
                Action::Yield(holder, why) => {
                    let status = ask::yield_to::<E>(why, holder);
                    ask::back_off::<E, P>(status, moved);
                }
                Action::Halt if Self::YIELDS => {
                    holds::sleep_through::<E, P>(self.nodes, || self.halt_at_head(seen, holder));
                }
                Action::Halt => self.halt_at_head(seen, holder),
                _ => {}
            }
        }
        if Self::YIELDS && saw_short_hold {
            self.nodes.observe_hold(false);
        }
        Token::new(self.alone())
    }

    /// Asks for a kick in the word, and halts until it comes.
    fn halt_at_head(&self, mut seen: u32, holder: Option<Cpu>) {
        // One location decides again: either the wish is in the word before the release, and the
        // releaser sees it; or the lock was released first, and the exchange fails.
        loop {
            match Held::in_paravirtual::<W>(seen) {
                Held::Queued {
                    wants_kick: true, ..
                } => break,
                // A CPU that passed over us will not kick: stay awake.
                Held::Past(_) => return,
                _ => {}
            }
            match self.word.compare_exchange(
                seen,
                seen | PENDING,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) if is_free(now) => return,
                Err(now) => seen = now,
            }
        }
        self.nodes.count(Event::HaltAtHead);
        E::checkpoint(Point::Halting);
        Sleep::halt::<E>(holder.map(ask::hint_for::<E>));
        self.slept.set(true);
        if !is_free(self.word.load(Ordering::Relaxed)) {
            self.nodes.count(Event::SpuriousWake);
        }
    }

    /// Takes the free word and promotes the next in line. False if the word changed meanwhile.
    fn take(&self, seen: u32) -> bool {
        let last = seen & TAIL == self.tail;
        let link = if P::RULES.passes_over() {
            // The link may be older than the word: the CPU that it names may have overtaken us
            // since, and the word must never name a stranger. `promote_next` looks again.
            0
        } else {
            // In strict order it stays what it is once it is there. Acquire pairs with the release
            // in `link`: the successor's node is initialised.
            self.node.next.load(Ordering::Acquire)
        };
        let named = cpu_of::<W>(link).map_or(0, head_bits);
        let held = match (Self::PARAVIRTUAL, last) {
            (true, true) => self.alone(),
            (true, false) => seen & TAIL | named | LOCKED,
            (false, true) => LOCKED,
            (false, false) => seen | LOCKED,
        };
        // Acquire pairs with the release of the holder before.
        if self
            .word
            .compare_exchange(seen, held, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        E::checkpoint(Point::Taken);
        if !last {
            self.promote_next(link);
        }
        true
    }

    /// Makes the successor the head. `link` is it, if the word's head field names it already.
    fn promote_next(&self, link: u32) {
        let next = if link == 0 {
            // It had not linked itself when we took the lock.
            let next = self.linked_successor();
            if Self::PARAVIRTUAL {
                // A step of its own, and ours: under a holder no other CPU writes the head field.
                let bits = cpu_of::<W>(next).map_or(0, head_bits);
                self.word.fetch_or(bits, Ordering::Relaxed);
            }
            next
        } else {
            link
        };
        let Some(node) = node_of::<E, W>(next) else {
            return;
        };
        node.built.is_known();
        // Release pairs with the acquire in `wait_in_queue`.
        let was = node.state.swap(state::HEAD, Ordering::Release);
        if was == state::HALTED {
            self.wake_in_time(next);
        }
    }

    /// The new head sleeps. While others want its pCPU it sleeps on through our critical section,
    /// and is woken when we release. Where a pCPU is free it wakes up at once: then it stands
    /// ready when we release, and its wake-up has cost the lock nothing.
    fn wake_in_time(&self, next: u32) {
        match cpu_of::<W>(next) {
            Some(head) if Self::YIELDS && !E::pressure() => {
                self.nodes.count(Event::Kick);
                Sleep::kick::<E>(head);
            }
            _ => {
                self.word.fetch_or(PENDING, Ordering::Relaxed);
            }
        }
    }
}

/// What a CPU that is first in line sees of the holder.
pub(crate) fn look_at_holder<E: Env>(holder: Option<Cpu>) -> Snapshot {
    let holder = holder.map(Seen::at::<E>);
    Snapshot {
        before: holder,
        stuck: holder.is_some_and(|holder| holder.is_stuck::<E>()),
        ..Snapshot::NOTHING
    }
}

impl Snapshot {
    /// Whether the holder runs, or sleeps by its own will: then its hold may be a long one.
    pub(crate) fn may_be_a_long_hold(&self) -> bool {
        let unhurried =
            |holder: Seen| matches!(holder.state(), RunState::Running | RunState::Halted);
        !self.stuck && self.before.is_some_and(unhurried)
    }
}
