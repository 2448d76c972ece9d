//! The lock, step by step on one thread: a scripted environment plays all CPUs and the host. What
//! the lock tells the host is recorded and compared.

#![cfg(not(loom))]

#[path = "../world/mod.rs"]
mod world;

mod edges;
mod locks;
mod one_waiter;
mod pass_over;
mod sleep;
