//! What happens in a run, event by event: one vocabulary for every driver.
//!
//! Drivers record events into rings of a fixed size, which keep the latest and count what they drop;
//! after the run the rings are put together into one [`Trace`]. What can be seen in a trace is the
//! business of others: nothing here draws, and nothing here knows which driver it serves.
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
//! | [`event`] | the vocabulary |
//! | [`ring`] | the latest events, and how many were dropped |
//! | [`trace`] | the events of a run |

#![deny(unsafe_code)]

pub mod event;
pub mod ring;
pub mod trace;

pub use event::{TraceEvent, What};
pub use ring::Ring;
pub use trace::Trace;
