//! The reader-writer lock: readers share it, writers have it alone, and both wait in one queue.

pub(crate) mod lock;
pub(crate) mod upgrade;
mod wait;
pub(crate) mod word;
