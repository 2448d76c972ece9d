//! Virtual CPU numbers.

use core::fmt;
use core::sync::atomic::{AtomicU16, Ordering::Relaxed};

/// How many virtual CPUs a lock word can name: 14 bits hold `cpu + 1`, and 0 means none.
pub const MAX_CPUS: usize = (1 << 14) - 2;

/// The number of a virtual CPU inside its own virtual machine, from 0.
///
/// One machine can never name a CPU of another: the number means nothing outside.
///
/// ```
/// use pvqspin_abi::{Cpu, MAX_CPUS};
///
/// assert_eq!(Cpu::new(3).map(Cpu::index), Some(3));
/// assert_eq!(Cpu::new(MAX_CPUS), None);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct Cpu(u16);

impl Cpu {
    /// The first CPU: the one that boots, in most kernels.
    pub const ZERO: Self = Self(0);

    /// The virtual CPU with this number, or `None` if no lock word could name it.
    #[must_use]
    #[inline]
    pub const fn new(index: usize) -> Option<Self> {
        if index < MAX_CPUS {
            // The bound is below 2^14, so the cast keeps every bit.
            Some(Self(index as u16))
        } else {
            None
        }
    }

    /// The number, from 0.
    #[must_use]
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// `number + 1`: the form in which words and pages store a CPU, so that 0 can mean none.
    #[must_use]
    #[inline]
    pub const fn plus_one(self) -> u32 {
        self.0 as u32 + 1
    }

    /// The inverse of [`plus_one`](Self::plus_one); `None` for 0 and for anything out of range.
    ///
    /// ```
    /// use pvqspin_abi::Cpu;
    ///
    /// assert_eq!(Cpu::from_plus_one(0), None);
    /// assert_eq!(Cpu::from_plus_one(8), Cpu::new(7));
    /// assert_eq!(Cpu::from_plus_one(u32::MAX), None);
    /// ```
    #[must_use]
    #[inline]
    pub const fn from_plus_one(raw: u32) -> Option<Self> {
        if raw == 0 || raw as usize > MAX_CPUS {
            None
        } else {
            Some(Self(raw as u16 - 1))
        }
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl fmt::Debug for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cpu{}", self.0)
    }
}

/// A CPU number in memory, from which a CPU reads its own: checked once, when it is stored.
///
/// A kernel that keeps a plain integer in its per-CPU area has to check it at every look
/// ([`Cpu::new`]), and pays four instructions for each lock that it takes. Nothing but a [`Cpu`]
/// gets in here, so what comes out needs no check.
///
/// Loads and stores are relaxed: a number orders nothing.
///
/// ```
/// use pvqspin_abi::{AtomicCpu, Cpu};
///
/// struct PerCpu {
///     number: AtomicCpu,
/// }
///
/// let boot = PerCpu { number: AtomicCpu::new(Cpu::ZERO) };
/// assert_eq!(boot.number.load().index(), 0);
/// boot.number.store(Cpu::new(7).unwrap());
/// assert_eq!(boot.number.load().index(), 7);
/// ```
#[derive(Debug)]
#[repr(transparent)]
pub struct AtomicCpu(AtomicU16);

impl AtomicCpu {
    /// Holds `cpu`.
    #[must_use]
    pub const fn new(cpu: Cpu) -> Self {
        Self(AtomicU16::new(cpu.0))
    }

    /// The CPU that was stored last.
    #[must_use]
    #[inline]
    pub fn load(&self) -> Cpu {
        // In range: every value in here came out of a `Cpu`.
        Cpu(self.0.load(Relaxed))
    }

    /// Holds `cpu` from now on.
    #[inline]
    pub fn store(&self, cpu: Cpu) {
        self.0.store(cpu.0, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_is_loaded() {
        let place = AtomicCpu::new(Cpu::ZERO);
        for index in [0, 1, 255, 256, MAX_CPUS - 1] {
            let cpu = Cpu::new(index).expect("in range");
            place.store(cpu);
            assert_eq!(place.load(), cpu);
            assert_eq!(AtomicCpu::new(cpu).load(), cpu);
        }
    }

    #[test]
    fn every_number_survives_the_stored_form() {
        for index in 0..MAX_CPUS {
            let cpu = Cpu::new(index).expect("in range");
            assert_eq!(Cpu::from_plus_one(cpu.plus_one()), Some(cpu));
            assert!(cpu.plus_one() < 1 << 14);
        }
    }

    #[test]
    fn what_a_word_cannot_hold_is_refused() {
        assert_eq!(Cpu::new(MAX_CPUS), None);
        assert_eq!(Cpu::from_plus_one(MAX_CPUS as u32 + 1), None);
    }
}
