//! The native queued spinlock: a pending bit for the second in line, an MCS queue behind it.
//!
//! Linux's default since 4.2 (Waiman Long, Peter Zijlstra, 2015), on bare metal and in guests that
//! are told that their CPUs are dedicated. It is our own lock under the policy
//! [`Native`](pvqspin::Native): there the two do the same, and a second copy would only be
//! another thing to get wrong.
//!
//! Against the original: whole-word atomics instead of byte and half-word stores, except in the
//! release.

/// The native queued lock.
pub type NativeQueued<E> = pvqspin::QSpinLock<E, pvqspin::Native, pvqspin::Idx3>;
