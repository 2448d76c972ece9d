//! The lock and its user-space rivals on ordinary threads.
//!
//! No hypervisor, real or embedded: as many threads as are asked for, scheduled by the operating
//! system as it pleases. The workload is the one of all other drivers: to it, a thread is a
//! [`Guest`](pvqspin_load::Guest) that knows little about itself.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`catalog`] | the locks by name |
//! | `rivals` | mutexes with a guard, behind the peers' trait |
//! | `scoped` | a mutex whose critical section is a closure, behind the same
//! | `thread` | a thread as the workload sees it |
//! | `work` | the calibrated loop that stands for work |
//! | [`run`](mod@run) | one run: threads, warm-up, measuring, the end |

pub mod catalog;
mod rivals;
pub mod run;
mod scoped;
mod thread;
mod work;

pub use catalog::{CATALOG, Entry, LockId};
pub use run::{MAX_THREADS, RunConfig, RunError, run};
