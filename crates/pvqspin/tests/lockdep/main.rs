//! The order checker: each finding once, and none where the order is good.

#![cfg(all(feature = "lockdep", not(loom)))]

#[path = "../alone/mod.rs"]
mod alone;
#[path = "../world/mod.rs"]
mod world;

mod found;
mod handlers;
mod hooks_that_panic;
mod orders;
