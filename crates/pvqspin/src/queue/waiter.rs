//! One CPU in one slow path, and what the steps of that path ask of it.

use core::cell::Cell;
use core::marker::PhantomData;

use crate::atomic::AtomicU32;
use crate::env::{Budget, Env};
use crate::node::Node;
use crate::nodes::CpuNodes;
use crate::policy::{Kind, Policy, Stalls};
use crate::queue::holds;
use crate::word::{Format, LOCKED};
use pvqspin_abi::Cpu;

/// One CPU in one slow path.
pub(super) struct Waiter<'a, E, P, W> {
    pub(super) word: &'a AtomicU32,
    pub(super) cpu: Cpu,
    pub(super) nodes: &'static CpuNodes,
    pub(super) node: &'static Node,
    /// This node as the tail field names it.
    pub(super) tail: u32,
    /// Whether it has halted in this wait.
    pub(super) slept: Cell<bool>,
    kind: Kind<E, P, W>,
}

impl<'a, E: Env, P: Policy, W: Format> Waiter<'a, E, P, W> {
    pub(super) const PARAVIRTUAL: bool = P::RULES.paravirtual();
    pub(super) const YIELDS: bool = matches!(P::RULES.stalls, Stalls::Yield);

    /// The running CPU, which has claimed the node of this context.
    pub(super) fn new(
        word: &'a AtomicU32,
        cpu: Cpu,
        nodes: &'static CpuNodes,
        context: usize,
    ) -> Self {
        Self {
            word,
            cpu,
            nodes,
            node: nodes.node(context),
            tail: W::waiter(cpu, context),
            slept: Cell::new(false),
            kind: PhantomData,
        }
    }

    /// The word of a lock that this CPU holds and no other CPU wants.
    pub(super) fn alone(&self) -> u32 {
        if Self::PARAVIRTUAL {
            W::sole_holder(self.cpu) | LOCKED
        } else {
            LOCKED
        }
    }

    /// How long to spin before something else is considered.
    pub(super) fn patience(&self) -> Budget {
        holds::patience::<P>(self.nodes, || self.may_halt())
    }

    /// Whether a halt helps any CPU, and is sure to end.
    ///
    /// A host remembers one kick for each CPU. If an interrupted wait and the one that interrupted
    /// it both halted, the inner halt could use up the kick that was meant for the outer: so only
    /// the outermost wait of a CPU halts, and none in a context that may not lend its pCPU.
    pub(super) fn may_halt(&self) -> bool {
        let outermost = self.nodes.in_use() == 1;
        E::SLEEP.is_some() && E::pressure() && outermost && E::may_lend()
    }
}
