//! Order checking: finds the deadlock that has not happened yet. Feature `lockdep`.
//!
//! Every lock belongs to a class: the place in the source where it was declared (`new`), or, for
//! locks that come out of a constant (`lock_api`) or a `Default`, the lock itself. While a CPU holds
//! a lock of class A and takes one of class B, "A before B" is learned, for good. Then
//!
//! | found | means |
//! | --- | --- |
//! | A before B, where B before A (or B before C before A, ...) was seen | two CPUs can wait for each other |
//! | A before A | the same with two locks of one class, or a CPU that waits for itself |
//! | a class that interrupt handlers take, taken with interrupts enabled | a handler can wait for the context that it interrupted |
//! | A that handlers take, before B that is taken with interrupts enabled | the handler on one CPU waits for A, whose holder waits for B, which the handler interrupted |
//! | released, and not held | a bug |
//!
//! although no two CPUs ever met. (The idea is that of Linux's lockdep, by Ingo Molnár and Arjan van
//! de Ven, 2006.) Each finding goes once to [`Env::order_violation`], which by default does nothing.
//!
//! ```text
//!   lock ── class ──► table of classes      128, static            lockdep/graph.rs
//!                     edges "before"        128 x 128 bits
//!   CPU ──► CpuNodes ──► stack of held locks, 16                   lockdep/held.rs
//! ```
//!
//! It allocates nothing. Looking up takes no lock; learning takes a flag, and if that is in use for
//! long (an NMI that interrupted its own CPU's learning), nothing is learned this time, which is
//! counted. Tables that are full are reported once, and what has no room in them is not checked.
//!
//! # Cost
//!
//! With the feature a lock grows by a pointer and its class, and takes a hundred instructions or so.
//! Without it, nothing is left.
//!
//! # Limits
//!
//! Nested readers ([`QRwLock::read_nested`](crate::QRwLock::read_nested)) are part of no order: they
//! wait for a writer that holds, which the checker does not tell from a reader. So it misses circles
//! that such a wait closes.
//!
//! A lock that is only tried for is part of no order either, but counts as taken with interrupts enabled
//! if they are, whether or not it could be had.
//!
//! An address is a class for ever: a lock that is freed, and another one in its place, count as one.
//! Locks of one class that are nested on purpose (a parent's before its child's) are reported.

pub(crate) mod finding;
pub(crate) mod graph;
pub(crate) mod held;

use core::panic::Location;

use crate::env::Env;
use crate::lockdep::finding::CHAIN;
use crate::lockdep::graph::{Found, GRAPH, Key, Learned, Noticed};

pub(crate) use crate::lockdep::finding::How;
pub use crate::lockdep::finding::{ClassName, InterruptState, Kind, Violation};
pub use crate::lockdep::graph::Stats;

/// What has been learned so far.
#[must_use]
pub fn stats() -> Stats {
    GRAPH.stats()
}

/// What a lock knows about its class.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Class {
    Site(&'static Location<'static>),
    Address,
    Untracked,
}

impl Class {
    #[track_caller]
    pub(crate) const fn here() -> Self {
        Self::Site(Location::caller())
    }

    fn key(self, lock: usize) -> Option<Key> {
        match self {
            Self::Site(site) => Some(Key(ClassName::Site(site))),
            Self::Address => Some(Key(ClassName::Address(lock))),
            Self::Untracked => None,
        }
    }

