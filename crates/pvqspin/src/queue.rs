//! Everything contended: joining the queue, waiting in it, taking the lock, releasing it.
//!
//! It is written once, for every policy, word and environment. One acquisition, from
//! [`lock_contended`] downwards:
//!
//! ```text
//!   pending     native, second in line: no node ───────────────────────────────► held
//!   newcomer    paravirtual, where the environment has looks: no node ─────────► held
//!   fallback    no node left: takes the lock past its queue ───────────────────► held
//!   join        a node, the tail ──► the lock was free, or passed on ──────────► held
//!                 │      │
//!                 │      └─► behind a sole holder ──────────┐
//!                 └─► behind a waiter: linked               │
//!   in_queue        ▼                                       ▼
//!                 spins on the own node ── promoted ──► at_head: spins on the word ──► held
//!                   └─► pass_over, unlink (`Bounded`) ─────────────────────────► held
//! ```
//!
//! One release: `lock.rs`, then [`release`] if other CPUs wait.
//!
//! What the steps share, each usable by itself: [`waiter`] (one CPU in one slow path), [`edge`]
//! (its wait-for edge), [`look`] (who holds, who is off its pCPU), [`decide`] (what to do about
//! it), [`ask`] (directed yields), [`holds`] (how long locks are held), [`age`] (how long a CPU has
//! waited), [`successor`] (the next in line, linked or not yet).
//!
//! Who may change what: every CPU may swap the tail, and names itself as the head if no CPU waits
//! yet; otherwise only the holder promotes a head, names it in the word, and edits links; a head
//! asks for a kick, or its promoter does for it. In strict order only the head takes a lock that
//! has a queue, but for a CPU that has no node left.
//!
//! Preemption is looked at to decide where to yield to, and (in `Bounded`) who may go first; it
//! never decides who *is* the head, because a CPU that looked preempted may be running again.

pub(crate) mod age;
pub(crate) mod ask;
pub(crate) mod at_head;
pub(crate) mod decide;
pub(crate) mod edge;
mod fallback;
pub(crate) mod holds;
mod in_queue;
mod join;
pub(crate) mod look;
mod newcomer;
mod pass_over;
mod pending;
pub(crate) mod release;
mod successor;
mod unlink;
mod waiter;

use crate::atomic::AtomicU32;
use crate::env::{Env, Point};
use crate::events::Event;
use crate::policy::Policy;
use crate::token::Token;
use crate::word::{Format, LOCKED};
use edge::Edge;
use in_queue::Queued;
use join::Joined;
use waiter::Waiter;

/// Takes a lock that could not be had at once.
#[cold]
#[inline(never)]
pub(crate) fn lock_contended<E: Env, P: Policy, W: Format>(word: &AtomicU32) -> Token {
    let cpu = E::cpu();
    let nodes = E::nodes(cpu);
    nodes.count(Event::SlowPath);
    E::checkpoint(Point::Joining);

    if P::RULES.paravirtual() {
        if let Some(token) = newcomer::take::<E, W>(word, cpu) {
            return token;
        }
    } else if pending::take::<E>(word, nodes) {
        return Token::new(LOCKED);
    }
    let Some(context) = nodes.claim(W::CONTEXTS) else {
        return fallback::lock_without_node::<E, P, W>(word, cpu, nodes);
    };
    age::note_wait_begins::<E, P>(nodes, context);
    let token = acquire(&Waiter::<E, P, W>::new(word, cpu, nodes, context));
    age::note_wait_ends::<P>(nodes, context);
    nodes.release();
    token
}

/// Joins the queue, waits in it, waits at its head.
fn acquire<E: Env, P: Policy, W: Format>(waiter: &Waiter<'_, E, P, W>) -> Token {
    // `edge` puts the edge of an interrupted wait back once the lock is held.
    match waiter.join() {
        Joined::Held(token) => token,
        Joined::First(holder) => {
            let edge = Edge::<E, P>::to(holder);
            waiter.wait_for_word(&edge, holder)
        }
        Joined::Behind(pred) => {
            let edge = waiter.link(pred);
            match waiter.wait_in_queue(&edge) {
                Queued::Overtook(token) => token,
                Queued::Promoted(holder) => waiter.wait_for_word(&edge, holder),
            }
        }
    }
}
