//! The report of a reader-writer lock.

use core::fmt;

use super::{Chain, CpuReport, Report, exists};
use crate::env::Env;
use crate::policy::Policy;
use crate::queue::age;
use crate::rw::lock::QRwLock;
use crate::rw::word::{ASLEEP, READERS, WRITER, first_of, readers_of, writer_of};
use crate::word::Format;
use pvqspin_abi::Cpu;

/// How many readers a report names.
pub const READERS_SHOWN: usize = 8;

/// A look at a [`QRwLock`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RwReport {
    /// The word.
    pub word: u32,
    /// Who writes, if it has a name.
    pub writer: Option<CpuReport>,
    /// Which CPU the writer waits for itself.
    pub chain: Option<Chain>,
    /// How many read.
    pub readers: u32,
    /// Who is first in line for the word.
    pub first: Option<CpuReport>,
    /// For how long that CPU has been waiting, in µs, as in [`WaiterReport`](super::WaiterReport::age_us).
    pub first_age_us: Option<u32>,
    /// Whether it has halted.
    pub asleep: bool,
    /// The queue. Its holder is who is first in line, or writes.
    pub queue: Report,
    known_readers: [Option<CpuReport>; READERS_SHOWN],
}

impl RwReport {
    /// CPUs that have marked themselves as readers, of this lock or of one that shares its mark.
    pub fn known_readers(&self) -> impl Iterator<Item = &CpuReport> {
        self.known_readers.iter().flatten()
    }
}

impl fmt::Display for RwReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "word {:#010x}: ", self.word)?;
        match (self.writer, self.readers) {
            (Some(writer), _) => write!(f, "written by {writer}")?,
            (None, _) if self.word & WRITER != 0 => f.write_str("written")?,
            (None, 0) => f.write_str("free")?,
            (None, READERS) => {
                write!(
                    f,
                    "{READERS} read, and no more can (were guards forgotten?)"
                )?;
            }
            (None, readers) => write!(f, "{readers} read")?,
        }
        for (at, reader) in self.known_readers().enumerate() {
            write!(f, "{}{reader}", if at == 0 { ", perhaps " } else { ", " })?;
        }
        if let Some(chain) = self.chain.filter(|chain| chain.links().next().is_some()) {
            write!(f, ", who waits for {chain}")?;
        }
        if let Some(first) = self.first {
            let asleep = if self.asleep { ", wants a kick" } else { "" };
            write!(f, "\n  {first} first in line{asleep}")?;
            if let Some(us) = self.first_age_us {
                write!(f, ", for {us} us")?;
            }
        }
        write!(f, "\n  queue: {}", self.queue)
    }
}

impl<E: Env, P: Policy, W: Format> QRwLock<E, P, W> {
    /// Looks at the lock from outside: see [`report`](crate::report).
    #[must_use]
    pub fn report(&self) -> RwReport {
        let word = self.raw_word();
        let writer = writer_of(word);
        let first = first_of(word);
        let mut report = RwReport {
            word,
            writer: writer.map(CpuReport::of::<E>),
            chain: writer.map(Chain::from::<E>),
            readers: readers_of(word),
            first: first.map(CpuReport::of::<E>),
            first_age_us: first
                .filter(|&cpu| exists::<E>(cpu))
                .and_then(age::age_us::<E>),
            asleep: word & ASLEEP != 0,
            queue: self.queue.report(),
            known_readers: [None; READERS_SHOWN],
        };
        if report.readers > 0 {
            let mark = self.reading_mark();
            let marked = (0..E::cpu_count())
                .filter_map(Cpu::new)
                .filter(|&cpu| E::nodes(cpu).is_reading(mark));
            for (slot, cpu) in report.known_readers.iter_mut().zip(marked) {
                *slot = Some(CpuReport::of::<E>(cpu));
            }
        }
        report
    }
}
