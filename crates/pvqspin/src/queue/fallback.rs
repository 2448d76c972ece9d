//! Taking a lock past its queue, by a CPU that has no node left to queue with.
//!
//! It waits in as many slow paths as it has nodes, one inside the other, and must not wait behind
//! the contexts that it interrupted. So it takes the lock whenever it is free, past the waiters.

use crate::atomic::{AtomicU32, Ordering};
use crate::env::{Budget, Env, Point};
use crate::events::Event;
use crate::nodes::CpuNodes;
use crate::policy::{Policy, Stalls};
use crate::queue::ask;
use crate::queue::look::{Seen, holder_of, is_stuck};
use crate::token::Token;
use crate::word::{Format, Held, LOCKED, PENDING, TAIL, head_bits};
use pvqspin_abi::Cpu;

/// Takes a lock without a node.
pub(super) fn lock_without_node<E: Env, P: Policy, W: Format>(
    word: &AtomicU32,
    cpu: Cpu,
    nodes: &CpuNodes,
) -> Token {
    nodes.count(Event::NodeExhausted);
    E::checkpoint(Point::Joined);
    loop {
        E::checkpoint(Point::Fallback);
        wait_until_free::<E, P, W>(word);
        let seen = word.load(Ordering::Relaxed);
        if is_free::<P>(seen)
            && let Some(token) = seize::<P, W>(word, seen, cpu)
        {
            E::checkpoint(Point::Taken);
            return token;
        }
    }
}

/// A native lock with a pending waiter is free: that waiter has no name, and tries again.
fn is_free<P: Policy>(word: u32) -> bool {
    if P::RULES.paravirtual() {
        word & (LOCKED | PENDING) == 0
    } else {
        word & LOCKED == 0
    }
}

/// Spins; lends this pCPU to a holder that cannot go on by itself.
fn wait_until_free<E: Env, P: Policy, W: Format>(word: &AtomicU32) {
    let free = || is_free::<P>(word.load(Ordering::Relaxed));
    if !matches!(P::RULES.stalls, Stalls::Yield) {
        E::spin_until(free, Budget::FOREVER);
        return;
    }
    let stuck =
        || holder_of::<E, W>(word.load(Ordering::Relaxed)).filter(|&holder| is_stuck::<E>(holder));
    E::spin_until(|| free() || stuck().is_some(), Budget::FOREVER);
    if !free()
        && E::may_lend()
        && let Some(holder) = stuck()
    {
        let status = ask::yield_to::<E>(Event::YieldToHolder, Seen::at::<E>(holder));
        ask::back_off::<E, P>(status, free);
    }
}

/// Takes the free lock, past its head if it has one. `None` if the word is not `seen` any more.
pub(super) fn seize<P: Policy, W: Format>(word: &AtomicU32, seen: u32, cpu: Cpu) -> Option<Token> {
    let (held, token) = if !P::RULES.paravirtual() {
        (seen | LOCKED, Token::new(LOCKED))
    } else {
        let alone = W::sole_holder(cpu) | LOCKED;
        match Held::in_paravirtual::<W>(seen) {
            Held::Free => (alone, Token::new(alone)),
            Held::HandedTo(head) => (
                seen & TAIL | head_bits(cpu) | PENDING,
                Token::passing(alone, head),
            ),
            // The caller saw it free: look again.
            _ => return None,
        }
    };
    // Acquire pairs with the release of the holder before.
    word.compare_exchange(seen, held, Ordering::Acquire, Ordering::Relaxed)
        .ok()
        .map(|_| token)
}
