//! What a vCPU asks of the event loop, and the answer.

use pvqspin_abi::{Hypercall, Status};

/// A condition on the stack of a vCPU that spins on it.
pub(crate) type Condition = *mut dyn FnMut() -> bool;

/// Why a vCPU gives control back.
pub(crate) enum Request {
    /// It computes for so long.
    Compute(u64),
    /// It spins until the condition holds or so much of its own time is gone.
    Spin(Condition, Option<u32>),
    /// It calls the hypervisor.
    Call(Hypercall),
    /// It loses its pCPU here.
    Lose,
}

/// What a vCPU learns when it goes on.
#[derive(Clone, Copy)]
pub(crate) struct Reply {
    /// Whether the condition that it spun on held.
    pub(crate) held: bool,
    /// What became of its hypercall.
    pub(crate) status: Status,
}
