//! The forms in which callers use the locks: with data, with interrupts masked, for `lock_api`.

pub(crate) mod cell;
pub(crate) mod guard;
pub mod irq;
mod irq_lock;
mod irq_rwlock;
pub(crate) mod mutex;
pub(crate) mod raw;
#[cfg(all(feature = "lock_api", not(loom)))]
mod raw_mutex;
#[cfg(all(feature = "lock_api_04", not(loom)))]
pub(crate) mod raw_mutex_04;
#[cfg(all(feature = "lock_api", not(loom)))]
mod raw_rwlock;
pub(crate) mod rw_guard;
pub(crate) mod rwlock;
