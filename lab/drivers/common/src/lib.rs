//! What the drivers share: the description of a run, the memory of a guest, and the events.
//!
//! Drivers record events into rings of a fixed size. A ring keeps the latest events and counts those
//! that it drops. After the run the driver joins its rings into one [`Trace`]. Nothing here draws a
//! trace, and nothing here depends on the driver that records it.
//!
//! ```text
//!   simulator    one ring, in virtual time      ─┐
//!                                                ├─► Trace ─► lanes, episodes, files, pictures
//!   hypervisor   one ring for each pCPU,         │
//!                one for the marks of each vCPU ─┘
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`run`] | what a run is: lock, workload, host, VM, times |
//! | [`costs`] | what a driver in real time measured about its own machine |
//! | [`guest_memory`] | pages and queue nodes of guests in the driver's own process |
//! | [`event`] | the events that every driver records |
//! | [`ring`] | the latest events, and the number of dropped ones |
//! | [`trace`] | the events of a run |

#![deny(unsafe_code)]

pub mod costs;
pub mod event;
pub mod guest_memory;
pub mod ring;
pub mod run;
pub mod trace;

pub use costs::MeasuredCosts;
pub use event::{TraceEvent, What};
pub use guest_memory::{GuestMemory, Loan};
pub use ring::Ring;
pub use run::{Run, RunProblem};
pub use trace::Trace;
