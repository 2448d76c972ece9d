//! The slow path: joining the queue. Waiting goes on in [`in_queue`](crate::queue::in_queue) and
//! [`at_head`](crate::queue::at_head).
//!
//! It is written once, for every policy, word and environment; read it from [`lock_contended`] downwards.
//!
//! ```text
//!   lock ──► pending (native, second in line) ─────────────────────────► held
//!     │
//!     ├────► no node left: pass_over::lock_without_node ───────────────► held
//!     │
//!     └────► join ──► sole holder before us ──────► wait_for_word ──► take ──► held
//!              │                                       ▲
//!              └────► somebody waits before us         │ promoted
//!                        └─► link ──► wait_in_queue ───┘
//!                                          └─► pass_over::behind_preempted ► held
//! ```
//!
//! Who may change what: anybody swaps the tail, and names itself as the head if nobody waits yet;
//! otherwise only the holder promotes a head, names it in the word, and edits links; a head asks
//! for a kick, or its promoter does for it. In strict order only the head takes a lock that has a
//! queue, but for a CPU that has no node left.
//!
//! Preemption is looked at to decide whom to yield to, and (in `Bounded`) who may go first; it never
//! decides who *is* the head, because a CPU that looked preempted may be running again.

use core::cell::Cell;
use core::marker::PhantomData;

use crate::atomic::{AtomicU32, Ordering};
use crate::env::{Budget, Env, Point};
use crate::events::Event;
use crate::lock::{Kind, Token};
use crate::nodes::{CpuNodes, Node};
use crate::policy::{Policy, Stalls};
use crate::queue::holds;
use crate::queue::pass_over;
use crate::queue::pending;
use crate::word::{Format, HEAD, LOCKED, TAIL, Tail, head_bits, head_of};
use pvqspin_abi::{Cpu, RunSample, RunState, mutate};

/// Takes a lock that could not be had at once.
#[cold]
#[inline(never)]
pub(crate) fn lock_contended<E: Env, P: Policy, W: Format>(word: &AtomicU32) -> Token {
    let cpu = E::cpu();
    let nodes = E::nodes(cpu);
    nodes.count(Event::SlowPath);
    E::checkpoint(Point::Joining);

    if !P::RULES.paravirtual() && pending::take::<E>(word, nodes) {
        return Token::new(LOCKED);
    }
    let Some(context) = nodes.claim(W::CONTEXTS) else {
        return pass_over::lock_without_node::<E, P, W>(word, cpu, nodes);
    };
    let waiter = Waiter::<E, P, W> {
        word,
        cpu,
        nodes,
        node: nodes.node(context),
        tail: W::waiter(cpu, context),
        slept: Cell::new(false),
        kind: PhantomData,
    };
    pass_over::note_wait_begins::<E, P>(nodes, context);
    let token = waiter.acquire();
    pass_over::note_wait_ends::<P>(nodes, context);
    nodes.release();
    token
}

/// One CPU in one slow path.
pub(crate) struct Waiter<'a, E, P, W> {
    pub(crate) word: &'a AtomicU32,
    pub(crate) cpu: Cpu,
    pub(crate) nodes: &'static CpuNodes,
    pub(crate) node: &'static Node,
    /// This node as the tail field names it.
    pub(crate) tail: u32,
    /// Whether it has halted in this wait.
    pub(crate) slept: Cell<bool>,
    pub(crate) kind: Kind<E, P, W>,
}

/// How joining the queue turned out.
enum Joined {
    /// It was not needed: the lock was free, or could be passed on.
    Held(Token),
    /// First in line. Whoever holds the lock, if it has a name.
    First(Option<Cpu>),
    /// Behind this waiter, as the tail field named it.
    Behind(u32),
}

/// How waiting in the queue ended.
pub(crate) enum Queued {
    /// First in line now, behind this holder.
    Promoted(Option<Cpu>),
    /// Passed over the preempted ones before it, and holds the lock.
    Overtook(Token),
}