    /// The lock is about to be taken, and to be waited for. From here on it counts as held, so that a
    /// handler which interrupts the wait and takes the same lock is found before it hangs.
    ///
    /// Every hook is called before anything is noted: one that unwinds leaves the lock as it was.
    pub(crate) fn taking<E: Env>(self, lock: usize, how: How) {
        let Some(class) = self.index::<E>(lock) else {
            return;
        };
        let now = E::interrupt_state();
        notice_interrupts::<E>(class, how, now);
        for held in E::nodes(E::cpu()).held().classes() {
            if how == How::Nested {
                // It waits for a writer that holds the lock, and for nothing else: beside readers it
                // cannot be part of a circle, and who holds it how is not known.
                continue;
            }
            if held != class {
                match GRAPH.learn(held, class) {
                    Learned::Known => {}
                    Learned::New => {
                        if let Some(found) = GRAPH.handler_before_enabled(held, class) {
                            tell::<E>(Kind::InterruptOrder, class, found);
                        }
                    }
                    Learned::Contradiction(found) => tell::<E>(Kind::Inversion, class, found),
                }
            } else if GRAPH.first_recursion(class) {
                tell::<E>(Kind::Recursion, class, Found::holding(held));
            }
        }
        note::<E>(class, lock);
    }

    /// The lock is going to be taken if that takes no waiting. It is no part of any order, but a handler
    /// may wait for it.
    pub(crate) fn trying<E: Env>(self, lock: usize, how: How) {
        if let Some(class) = self.index::<E>(lock) {
            let now = E::interrupt_state();
            // A handler that only tries never waits.
            if now == InterruptState::Enabled {
                notice_interrupts::<E>(class, how, now);
            }
            if E::nodes(E::cpu()).held().is_full() && GRAPH.first_overflow() {
                tell::<E>(Kind::TableFull, class, Found::default());
            }
        }
    }

    /// The lock was taken without waiting.
    pub(crate) fn taken<E: Env>(self, lock: usize) {
        if let Some(class) = self.index::<E>(lock) {
            E::nodes(E::cpu()).held().push(class, lock);
        }
    }

    /// The lock is about to be released. What there is to say is said afterwards: a hook that unwinds
    /// must not leave the lock held.
    pub(crate) fn released<E: Env>(self, lock: usize) -> Late {
        Late(
            self.index::<E>(lock).filter(|&class| {
                !E::nodes(E::cpu()).held().pop(lock) && GRAPH.first_not_held(class)
            }),
        )
    }

    fn index<E: Env>(self, lock: usize) -> Option<u8> {
        let key = self.key(lock)?;
        let class = GRAPH.class(key);
        // (The same call counts every overflow.)
        if class.is_none() && GRAPH.is_full() && GRAPH.first_overflow() {
            E::order_violation(&Violation {
                kind: Kind::TableFull,
                cpu: E::cpu(),
                class: key.0,
                held: None,
                chain: [None; CHAIN],
            });
        }
        class
    }
}

/// A finding that is told once the lock is free.
#[must_use]
pub(crate) struct Late(Option<u8>);

impl Late {
    pub(crate) fn tell<E: Env>(self) {
        if let Some(class) = self.0 {
            tell::<E>(Kind::NotHeld, class, Found::default());
        }
    }
}

fn note<E: Env>(class: u8, lock: usize) {
    let held = E::nodes(E::cpu()).held();
    if held.is_full() && GRAPH.first_overflow() {
        tell::<E>(Kind::TableFull, class, Found::default());
    }
    held.push(class, lock);
}

fn notice_interrupts<E: Env>(class: u8, how: How, now: InterruptState) {
    match GRAPH.notice_interrupts(class, how, now) {
        Noticed::Nothing => {}
        Noticed::Clash => tell::<E>(Kind::Interrupt, class, Found::default()),
        Noticed::New => {
            if let Some(found) = GRAPH.handler_before_enabled(class, class) {
                tell::<E>(Kind::InterruptOrder, class, found);
            }
        }
    }
}

fn tell<E: Env>(kind: Kind, class: u8, found: Found) {
    let Some(name) = GRAPH.name(class) else {
        return;
    };
    E::order_violation(&Violation {
        kind,
        cpu: E::cpu(),
        class: name,
        held: found.held.and_then(|held| GRAPH.name(held)),
        chain: found.chain.map(|class| GRAPH.name(class?)),
    });
}
