//! Mistakes of the reader-writer lock.

use crate::mutant::Suite::{Loom, LoomOneMore};
use crate::mutant::{Mutant, check, mutant, place};

pub(crate) const RW: &[Mutant] = &[
    mutant(
        "weak_read_release",
        "a reader leaves without releasing",
        &[place(
            "crates/pvqspin/src/rw/fast.rs",
            "self.word.fetch_sub(1, «Ordering::Release»)",
            "Ordering::Relaxed",
        )],
        &[
            check(Loom, "rw::rw_fifo::reader_and_writer"),
            check(Loom, "rw::rw_native::two_readers_and_a_writer"),
        ],
    ),
    mutant(
        "weak_write_release",
        "a writer that queued leaves without releasing",
        &[place(
            "crates/pvqspin/src/rw/fast.rs",
            "self.word.store(0, «Ordering::Release»)",
            "Ordering::Relaxed",
        )],
        &[
            check(Loom, "rw::rw_native::two_readers_and_a_writer"),
            check(Loom, "rw::rw_fifo_halt::two_writers_and_a_reader"),
        ],
    ),
    mutant(
        "weak_upgrade",
        "the only reader becomes the writer without acquiring",
        &[place(
            "crates/pvqspin/src/rw/upgrade.rs",
            ".compare_exchange(seen, Self::alone(), «Ordering::Acquire», Ordering::Relaxed)",
            "Ordering::Relaxed",
        )],
        &[
            check(Loom, "rw::rw_native::a_reader_becomes_the_writer"),
            check(Loom, "rw::rw_fifo::a_reader_becomes_the_writer"),
        ],
    ),
    mutant(
        "weak_downgrade",
        "a writer that queued reads on without releasing what it wrote",
        &[place(
            "crates/pvqspin/src/rw/upgrade.rs",
            "self.word.store(1, «Ordering::Release»)",
            "Ordering::Relaxed",
        )],
        &[check(LoomOneMore, "rw::rw_fifo::a_writer_reads_on")],
    ),
    mutant(
        "upgrade_beside_readers",
        "a reader becomes the writer while others read",
        &[place(
            "crates/pvqspin/src/rw/upgrade.rs",
            "&& «readers_of(seen) == 1»",
            "readers_of(seen) >= 1",
        )],
        &[
            check(Loom, "rw::rw_native::a_reader_becomes_the_writer"),
            check(Loom, "rw::rw_fifo::a_reader_becomes_the_writer"),
        ],
    ),
];
