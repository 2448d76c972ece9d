//! The lock and its user-space rivals on ordinary threads.
//!
//! There is no hypervisor, real or embedded. The operating system schedules as many threads as the
//! caller asks for. All drivers run the same workload, and a thread is a
//! [`Guest`](pvqspin_load::Guest) that knows little about itself.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`catalog`] | the locks by name |
//! | `rivals` | mutexes with a guard, behind the trait of the rivals |
//! | `scoped` | a mutex whose critical section is a closure, behind the same trait |
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
