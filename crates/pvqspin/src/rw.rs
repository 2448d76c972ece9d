//! The reader-writer lock: readers share it, writers have it alone, and both wait in one queue.
//!
//! `lock` is what it consists of. One acquisition: `fast`, then `slow` and `front` if it has to wait. One
//! release: `fast`, then `leave` if another CPU waits.

mod fast;
mod front;
mod leave;
pub(crate) mod lock;
mod slow;
pub(crate) mod token;
mod upgrade;
pub(crate) mod word;