impl<E: Env, P: Policy, W: Format> Waiter<'_, E, P, W> {
    pub(crate) const PARAVIRTUAL: bool = P::RULES.paravirtual();
    pub(crate) const YIELDS: bool = matches!(P::RULES.stalls, Stalls::Yield);
    pub(crate) const MAY_FIND_HOLDS_LONG: bool = holds::may_be_long::<P>();

    /// How long to spin before something else is considered.
    pub(crate) fn patience(&self) -> Budget {
        holds::patience::<P>(self.nodes, || self.may_halt())
    }

    /// The word of a lock that this CPU holds and nobody else wants.
    pub(crate) fn alone(&self) -> u32 {
        if Self::PARAVIRTUAL {
            W::sole_holder(self.cpu) | LOCKED
        } else {
            LOCKED
        }
    }

    /// Publishes whom this CPU waits for; returns whom it waited for before. Native waiters keep
    /// that to themselves.
    pub(crate) fn set_edge(to: Option<Cpu>) -> Option<Cpu> {
        if Self::PARAVIRTUAL {
            E::set_waiting_for(to)
        } else {
            None
        }
    }

    /// Publishes whom this CPU waits for, unless its page says so already. Others redirect the edges of
    /// preempted waiters, and one that ran meanwhile and waits again finds its new edge undone.
    pub(crate) fn keep_edge(&self, to: Option<Cpu>) {
        if Self::PARAVIRTUAL && E::waiting_for(self.cpu) != to {
            E::set_waiting_for(to);
        }
    }

    fn acquire(&self) -> Token {
        match self.join() {
            Joined::Held(token) => token,
            Joined::First(holder) => {
                // An interrupt handler that waits puts the interrupted wait back when done.
                let interrupted = Self::set_edge(holder);
                self.wait_for_word(holder);
                mutate!("lose_interrupted_edge", Self::set_edge(interrupted), None);
                Token::new(self.alone())
            }
            Joined::Behind(pred) => {
                let interrupted = self.link(pred);
                let token = match self.wait_in_queue() {
                    Queued::Overtook(token) => token,
                    Queued::Promoted(holder) => {
                        self.wait_for_word(holder);
                        Token::new(self.alone())
                    }
                };
                mutate!("lose_interrupted_edge", Self::set_edge(interrupted), None);
                token
            }
        }
    }

    /// Swaps itself in as the tail, in a compare-exchange so that the rest of the word survives,
    /// and so that the first in line is named as the head in the same step.
    fn join(&self) -> Joined {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            if seen == 0 {
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
                && let Some(token) = pass_over::newcomer::<E, P, W>(self, seen)
            {
                return Joined::Held(token);
            }
            let before = W::tail(seen);
            let joined = match before {
                Tail::Waiter(..) => seen & !TAIL | self.tail,
                _ if Self::PARAVIRTUAL => seen & !(TAIL | HEAD) | self.tail | head_bits(self.cpu),
                _ => seen & !TAIL | self.tail,
            };
            // Release publishes the node's initialisation to whoever queues behind; Acquire sees
            // that of the node before, which we are about to link to.
            match self.word.compare_exchange(
                seen,
                joined,
                mutate!("weak_join", Ordering::AcqRel, Ordering::Relaxed),
                Ordering::Relaxed,
            ) {
                Err(now) => seen = now,
                Ok(_) => {
                    E::checkpoint(Point::Joined);
                    self.nodes.count(Event::Queued);
                    return match before {
                        Tail::Waiter(..) => Joined::Behind(seen & TAIL),
                        Tail::SoleHolder(holder) => Joined::First(Some(holder)),
                        Tail::Nobody => Joined::First(None),
                    };
                }
            }
        }
    }

    /// Links itself behind `pred` and publishes whom it waits for. Returns what it interrupted.
    fn link(&self, pred: u32) -> Option<Cpu> {
        // Relaxed: who edits `pred` later found this node through the link below.
        self.node.pred.store(pred, Ordering::Relaxed);
        let before = cpu_of::<W>(pred);
        let interrupted = Self::set_edge(before);
        if let Some(node) = node_of::<E, W>(pred) {
            node.built.is_known();
            // Release pairs with the acquire of the holder that promotes us.
            node.next.store(
                self.tail,
                mutate!("weak_link", Ordering::Release, Ordering::Relaxed),
            );
        }
        E::checkpoint(Point::Linked);
        interrupted
    }
}

/// Whether `cpu` was preempted a moment ago.
pub(crate) fn is_preempted<E: Env>(cpu: Cpu) -> bool {
    E::run_sample(cpu).is_preempted()
}

/// Whether `cpu` was off its pCPU a moment ago: preempted, or asleep.
pub(crate) fn is_off<E: Env>(cpu: Cpu) -> bool {
    matches!(
        E::run_sample(cpu).state(),
        RunState::Preempted | RunState::Halted
    )
}

/// Whether `holder` cannot go on by itself: it is preempted, or asleep while the one that it waits
/// for is preempted. (Who holds a lock may wait for another one.)
pub(crate) fn is_stuck<E: Env>(holder: Cpu) -> bool {
    is_stuck_at::<E>(holder, E::run_sample(holder))
}

/// Whether a holder that does this cannot go on by itself.
pub(crate) fn is_stuck_at<E: Env>(holder: Cpu, sample: RunSample) -> bool {
    match sample.state() {
        RunState::Preempted => true,
        RunState::Halted => E::waiting_for(holder).is_some_and(is_preempted::<E>),
        RunState::Running | RunState::Idle => false,
    }
}

/// Who holds a lock, as far as its word tells: it names a sole holder or the head, and the head's
/// wait-for edge names the holder.
pub(crate) fn holder_of<E: Env, W: Format>(word: u32) -> Option<Cpu> {
    match W::tail(word) {
        Tail::SoleHolder(holder) => Some(holder),
        _ if word & LOCKED == 0 => None,
        _ => head_of(word).map(|head| E::waiting_for(head).unwrap_or(head)),
    }
}

/// Who has to run for a queue to move: the holder, or whoever takes it next.
pub(crate) fn mover_of<E: Env, W: Format>(word: u32) -> Option<Cpu> {
    holder_of::<E, W>(word).or_else(|| head_of(word))
}

/// The CPU of a waiter, as the tail field names it.
pub(crate) fn cpu_of<W: Format>(tail: u32) -> Option<Cpu> {
    match W::tail(tail) {
        Tail::Waiter(cpu, _) => Some(cpu),
        Tail::SoleHolder(_) | Tail::Nobody => None,
    }
}

/// The node of a waiter, as the tail field names it.
pub(crate) fn node_of<E: Env, W: Format>(tail: u32) -> Option<&'static Node> {
    match W::tail(tail) {
        Tail::Waiter(cpu, context) => Some(E::nodes(cpu).node(context)),
        Tail::SoleHolder(_) | Tail::Nobody => None,
    }
}
