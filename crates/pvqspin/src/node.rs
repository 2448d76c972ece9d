//! A queue node: what its owner and its neighbours in the queue tell each other.
//!
//! ```text
//!              promoted by the new holder
//!   WAITING ------------------------------> HEAD
//!     |  ^                                   ^
//!     |  | woken early                       | promoted; the promoter also asks the word
//!     v  |                                   | for a kick at the next release, or
//!   HALTED ----------------------------------+ kicks at once if no vCPU wants a pCPU
//! ```

use crate::atomic::{AtomicU32, Built, Ordering};

/// The states of a node.
pub(crate) mod state {
    /// Its owner waits for the node, awake.
    pub(crate) const WAITING: u32 = 0;
    /// Its owner has halted, or is about to.
    pub(crate) const HALTED: u32 = 1;
    /// Its owner is the head of the queue: it waits for the lock word now.
    pub(crate) const HEAD: u32 = 2;
}

/// One queue node.
#[derive(Debug)]
#[repr(C)]
pub(crate) struct Node {
    pub(crate) state: AtomicU32,
    pub(crate) next: AtomicU32,
    pub(crate) pred: AtomicU32,
    pub(crate) built: Built,
}

impl Node {
    const_unless_loom! {
        pub(crate) fn new() -> Self {
            Self {
                state: AtomicU32::new(state::WAITING),
                next: AtomicU32::new(0),
                pred: AtomicU32::new(0),
                built: Built::new(),
            }
        }
    }

    /// Makes the node ready to be published.
    pub(crate) fn reset(&self) {
        // Relaxed: the tail exchange that publishes the node releases these stores.
        self.state.store(state::WAITING, Ordering::Relaxed);
        self.next.store(0, Ordering::Relaxed);
        self.pred.store(0, Ordering::Relaxed);
        self.built.by_owner();
    }
}

/// What the owner of a node is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeState {
    /// It waits for the node, awake. (The first to queue waits for the word, and its node says the
    /// same.)
    Waiting,
    /// It has halted, or is about to.
    Halted,
    /// It was made the head of the queue.
    Head,
}

/// A look at a node: see [`CpuNodes::look`](crate::CpuNodes::look).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NodeLook {
    /// Whether the CPU is in a slow path with it.
    pub in_use: bool,
    /// What its owner is about.
    pub state: NodeState,
    /// Who queued behind, as [`Format::tail`](crate::Format::tail) reads it; 0: none yet.
    pub next: u32,
    /// Who queued before, in the same way.
    pub pred: u32,
}
