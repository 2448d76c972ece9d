//! A fair queued spinlock for kernels that run in virtual machines.
//!
//! # Background
//!
//! A spinlock assumes that its holder runs. In a virtual machine with more virtual than physical
//! CPUs it often does not: the hypervisor preempts the vCPU that holds the lock (lock-holder
//! preemption), or a fair lock is handed to a waiter that is off its pCPU (lock-waiter
//! preemption), and all others burn time slices. Kernels fell back to unfair locks, which
//! starve.
//!
//! # What this lock does about it
//!
//! A queued spinlock knows which CPU waits for which. This one **tells the hypervisor**: a waiter that
//! sees its target preempted puts the target's number into a hypercall, and the hypervisor runs
//! that vCPU at once, on the caller's pCPU. The holder's number stands in the unused tail bits of
//! the lock word as long as there is no queue, the head's in bits of its own. The idea is from a
//! mail by Radim Krčmář to the Linux kernel list, of May 2014.
//!
//! Strict FIFO then loses no throughput to an unfair lock, and no CPU waits for long.
//!
//! Order and bounds are of those in line. Where [`Env::LOOKS`] is not 0 (it is by default), a CPU first looks
//! that often at a held lock without a queue, and has no place in line meanwhile.
//!
//! # Using it
//!
//! 1. Implement [`Env`] for your kernel: the CPU number, the nodes, how to spin. A guest adds the
//!    hypercalls.
//! 2. Use [`Mutex`], or `lock_api::Mutex` with [`QSpinLock`] as the raw mutex, or
//!    [`irq::IrqLock`] where interrupt handlers take the lock too.
//! 3. Choose a policy: [`Native`] for bare metal, [`Fifo`] for a host that keeps the contract of a
//!    directed yield, [`Bounded`] for one that takes hints, or that is not known. [`mode`] chooses at
//!    boot.
//!
//! # Index
//!
//! | | |
//! | --- | --- |
//! | the locks | [`QSpinLock`], [`Mutex`], [`irq::IrqLock`], [`QRwLock`], [`RwLock`] |
//! | the world | [`Env`], [`CpuNodes`], [`mode`] |
//! | worlds that are there | [`bare`], `kvm`, `threads`, `worlds` (Power, Xen, Hyper-V, Arm) |
//! | waiting | [`Policy`], [`Rules`], [`Fifo`], [`FifoHalt`], [`FifoHolder`], [`Bounded`], [`Native`] |
//! | the word | [`word`], [`Idx3`], [`SpareBit`] |
//! | a kernel on KVM | `kvm`, with the feature of that name |
//! | ordinary threads | `threads`, with the feature `std` |
//! | looking inside | [`Event`], [`events`], [`report`] |
//!
//! # Contexts
//!
//! Each CPU has a node for each context in which it can queue: task, softirq, hardirq. With
//! [`Idx3`] a fourth (an NMI that interrupts three spinning contexts) does not queue: it takes the
//! lock past the queue, which is counted ([`Event::NodeExhausted`]), names itself as the holder,
//! and never waits behind its own CPU. With [`SpareBit`] the fourth context queues as well, and a
//! fifth would fall back. As everywhere, a lock that an interrupt handler takes must be taken with
//! that interrupt masked, and an NMI may only ever [`try_lock`](QSpinLock::try_lock) a lock that
//! other contexts take.
//!
//! # Limits
//!
//! Rust's memory model has no racing accesses of different sizes, so a release is a
//! read-modify-write where Linux stores a byte. A `lock_api` 0.4 mutex is 8 bytes instead of 4, and
//! there is no `lock_api` 0.4 reader-writer lock: its guards carry nothing, and what several readers
//! must remember has no place in the lock.
//!
//! # Features
//!
//! All are additive: `lock_api` (default), `lock_api_04`, `counters`, `byte_release`, `kvm` for kernels on
//! KVM (x86-64), `worlds` for kernels on Power, Xen, Hyper-V and Arm (targets with 64-bit atomics), `std` for
//! the lock in ordinary threads (`threads`), and `lockdep` (order checking: it makes locks larger and slower,
//! and is for debug builds of a kernel).

#![no_std]
#![doc(test(attr(deny(warnings))))]

#[cfg(feature = "std")]
extern crate std;

#[cfg(not(target_has_atomic = "32"))]
compile_error!("pvqspin needs atomic exchanges of 32 bits, which this target does not have");
#[cfg(all(feature = "worlds", not(target_has_atomic = "64")))]
compile_error!(
    "the feature `worlds` needs atomics of 64 bits, which this target does not have: hosts write times of 64 bits"
);

#[macro_use]
mod atomic;

mod api;
#[cfg(not(loom))]
pub mod bare;
pub mod env;
pub mod events;
#[cfg(all(
    any(all(feature = "kvm", target_arch = "x86_64"), feature = "worlds"),
    not(loom)
))]
mod guest;
#[cfg(all(feature = "kvm", target_arch = "x86_64", not(loom)))]
pub mod kvm;
mod lock;
#[cfg(feature = "lockdep")]
pub mod lockdep;
#[cfg(not(feature = "lockdep"))]
#[path = "lockdep/off.rs"]
mod lockdep;
pub mod mode;
mod node;
mod nodes;
pub mod policy;
mod queue;
pub mod report;
mod rw;
#[cfg(all(feature = "std", not(loom)))]
pub mod threads;
mod token;
pub mod word;
#[cfg(all(feature = "worlds", not(loom)))]
pub mod worlds;

pub use api::cell::{MutexOf, RwLockOf};
pub use api::guard::{Guard, MappedGuard};
pub use api::irq;
pub use api::mutex::{Mutex, MutexGuard};
pub use api::raw::{RawLock, RawRwLock};
#[cfg(all(feature = "lock_api_04", not(loom)))]
pub use api::raw_mutex_04::RawMutex04;
pub use api::rw_guard::{
    MappedReadGuard, MappedWriteGuard, ReadGuard, UpgradableGuard, WriteGuard,
};
pub use api::rwlock::{RwLock, RwLockReadGuard, RwLockWriteGuard};
pub use env::{Budget, Env, Point, Sleep};
pub use events::Event;
pub use lock::QSpinLock;
pub use node::{NodeLook, NodeState};
pub use nodes::CpuNodes;
pub use policy::{Bounded, Fifo, FifoHalt, FifoHolder, Names, Native, Policy, Rules, Stalls};
pub use pvqspin_abi::{AtomicCpu, Cpu, Generation, Hint, MAX_CPUS, RunSample, RunState, Status};
pub use rw::lock::QRwLock;
pub use rw::token::{ReadToken, UpgradableToken, WriteToken};
pub use token::Token;
pub use word::{Format, Idx3, SpareBit, Tail};
