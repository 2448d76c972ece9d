//! What guests do, and what is measured about it.
//!
//! The same code runs in every driver: on the embedded hypervisor, in a simulator, in a KVM
//! guest. It needs no standard library and allocates nothing while it runs. What it measures, it
//! measures from inside the guest, so that every driver measures the same thing.
//!
//! ```text
//!   driver                        one vCPU                          afterwards
//!   Control: Warmup ─► Measure ─► Stop
//!                    │
//!                    └──────────► Workload::run_vcpu ─► Record ──► summarise ──► Outcome
//!                                   made of Worker's steps
//!                                 Neighbour::run_vcpu ► NeighbourRecord
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | [`control`] | the phase of a run: warm-up, measure, stop |
//! | `compute` | the loop that stands for work (x86-64) |
//! | [`section`] | how long a section lasts: fixed, uniform, exponential |
//! | [`catalog`] | every workload, by name, with its defaults and its unit |
//! | [`workload`] | what every workload is |
//! | [`worker`] | one virtual CPU at work, and what it measures: the steps of every workload |
//! | [`guarded`] | a lock with the proof that it excludes |
//! | [`timer`] | an interrupt that comes while a virtual CPU waits |
//! | [`line`](mod@line) | a cache line of data behind a lock |
//! | [`zipf`] | few things are wanted often, most seldom |
//! | [`hot_lock`] | all want one lock |
//! | [`two_lines`], [`hash_table`], [`lock2`], [`locktorture`], [`leveldb`], [`kernel_build`], [`nested_contexts`], [`two_locks`], [`halted`] | the other workloads, one each |
//! | [`neighbour`] | a VM beside it that takes no locks |
//! | [`faults`] | preemptions at chosen points |
//! | [`own_time`] | what passes while a virtual CPU is on a pCPU |
//! | [`record`] | what one virtual CPU writes down |
//! | [`histogram`] | counts of durations, to 2 % |
//! | [`outcome`] | what all records say together |

#![no_std]
#![deny(unsafe_code)]
#![doc(test(attr(deny(warnings))))]
extern crate alloc;

pub mod catalog;
#[cfg(target_arch = "x86_64")]
pub mod compute;
pub mod control;
pub mod faults;
pub mod guarded;
pub mod guest;
pub mod halted;
pub mod hash_table;
pub mod histogram;
pub mod hot_lock;
pub mod kernel_build;
pub mod leveldb;
pub mod line;
pub mod lock2;
pub mod locktorture;
pub mod neighbour;
pub mod nested_contexts;
pub mod outcome;
pub mod own_time;
pub mod record;
pub mod section;
pub mod setup;
#[cfg(test)]
mod test_env;
pub mod timer;
pub mod two_lines;
pub mod two_locks;
pub mod worker;
pub mod workload;
pub mod zipf;

pub use control::{Control, Phase};
pub use faults::{Fault, Faults, Passing};
pub use guest::Guest;
pub use neighbour::{Neighbour, NeighbourKind, NeighbourRecord, NeighbourVm};
pub use outcome::{
    Hypercalls, LockLoad, Outcome, Quantiles, YieldResults, bound_per_s, summarise, waits_over,
};
pub use record::Record;
pub use section::{Distribution, Section};
pub use setup::WorkloadConfig;
pub use worker::Worker;
pub use workload::{Account, Workload, WorkloadId};
