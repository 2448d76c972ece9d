//! One value for each CPU, each in cache lines of its own.

use alloc::boxed::Box;

use pvqspin::Cpu;

/// 128 bytes, because x86 prefetches lines in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct OwnLine<T>(T);

/// Values for CPUs `0..cpus`.
#[derive(Debug)]
pub(crate) struct PerCpu<T>(Box<[OwnLine<T>]>);

impl<T: Default> PerCpu<T> {
    pub(crate) fn new(cpus: usize) -> Self {
        Self((0..cpus).map(|_| OwnLine::default()).collect())
    }

    /// The value of `cpu`.
    ///
    /// # Panics
    ///
    /// If the lock was not made for so many CPUs, which breaks the contract of
    /// [`Lock::new`](crate::Lock::new).
    #[inline]
    pub(crate) fn of(&self, cpu: Cpu) -> &T {
        self.at(cpu.index())
    }

    /// The value of this number. Panics as [`of`](Self::of) does.
    #[inline]
    pub(crate) fn at(&self, index: usize) -> &T {
        &self.0[index].0
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// All values, with the number of their CPU.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Option<Cpu>, &T)> {
        let numbered = self.0.iter().enumerate();
        numbered.map(|(index, line)| (Cpu::new(index), &line.0))
    }
}
