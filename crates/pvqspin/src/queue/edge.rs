//! The wait-for edge of the running CPU: which CPU it waits for, in its page, for the host.
//!
//! ```text
//!   task waits for A       edge: A
//!     interrupt handler
//!       waits for B        edge: B        `Edge::to(B)` remembers A
//!       takes it           edge: none     withdrawn before the step that takes the lock
//!       goes on            edge: A        the `Edge` is dropped
//!   task waits for A
//! ```
//!
//! A page has one edge, that of the innermost wait. Which CPU *this* wait is about does not depend
//! on it: the node of the wait has it as `pred` (see [`look`](super::look)).

use core::marker::PhantomData;

use crate::env::Env;
use crate::policy::Policy;
use pvqspin_abi::Cpu;

/// The edge of one wait. Puts the edge of the wait that it interrupted back when it is dropped.
/// Native waiters keep it to themselves, and it compiles to nothing.
pub(crate) struct Edge<E: Env, P: Policy> {
    interrupted: Option<Cpu>,
    kind: PhantomData<fn() -> (E, P)>,
}

impl<E: Env, P: Policy> Edge<E, P> {
    /// Publishes that this CPU waits for `target`.
    pub(crate) fn to(target: Option<Cpu>) -> Self {
        Self {
            interrupted: Self::publish(target),
            kind: PhantomData,
        }
    }

    /// Publishes another target.
    pub(crate) fn set(&self, target: Option<Cpu>) {
        Self::publish(target);
    }

    /// Publishes the target unless the page says so already. Other CPUs redirect the edges of
    /// preempted waiters, and one that ran meanwhile and waits again finds its new edge undone.
    pub(crate) fn keep(&self, cpu: Cpu, target: Option<Cpu>) {
        if P::RULES.paravirtual() && E::waiting_for(cpu) != target {
            E::set_waiting_for(target);
        }
    }

    /// Waits for no CPU: before the step that makes this CPU the holder. One that is preempted
    /// with its old edge would send the host on to the previous holder.
    pub(crate) fn withdraw(&self) {
        Self::publish(None);
    }

    fn publish(target: Option<Cpu>) -> Option<Cpu> {
        if P::RULES.paravirtual() {
            E::set_waiting_for(target)
        } else {
            None
        }
    }
}

impl<E: Env, P: Policy> Drop for Edge<E, P> {
    fn drop(&mut self) {
        Self::publish(self.interrupted);
    }
}
