//! The word of a reader-writer lock: 32 bits that say who writes, how many read, and who is first
//! in line.
//!
//! ```text
//!  31            18 17  16  15                            0
//! +----------------+---+---+-------------------------------+
//! | first in line  | S | 0 | readers                       |   free, or read
//! +----------------+---+---+-------------------------------+
//! | writer         | S | 1 | first in line (14 bits)       |   written
//! +----------------+---+---+-------------------------------+
//!  CPUs as number + 1, 0 for none       S: the first in line sleeps and wants a kick
//! ```
//!
//! | writer bit | readers | first in line | |
//! | --- | --- | --- | --- |
//! | 0 | 0 | none | free |
//! | 0 | n | none | `n` CPUs read |
//! | 0 | n | `f` | `n` CPUs read and `f` waits to write |
//! | 0 | 0 | `f` | free, and `f`'s |
//! | 1 | | none | one CPU writes (a native lock does not say which) |
//! | 1 | | `f` | one CPU writes and `f` waits |
//!
//! 16 bits count what every CPU that has a number can hold in four contexts: 65,528.

use pvqspin_abi::Cpu;

/// How many read. While a writer holds the lock the field names the first in line instead.
pub(crate) const READERS: u32 = 0xffff;
/// A CPU writes.
pub(crate) const WRITER: u32 = 1 << 16;
/// The first in line sleeps.
pub(crate) const ASLEEP: u32 = 1 << 17;

const NAME_SHIFT: u32 = 18;
const FIRST: u32 = 0x3fff;

/// The word of a lock that `writer` holds and no other awaits.
#[inline]
pub(crate) const fn written_by(writer: Cpu) -> u32 {
    writer.plus_one() << NAME_SHIFT | WRITER
}

/// Who writes, if it has a name.
pub(crate) const fn writer_of(word: u32) -> Option<Cpu> {
    if word & WRITER == 0 {
        return None;
    }
    Cpu::from_plus_one(word >> NAME_SHIFT)
}

/// Who is first in line.
pub(crate) const fn first_of(word: u32) -> Option<Cpu> {
    if word & WRITER == 0 {
        Cpu::from_plus_one(word >> NAME_SHIFT)
    } else {
        Cpu::from_plus_one(word & FIRST)
    }
}

/// How many read.
pub(crate) const fn readers_of(word: u32) -> u32 {
    if word & WRITER == 0 {
        word & READERS
    } else {
        0
    }
}

/// The word with `first` named as the first in line.
pub(crate) const fn with_first(word: u32, first: Cpu) -> u32 {
    if word & WRITER == 0 {
        word & !(FIRST << NAME_SHIFT) | first.plus_one() << NAME_SHIFT
    } else {
        word & !FIRST | first.plus_one()
    }
}

/// The word after its writer has left: the first in line stays so.
pub(crate) const fn without_writer(word: u32) -> u32 {
    (word & FIRST) << NAME_SHIFT | word & ASLEEP
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use pvqspin_abi::MAX_CPUS;

    #[test]
    fn every_cpu_can_write_and_be_first_in_line() {
        for index in 0..MAX_CPUS {
            let cpu = Cpu::new(index).expect("in range");
            let other = Cpu::new(MAX_CPUS - 1 - index).expect("in range");
            let written = with_first(written_by(cpu), other) | ASLEEP;
            assert_eq!(writer_of(written), Some(cpu));
            assert_eq!(first_of(written), Some(other));
            assert_eq!(readers_of(written), 0);
            let free = without_writer(written);
            assert_eq!((writer_of(free), first_of(free)), (None, Some(other)));
            assert_eq!(readers_of(free), 0);
            assert_eq!(free & ASLEEP, ASLEEP, "the wish for a kick stays");
        }
        assert_eq!(without_writer(WRITER), 0);
    }

    #[test]
    fn readers_and_the_first_in_line_leave_each_other_alone() {
        let cpu = Cpu::new(MAX_CPUS - 1).expect("in range");
        for readers in [0, 1, READERS] {
            let word = with_first(readers | ASLEEP, cpu);
            assert_eq!(first_of(word), Some(cpu));
            assert_eq!(readers_of(word), readers);
            assert_eq!(writer_of(word), None);
        }
        assert!(4 * MAX_CPUS < READERS as usize, "all contexts of all CPUs");
    }
}
