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
//! | released, and not held | a bug |
//!
//! although no two CPUs ever met. (The idea is that of Linux's lockdep, by Ingo Molnár and Arjan van
//! de Ven, 2006.) Each finding goes once to [`Env::order_violation`], which by default does nothing.
//!
//! ```text
//!   lock ── class ──► table of classes      128, static            lockdep_graph
//!                     edges "before"        128 x 128 bits
//!   CPU ──► CpuNodes ──► stack of held locks, 16                   lockdep_held
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
//! An address is a class for ever: a lock that is freed, and another one in its place, count as one.
//! Locks of one class that are nested on purpose (a parent's before its child's) are reported.

pub(crate) mod graph;
pub(crate) mod held;

use core::fmt;
use core::panic::Location;

use crate::env::Env;
use crate::lockdep::graph::{CHAIN, Found, GRAPH, Key};
use pvqspin_abi::Cpu;

pub use crate::lockdep::graph::Stats;

/// Whether the running CPU could be interrupted, as [`Env::interrupt_state`] tells.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum InterruptState {
    /// The environment cannot tell. Nothing is concluded.
    Unknown,
    /// A task, with interrupts enabled.
    Enabled,
    /// A task, with interrupts masked.
    Masked,
    /// An interrupt handler.
    Handler,
}

/// How a lock is taken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum How {
    /// Alone, waiting.
    Exclusive,
    /// Among readers, waiting.
    Shared,
    /// Among readers, past whoever waits.
    Nested,
}

/// What kind of deadlock threatens.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Taken in the opposite order before, directly or through others.
    Inversion,
    /// A lock of this class is held already.
    Recursion,
    /// Taken by interrupt handlers, and with interrupts enabled.
    Interrupt,
    /// Released without being held.
    NotHeld,
    /// No room in the tables: from now on not everything is checked.
    TableFull,
}

/// A class of locks: where they were declared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ClassName {
    /// Declared here.
    Site(&'static Location<'static>),
    /// One lock by its address.
    Address(usize),
}

impl fmt::Display for ClassName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Site(site) => site.fmt(f),
            Self::Address(address) => write!(f, "lock at {address:#x}"),
        }
    }
}

/// What was found. Its `Display` says it in a few lines, with both orders.
#[derive(Clone, Copy, Debug)]
pub struct Violation {
    /// What kind.
    pub kind: Kind,
    /// The CPU that did it.
    pub cpu: Cpu,
    /// The class of the lock that it takes, or releases.
    pub class: ClassName,
    /// The class of a lock that it holds meanwhile.
    pub held: Option<ClassName>,
    chain: [Option<ClassName>; CHAIN],
}

impl Violation {
    /// The order that was seen before: from the class that is taken to the one that is held.
    pub fn earlier(&self) -> impl Iterator<Item = &ClassName> {
        self.chain.iter().flatten()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cpu, class) = (self.cpu.index(), self.class);
        match self.kind {
            Kind::Inversion => write!(f, "lock order: cpu{cpu} takes [{class}]")?,
            Kind::Recursion => write!(f, "lock recursion: cpu{cpu} takes [{class}]")?,
            Kind::Interrupt => {
                return write!(
                    f,
                    "lock and interrupts: [{class}] is taken by interrupt handlers, and by others \
                     with interrupts enabled (now on cpu{cpu})"
                );
            }
            Kind::NotHeld => {
                return write!(
                    f,
                    "lock: cpu{cpu} releases [{class}], which it does not hold"
                );
            }
            Kind::TableFull => {
                return f.write_str("lock order: the tables are full, not everything is checked");
            }
        }
        if let Some(held) = self.held {
            write!(f, "\n  now:    [{held}] before [{class}]")?;
        }
        for (at, class) in self.earlier().enumerate() {
            let before = if at == 0 { "\n  before: " } else { " before " };
            write!(f, "{before}[{class}]")?;
        }
        Ok(())
    }
}

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

    /// The lock is about to be taken, and to be waited for.
    pub(crate) fn taking<E: Env>(self, lock: usize, how: How) {
        let Some(class) = self.index::<E>(lock) else {
            return;
        };
        let report = |kind, found: Found| tell::<E>(kind, class, found);
        if GRAPH.notice_interrupts(class, how, E::interrupt_state()) {
            report(Kind::Interrupt, Found::default());
        }
        for held in E::nodes(E::cpu()).held().classes() {
            if held != class {
                if let Some(found) = GRAPH.learn(held, class) {
                    report(Kind::Inversion, found);
                }
            } else if how != How::Nested && GRAPH.first_recursion(class) {
                report(Kind::Recursion, Found::holding(held));
            }
        }
    }

    /// The lock was taken.
    pub(crate) fn taken<E: Env>(self, lock: usize) {
        if let Some(class) = self.index::<E>(lock)
            && !E::nodes(E::cpu()).held().push(class, lock)
            && GRAPH.first_overflow()
        {
            tell::<E>(Kind::TableFull, class, Found::default());
        }
    }

    /// The lock is about to be released.
    pub(crate) fn released<E: Env>(self, lock: usize) {
        if let Some(class) = self.index::<E>(lock)
            && !E::nodes(E::cpu()).held().pop(lock)
            && GRAPH.first_not_held(class)
        {
            tell::<E>(Kind::NotHeld, class, Found::default());
        }
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
