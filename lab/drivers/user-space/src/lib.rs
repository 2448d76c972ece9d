//! The lock and its user-space rivals in an ordinary process, without a hypervisor.
//!
//! | module | what it measures |
//! | --- | --- |
//! | [`threads`] | throughput and waits of contending threads, scheduled by the operating system |
//! | [`uncontended`] | the cost of lock plus unlock of one thread, in time and in instructions |

pub mod threads;
pub mod uncontended;
