//! Everything contended: joining the queue, waiting in it, taking the lock, releasing it.

pub(crate) mod ask;
mod at_head;
pub(crate) mod holds;
mod in_queue;
pub(crate) mod join;
pub(crate) mod pass_over;
mod pending;
pub(crate) mod release;
