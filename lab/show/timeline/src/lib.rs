//! What can be seen in a trace, whichever driver recorded it.
//!
//! ```text
//!   Trace ──► Scene ──┬──► a file for Perfetto                 perfetto, wire
//!            (replay) ├──► episodes ──► words ──► a terminal   episode, story, strip
//!                     └──► two scenes side by side             picture
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`scene`] | who was where and did what: spans, stays, calls |
//! | [`replay`] | from events to a scene |
//! | [`episode`] | a holder that lost its pCPU, a lock that waited for a sleeper |
//! | [`story`] | an episode in words |
//! | [`strip`] | an episode as lanes of characters |
//! | [`perfetto`], [`wire`] | a file for Perfetto, and the messages of its format |
//! | [`picture`] | an SVG of one event under two locks |

#![deny(unsafe_code)]

pub mod episode;
pub mod perfetto;
pub mod picture;
pub mod replay;
#[cfg(test)]
mod replay_tests;
#[cfg(test)]
mod samples;
pub mod scene;
pub mod story;
pub mod strip;
mod vcpu;
pub mod wire;

pub use episode::{Episode, Trouble};
pub use scene::{Call, CallKind, Doing, Lane, Place, Scene, Span, Stay, Why};
