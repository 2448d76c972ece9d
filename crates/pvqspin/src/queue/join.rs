//! Joining the queue: the tail, and the link behind the waiter before.

use crate::atomic::Ordering;
use crate::env::{Env, Point};
use crate::events::Event;
use crate::policy::Policy;
use crate::queue::edge::Edge;
use crate::queue::look::{cpu_of, node_of};
use crate::queue::waiter::Waiter;
use crate::token::Token;
use crate::word::{Format, HEAD, TAIL, Tail, head_bits};
use pvqspin_abi::Cpu;

/// How joining the queue turned out.
pub(super) enum Joined {
    /// It was not needed: the lock was free, or could be passed on.
    Held(Token),
    /// First in line, behind this holder if it has a name.
    First(Option<Cpu>),
    /// Behind this waiter, as the tail field named it.
    Behind(u32),
}

impl<E: Env, P: Policy, W: Format> Waiter<'_, E, P, W> {
    /// Swaps itself in as the tail, in a compare-exchange so that the rest of the word survives,
    /// and so that the first in line is named as the head in the same step.
    pub(super) fn join(&self) -> Joined {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            if seen == 0 {
                // Acquire pairs with the release of the holder before.
                match self.word.compare_exchange(
                    0,
                    self.alone(),
                    Ordering::Acquire,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return Joined::Held(Token::new(self.alone())),
                    Err(now) => {
                        seen = now;
                        continue;
                    }
                }
            }
            if P::RULES.passes_over()
                && let Some(token) = self.pass_over_as_newcomer(seen)
            {
                return Joined::Held(token);
            }
            let before = W::tail(seen);
            if before == Tail::SoleHolder(self.cpu) {
                E::self_deadlock(core::ptr::from_ref(self.word).addr());
            }
            let joined = match before {
                Tail::Waiter(..) => seen & !TAIL | self.tail,
                _ if Self::PARAVIRTUAL => seen & !(TAIL | HEAD) | self.tail | head_bits(self.cpu),
                _ => seen & !TAIL | self.tail,
            };
            // In the node before the word names it: a waiter, or the sole holder. Relaxed: the
            // exchange releases it.
            self.node.pred.store(seen & TAIL, Ordering::Relaxed);
            // Release publishes the node's initialisation to the next CPU that queues; Acquire sees
            // that of the node before, which we are about to link to.
            match self
                .word
                .compare_exchange(seen, joined, Ordering::AcqRel, Ordering::Relaxed)
            {
                Err(now) => seen = now,
                Ok(_) => {
                    E::checkpoint(Point::Joined);
                    self.nodes.count(Event::Queued);
                    return match before {
                        Tail::Waiter(..) => Joined::Behind(seen & TAIL),
                        Tail::SoleHolder(holder) => Joined::First(Some(holder)),
                        Tail::Empty => Joined::First(None),
                    };
                }
            }
        }
    }

    /// Links itself behind `pred` and publishes that it waits for it.
    pub(super) fn link(&self, pred: u32) -> Edge<E, P> {
        let edge = Edge::to(cpu_of::<W>(pred));
        if let Some(node) = node_of::<E, W>(pred) {
            node.built.is_known();
            // Release pairs with the acquire of the holder that promotes us.
            node.next.store(self.tail, Ordering::Release);
        }
        E::checkpoint(Point::Linked);
        edge
    }
}
