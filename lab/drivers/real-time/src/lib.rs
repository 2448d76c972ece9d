//! What a driver in real time stands on, whatever runs its guests.
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`config`], [`problem`] | whether a run makes sense in real time, and its times |
//! | [`tally`] | what is counted outside of the guests' own records |
//! | [`patience`] | noticing that a run has stopped getting anywhere |
//! | [`skipped`] | tests that a machine cannot run |
//! | [`noise`] | what this machine's own scheduler took meanwhile |
//! | `affinity` | which CPUs there are, and threads that stay on one |
//! | `clock` | the time-stamp counter in nanoseconds |
//! | `compute` | work of so many nanoseconds, calibrated |
//! | `timer` | signals that end slices |
//!
//! The last four, and half of `noise`, are for Linux on x86-64 only.

#![doc(test(attr(deny(warnings))))]

pub mod config;
pub mod noise;
pub mod patience;
pub mod problem;
pub mod skipped;
pub mod tally;

pub use noise::Noise;
pub use problem::{ConfigProblem, MIN_SLICE_NS};
pub use tally::Tally;

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod affinity;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod clock;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod compute;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub mod timer;
