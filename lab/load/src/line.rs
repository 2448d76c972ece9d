//! A cache line of data that locks guard.

use core::sync::atomic::Ordering::Relaxed;
use core::sync::atomic::{AtomicU32, AtomicU64};

use pvqspin_abi::Cpu;

use crate::guest::Guest;

/// A number in lines of its own, written by the holder of its lock.
///
/// On real memory the line travels to the CPU that uses it. An environment without real memory is told
/// from where, and charges for the way: see [`Guest::fetch_line`].
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Line {
    value: AtomicU64,
    /// Who wrote it last, as `cpu + 1`.
    writer: AtomicU32,
}

impl Line {
    /// A line with this number in it.
    #[must_use]
    pub const fn new(value: u64) -> Self {
        Self {
            value: AtomicU64::new(value),
            writer: AtomicU32::new(0),
        }
    }

    /// Reads it.
    #[inline]
    pub fn read<E: Guest>(&self, me: Cpu) -> u64 {
        if let Some(writer) = Cpu::from_plus_one(self.writer.load(Relaxed))
            && writer != me
        {
            E::fetch_line(writer);
        }
        self.value.load(Relaxed)
    }

    /// Reads and writes it.
    #[inline]
    pub fn change<E: Guest>(&self, me: Cpu, to: impl FnOnce(u64) -> u64) {
        // Load and store instead of one atomic step: the lock holder is alone.
        let value = self.read::<E>(me);
        self.value.store(to(value), Relaxed);
        self.writer.store(me.plus_one(), Relaxed);
    }

    /// What is in it, for readers outside of the lock.
    #[must_use]
    pub fn value(&self) -> u64 {
        self.value.load(Relaxed)
    }
}
