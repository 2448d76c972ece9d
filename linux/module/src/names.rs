//! Whether a waiter finds a name for the holder.
//!
//! Linux's own fast path writes 1 into a free word, and no name. A lock that was taken in the slow
//! path, or by a patched fast path, has one; so has one that was taken past its head.

use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;

use pvqspin::word::Held;
use pvqspin::{Cpu, Env, Idx3};

/// How often a wait began under which kind of holder. Only the own CPU writes; an interrupt between its
/// load and its store loses a count.
pub(crate) struct Names {
    pub(crate) named: AtomicU64,
    pub(crate) nameless: AtomicU64,
    pub(crate) free: AtomicU64,
}

impl Names {
    pub(crate) const fn new() -> Self {
        Self {
            named: AtomicU64::new(0),
            nameless: AtomicU64::new(0),
            free: AtomicU64::new(0),
        }
    }

    /// Counts a wait that begins at this word, on the CPU `me`.
    pub(crate) fn count<E: Env>(&self, word: u32, me: Cpu) {
        let counter = match Held::read::<Idx3>(word, true) {
            Held::Free | Held::HandedTo(_) => &self.free,
            Held::Sole(_) | Held::Past(_) => &self.named,
            Held::Queued { head, .. } if edge_names_holder::<E>(head, me) => &self.named,
            Held::Queued { .. } | Held::Unnamed { .. } => &self.nameless,
        };
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }
}

/// Whether the edge of the head of a held lock's queue leads to the holder.
fn edge_names_holder<E: Env>(head: Option<Cpu>, me: Cpu) -> bool {
    head.filter(|&head| head != me)
        .is_some_and(|head| E::waiting_for(head).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;
    use pvqspin::word::{LOCKED, PENDING, head_of};
    use pvqspin::{Budget, CpuNodes, Format};

    fn cpu(index: usize) -> Cpu {
        Cpu::new(index).expect("in range")
    }

    /// CPU 3 waits for another one.
    struct World;

    impl Env for World {
        fn cpu() -> Cpu {
            Cpu::ZERO
        }
        fn nodes(_: Cpu) -> &'static CpuNodes {
            unreachable!("it only counts")
        }
        fn spin_until(_: impl FnMut() -> bool, _: Budget) -> bool {
            unreachable!("it only counts")
        }
        fn waiting_for(of: Cpu) -> Option<Cpu> {
            (of == cpu(3)).then_some(Cpu::ZERO)
        }
    }

    /// A queue whose last is CPU 9, with this head.
    fn queue(head: usize) -> u32 {
        let word = Idx3::waiter(cpu(9), 0) | (head as u32 + 1) << 1;
        assert_eq!(head_of(word), Some(cpu(head)));
        word
    }

    /// Named, nameless and free, for a wait of CPU 5 that begins at this word.
    fn counts(word: u32) -> [u64; 3] {
        let names = Names::new();
        names.count::<World>(word, cpu(5));
        [&names.named, &names.nameless, &names.free].map(|count| count.load(Relaxed))
    }

    #[test]
    fn each_kind_of_word_is_counted_as_what_it_is() {
        const NAMED: [u64; 3] = [1, 0, 0];
        const NAMELESS: [u64; 3] = [0, 1, 0];
        const FREE: [u64; 3] = [0, 0, 1];
        for (what, word, expected) in [
            ("free", 0, FREE),
            ("handed over", queue(3), FREE),
            ("alone", Idx3::sole_holder(cpu(2)) | LOCKED, NAMED),
            ("alone, by Linux's fast path", LOCKED, NAMELESS),
            ("a head with an edge", queue(3) | LOCKED, NAMED),
            ("one that sleeps", queue(3) | LOCKED | PENDING, NAMED),
            ("a head without an edge", queue(4) | LOCKED, NAMELESS),
            ("this CPU is the head", queue(5) | LOCKED, NAMELESS),
            ("no head yet", Idx3::waiter(cpu(9), 0) | LOCKED, NAMELESS),
            ("past its head", queue(4) | PENDING, NAMED),
        ] {
            assert_eq!(counts(word), expected, "{what}: {word:#x}");
        }
    }
}
