//! Looking at a lock and at the CPUs around it: who holds it, who is off its pCPU, what blocks it.
//!
//! All of it is advice, and may be stale when it returns.
//!
//! Who holds a lock follows from its word and from the node of its head, [`Held`] first:
//!
//! | the word | the holder |
//! | --- | --- |
//! | `Sole(h)` | `h` |
//! | `Past(h)` | `h` |
//! | `Queued`, the head known | the CPU that was in line before the head: `pred` of its node |
//!
//! The edge in the head's page names the same CPU, but only while the head has not been interrupted
//! by a handler that waits for another lock. A node belongs to one wait, and knows.

use crate::atomic::Ordering;
use crate::env::Env;
use crate::node::Node;
use crate::word::{Format, Held, Tail};
use pvqspin_abi::{Cpu, RunSample, RunState};

/// A CPU, and what it was doing when it was looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) cpu: Cpu,
    pub(crate) sample: RunSample,
}

impl Seen {
    /// Looks at `cpu`.
    pub(crate) fn at<E: Env>(cpu: Cpu) -> Self {
        Self {
            cpu,
            sample: E::run_sample(cpu),
        }
    }

    pub(crate) const fn state(&self) -> RunState {
        self.sample.state()
    }

    pub(crate) const fn is_preempted(&self) -> bool {
        matches!(self.state(), RunState::Preempted)
    }

    /// Whether it was off its pCPU: preempted, or asleep.
    pub(crate) const fn is_off(&self) -> bool {
        matches!(self.state(), RunState::Preempted | RunState::Halted)
    }

    /// Whether it cannot go on by itself: it is preempted, or asleep while the CPU that it waits for
    /// is preempted. (The holder of a lock may wait for another one.)
    pub(crate) fn is_stuck<E: Env>(&self) -> bool {
        match self.state() {
            RunState::Preempted => true,
            RunState::Halted => E::waiting_for(self.cpu).is_some_and(is_preempted::<E>),
            RunState::Running | RunState::Idle => false,
        }
    }
}

/// Whether `cpu` was preempted a moment ago.
pub(crate) fn is_preempted<E: Env>(cpu: Cpu) -> bool {
    E::run_sample(cpu).is_preempted()
}

/// Whether `cpu` was off its pCPU a moment ago: preempted, or asleep.
pub(crate) fn is_off<E: Env>(cpu: Cpu) -> bool {
    Seen::at::<E>(cpu).is_off()
}

/// Whether `cpu` cannot go on by itself: see [`Seen::is_stuck`].
pub(crate) fn is_stuck<E: Env>(cpu: Cpu) -> bool {
    Seen::at::<E>(cpu).is_stuck::<E>()
}

/// Which CPU holds a paravirtual lock with this word: see the module.
pub(crate) fn holder_of<E: Env, W: Format>(word: u32) -> Option<Cpu> {
    match Held::in_paravirtual::<W>(word) {
        Held::Sole(holder) | Held::Past(holder) => Some(holder),
        Held::Queued {
            head: Some(head), ..
        } => {
            let nodes = E::nodes(head);
            // In one wait it is this one. In several, one inside the other, the word does not say
            // which of them is for this lock: then the page's edge has to do.
            let exact = (nodes.in_use() == 1)
                .then(|| cpu_in_line_before::<W>(nodes.node(0)))
                .flatten();
            exact.or_else(|| E::waiting_for(head)).or(Some(head))
        }
        Held::Queued { head: None, .. } | Held::Free | Held::HandedTo(_) | Held::Unnamed { .. } => {
            None
        }
    }
}

/// The CPU that a waiter found in the tail when it joined, or that stands before it since.
pub(crate) fn cpu_in_line_before<W: Format>(node: &Node) -> Option<Cpu> {
    match W::tail(node.pred.load(Ordering::Relaxed)) {
        Tail::Waiter(cpu, _) | Tail::SoleHolder(cpu) => Some(cpu),
        Tail::Empty => None,
    }
}

/// Which CPU has to run for a queue to move: the holder, or the head that takes it next.
pub(crate) fn mover_of<E: Env, W: Format>(word: u32) -> Option<Cpu> {
    holder_of::<E, W>(word).or_else(|| Held::in_paravirtual::<W>(word).head())
}

/// The CPU of a waiter, as the tail field names it.
pub(crate) fn cpu_of<W: Format>(tail: u32) -> Option<Cpu> {
    match W::tail(tail) {
        Tail::Waiter(cpu, _) => Some(cpu),
        Tail::SoleHolder(_) | Tail::Empty => None,
    }
}

/// The node of a waiter, as the tail field names it.
pub(crate) fn node_of<E: Env, W: Format>(tail: u32) -> Option<&'static Node> {
    match W::tail(tail) {
        Tail::Waiter(cpu, context) => Some(E::nodes(cpu).node(context)),
        Tail::SoleHolder(_) | Tail::Empty => None,
    }
}
