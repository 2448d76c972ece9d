//! The lock word: 32 bits that say who holds, who waits last, and who is next.
//!
//! ```text
//!  31            18 17 16 15         9   8    7        1   0
//! +----------------+-----+------------+---+------------+---+
//! | cpu + 1        | idx | head, high | P | head, low  | L |   Idx3
//! +----------------+-----+------------+---+------------+---+
//!
//!  31         19 18  17 16 15         9   8    7        1   0
//! +-------------+---+-----+------------+---+------------+---+
//! | cpu + 1     | H | idx | head, high | P | head, low  | L |   SpareBit
//! +-------------+---+-----+------------+---+------------+---+
//! ```
//!
//! - **Tail**, bits 16 to 31: the last waiter (its CPU and the context of its node), or the *sole
//!   holder* while there is no queue. [`Idx3`] marks a sole holder with the context number 3,
//!   which costs no bit but the fourth context; [`SpareBit`] with a bit of its own, which costs
//!   half the CPU numbers. Both are ideas of Radim Krčmář's mail of 2014.
//! - **L**: locked.
//! - **Head**, 14 bits in two parts: the CPU of the queue's head. It is written in the same step
//!   that makes a CPU the head, so a releaser knows which CPU has to run. (Linux finds a halted head
//!   through a hash table, and a preempted one not at all.)
//! - **P** in a native lock: pending, the one waiter that needs no node. In a paravirtual lock,
//!   which has no such waiter: with **L**, the head sleeps and wants a kick; without, the CPU in the
//!   head field is not the head but has *passed over* it, and holds the lock.
//!
//! A lock is free to be taken by its head while both L and P are clear. [`Held`] is what a word
//! means; [`Held::read`] is the only place that knows.
//!
//! Words of a paravirtual lock (`h` holds, `t` waits last, `f` is the first of the queue):
//!
//! | tail | head | P | L | |
//! | --- | --- | --- | --- | --- |
//! | 0 | 0 | 0 | 0 | free |
//! | `h`, sole | 0 | 0 | 1 | held by `h`, no other waits |
//! | `t` | `f` | 0 | 1 | held, `f` waits for the word (awake, preempted, or asleep with a kick on its way) |
//! | `t` | `f` | 1 | 1 | held, and the holder must kick `f` when it releases |
//! | `t` | 0 | 0 | 1 | held; the next in line has not linked itself yet |
//! | `t` | `f` | 0 | 0 | being handed over to `f` |
//! | `t` | `x` | 1 | 0 | held by `x`, which passed over the head |
//!
//! The word never names a CPU that neither holds the lock nor waits for it. All accesses are whole
//! 32-bit atomics: Rust's memory model forbids racing accesses of different sizes.

use pvqspin_abi::{Cpu, MAX_CPUS};

/// The lock is held. (A paravirtual lock that was taken past its head has [`PENDING`] instead.)
pub const LOCKED: u32 = 1;
/// Native: one waiter without a node. Paravirtual: see [`Held`].
pub const PENDING: u32 = 1 << 8;
/// The tail field, in every format.
pub(crate) const TAIL: u32 = 0xffff_0000;
/// Both parts of the head field.
pub(crate) const HEAD: u32 = HEAD_LOW | HEAD_HIGH;

const HEAD_LOW: u32 = 0x0000_00fe;
const HEAD_HIGH: u32 = 0x0000_fe00;

/// The head field that names `cpu`.
#[inline]
pub(crate) const fn head_bits(cpu: Cpu) -> u32 {
    let raw = cpu.plus_one();
    (raw & 0x7f) << 1 | (raw >> 7) << 9
}

/// The CPU that the head field names. For debuggers and traces, too.
#[inline]
#[must_use]
pub const fn head_of(word: u32) -> Option<Cpu> {
    Cpu::from_plus_one((word & HEAD_LOW) >> 1 | (word & HEAD_HIGH) >> 9 << 7)
}

/// What the tail field says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tail {
    /// No CPU: the lock is free, or held without a name (native).
    Empty,
    /// This CPU holds the lock and no other waits.
    SoleHolder(Cpu),
    /// The last waiter: its CPU, and the context of its node.
    Waiter(Cpu, usize),
}

/// What a word means.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Held {
    /// Free, and no CPU waits.
    Free,
    /// Free, and in strict order only this CPU, the head of the queue, may take it.
    HandedTo(Cpu),
    /// Held by this CPU, and no other waits.
    Sole(Cpu),
    /// Held by the CPU that was in line before the head.
    Queued {
        /// The head of the queue; `None`: the next in line has not linked itself yet.
        head: Option<Cpu>,
        /// The head sleeps: the holder has to kick it when it releases.
        wants_kick: bool,
    },
    /// Held by this CPU, which passed over the head and puts its name back when it releases.
    Past(Cpu),
    /// A native lock, which names no CPU. (Or no lock at all: a paravirtual lock never looks so.)
    Unnamed {
        /// Held.
        locked: bool,
        /// There is a waiter without a node.
        pending: bool,
    },
}

impl Held {
    /// Reads a word, of a lock whose policy is paravirtual or not. Every word means something.
    #[must_use]
    #[inline]
    pub fn read<W: Format>(word: u32, paravirtual: bool) -> Self {
        let (locked, pending) = (word & LOCKED != 0, word & PENDING != 0);
        let unnamed = Self::Unnamed { locked, pending };
        if word == 0 {
            return Self::Free;
        }
        if !paravirtual {
            return unnamed;
        }
        // The bits first: a head that asks for `Past` in every round then reads only them.
        let meaning = if locked {
            match (W::tail(word), pending, head_of(word)) {
                (Tail::SoleHolder(holder), false, None) => Some(Self::Sole(holder)),
                (Tail::Waiter(..), wants_kick, head) => Some(Self::Queued { head, wants_kick }),
                _ => None,
            }
        } else {
            match (W::tail(word), pending, head_of(word)) {
                (Tail::Waiter(..), false, Some(head)) => Some(Self::HandedTo(head)),
                (Tail::Waiter(..), true, Some(holder)) => Some(Self::Past(holder)),
                _ => None,
            }
        };
        meaning.unwrap_or(unnamed)
    }

    /// Reads a word of a paravirtual lock.
    #[inline]
    pub(crate) fn in_paravirtual<W: Format>(word: u32) -> Self {
        Self::read::<W>(word, true)
    }

    /// The head of the queue, if the word names it.
    #[must_use]
    pub const fn head(self) -> Option<Cpu> {
        match self {
            Self::HandedTo(head) => Some(head),
            Self::Queued { head, .. } => head,
            Self::Free | Self::Sole(_) | Self::Past(_) | Self::Unnamed { .. } => None,
        }
    }
}

/// Whether the head of the queue, if there is one, may take the lock. (In a native lock the pending
/// waiter goes first.)
#[inline]
pub(crate) const fn is_free(word: u32) -> bool {
    word & (LOCKED | PENDING) == 0
}

mod sealed {
    pub trait Sealed {}
}

/// How the tail field tells a sole holder from a waiter. Implemented by [`Idx3`] and
/// [`SpareBit`], and by nothing else.
pub trait Format: sealed::Sealed + Sized + 'static {
    /// The name in reports: `idx3` or `bit`.
    const NAME: &'static str;
    /// How many CPUs the format can name.
    const MAX_CPUS: usize;
    /// How many contexts of one CPU can queue, one interrupting the other.
    const CONTEXTS: usize;

    /// The tail field that names a sole holder.
    fn sole_holder(cpu: Cpu) -> u32;
    /// The tail field that names a waiter. `context` is below [`CONTEXTS`](Self::CONTEXTS).
    fn waiter(cpu: Cpu, context: usize) -> u32;
    /// Reads the tail field of a word.
    fn tail(word: u32) -> Tail;
}

/// Context number 3 marks a sole holder: 16,382 CPUs, three contexts that queue.
///
/// A fourth context (an NMI that interrupted three spinning ones) takes the counted fallback.
///
/// ```
/// use pvqspin::{Cpu, Format, Idx3, Tail};
///
/// let cpu = Cpu::new(9).unwrap();
/// assert_eq!(Idx3::tail(Idx3::sole_holder(cpu)), Tail::SoleHolder(cpu));
/// assert_eq!(Idx3::tail(Idx3::waiter(cpu, 2)), Tail::Waiter(cpu, 2));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Idx3;

/// A bit of its own marks a sole holder: 8,190 CPUs, four contexts that queue.
///
/// An environment with more CPUs has no locks of this format: they do not compile.
///
/// ```compile_fail
/// # use pvqspin::{Budget, Cpu, CpuNodes, Env};
/// # struct Large;
/// # static NODES: CpuNodes = CpuNodes::new();
/// use pvqspin::{Fifo, MAX_CPUS, QSpinLock, SpareBit};
///
/// impl Env for Large {
///     const MAX_CPUS: usize = MAX_CPUS;
/// #     fn cpu() -> Cpu { Cpu::ZERO }
/// #     fn nodes(_: Cpu) -> &'static CpuNodes { &NODES }
/// #     fn spin_until(mut c: impl FnMut() -> bool, _: Budget) -> bool { while !c() {} true }
/// }
///
/// static LOCK: QSpinLock<Large, Fifo, SpareBit> = QSpinLock::new();
/// let _ = LOCK.try_lock();
/// ```
#[derive(Clone, Copy, Debug)]
pub struct SpareBit;

impl sealed::Sealed for Idx3 {}
impl sealed::Sealed for SpareBit {}

const IDX_SHIFT: u32 = 16;
const IDX_MASK: u32 = 3;
const SOLE_IDX: u32 = 3;

impl Format for Idx3 {
    const NAME: &'static str = "idx3";
    const MAX_CPUS: usize = MAX_CPUS;
    const CONTEXTS: usize = 3;

    #[inline]
    fn sole_holder(cpu: Cpu) -> u32 {
        cpu.plus_one() << 18 | SOLE_IDX << IDX_SHIFT
    }

    #[inline]
    fn waiter(cpu: Cpu, context: usize) -> u32 {
        let idx = context as u32;
        cpu.plus_one() << 18 | (idx & IDX_MASK) << IDX_SHIFT
    }

    #[inline]
    fn tail(word: u32) -> Tail {
        match (Cpu::from_plus_one(word >> 18), word >> IDX_SHIFT & IDX_MASK) {
            (None, _) => Tail::Empty,
            (Some(cpu), SOLE_IDX) => Tail::SoleHolder(cpu),
            (Some(cpu), context) => Tail::Waiter(cpu, context as usize),
        }
    }
}

const SOLE_BIT: u32 = 1 << 18;

impl Format for SpareBit {
    const NAME: &'static str = "bit";
    const MAX_CPUS: usize = (1 << 13) - 2;
    const CONTEXTS: usize = 4;

    #[inline]
    fn sole_holder(cpu: Cpu) -> u32 {
        debug_assert!(
            cpu.index() < Self::MAX_CPUS,
            "no number in this word: {cpu:?}"
        );
        cpu.plus_one() << 19 | SOLE_BIT
    }

    #[inline]
    fn waiter(cpu: Cpu, context: usize) -> u32 {
        debug_assert!(
            cpu.index() < Self::MAX_CPUS,
            "no number in this word: {cpu:?}"
        );
        cpu.plus_one() << 19 | (context as u32 & IDX_MASK) << IDX_SHIFT
    }

    #[inline]
    fn tail(word: u32) -> Tail {
        match (Cpu::from_plus_one(word >> 19), word & SOLE_BIT != 0) {
            (None, _) => Tail::Empty,
            (Some(cpu), true) => Tail::SoleHolder(cpu),
            (Some(cpu), false) => Tail::Waiter(cpu, (word >> IDX_SHIFT & IDX_MASK) as usize),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn every_tail_survives<W: Format>() {
        assert!(W::MAX_CPUS >= 4_095, "the promise of the word");
        for index in 0..W::MAX_CPUS {
            let cpu = Cpu::new(index).expect("in range");
            // What the other fields hold must not matter.
            for noise in [0, !TAIL] {
                let sole = W::sole_holder(cpu);
                assert_eq!(sole & !TAIL, 0);
                assert_eq!(W::tail(sole | noise), Tail::SoleHolder(cpu));
                for context in 0..W::CONTEXTS {
                    let waiter = W::waiter(cpu, context);
                    assert_eq!(waiter & !TAIL, 0);
                    assert_ne!(waiter, sole);
                    assert_eq!(W::tail(waiter | noise), Tail::Waiter(cpu, context));
                }
            }
        }
        assert_eq!(W::tail(!TAIL), Tail::Empty);
    }

    #[test]
    fn every_tail_survives_in_idx3() {
        every_tail_survives::<Idx3>();
    }

    #[test]
    fn every_tail_survives_in_spare_bit() {
        every_tail_survives::<SpareBit>();
    }

    fn every_word_of_a_lock_is_read<W: Format>() {
        let cpu = |index| Cpu::new(index).expect("in range");
        let (holder, head, last) = (cpu(1), cpu(W::MAX_CPUS - 1), W::waiter(cpu(300), 1));
        let queued = |head, wants_kick| Held::Queued { head, wants_kick };
        let unnamed = |locked, pending| Held::Unnamed { locked, pending };
        let named = last | head_bits(head);
        let rows = [
            (0, Held::Free),
            (W::sole_holder(holder) | LOCKED, Held::Sole(holder)),
            (last | LOCKED, queued(None, false)),
            (last | LOCKED | PENDING, queued(None, true)),
            (named | LOCKED, queued(Some(head), false)),
            (named | LOCKED | PENDING, queued(Some(head), true)),
            (named, Held::HandedTo(head)),
            (named | PENDING, Held::Past(head)),
            // What no paravirtual lock writes.
            (last, unnamed(false, false)),
            (last | PENDING, unnamed(false, true)),
            (LOCKED, unnamed(true, false)),
            (W::sole_holder(holder), unnamed(false, false)),
            (head_bits(head), unnamed(false, false)),
        ];
        for (word, meaning) in rows {
            assert_eq!(Held::read::<W>(word, true), meaning, "{word:#x}");
            let native = match word {
                0 => Held::Free,
                _ => unnamed(word & LOCKED != 0, word & PENDING != 0),
            };
            assert_eq!(Held::read::<W>(word, false), native, "{word:#x}");
            let free = matches!(meaning, Held::Free | Held::HandedTo(_));
            let held = !matches!(meaning, Held::Unnamed { .. }) && !free;
            assert!(!held || !is_free(word), "{word:#x}");
            assert!(!free || is_free(word), "{word:#x}");
        }
    }

    #[test]
    fn every_word_is_read_in_both_formats() {
        every_word_of_a_lock_is_read::<Idx3>();
        every_word_of_a_lock_is_read::<SpareBit>();
    }

    #[test]
    fn every_head_survives_beside_everything_else() {
        for index in 0..MAX_CPUS {
            let cpu = Cpu::new(index).expect("in range");
            let bits = head_bits(cpu);
            assert_eq!(bits & !HEAD, 0);
            assert_eq!(head_of(bits), Some(cpu));
            assert_eq!(head_of(bits | TAIL | PENDING | LOCKED), Some(cpu));
        }
        assert_eq!(head_of(!HEAD), None);
    }

    #[test]
    fn the_fields_fill_the_word_and_do_not_overlap() {
        assert_eq!(TAIL ^ HEAD ^ PENDING ^ LOCKED, u32::MAX);
        assert_eq!(TAIL & HEAD | HEAD & (PENDING | LOCKED), 0);
    }

    #[test]
    fn no_damaged_word_panics() {
        for word in (0..=u32::MAX).step_by(65_521) {
            let _ = (Idx3::tail(word), SpareBit::tail(word), head_of(word));
            let _ = (
                Held::read::<Idx3>(word, true),
                Held::read::<SpareBit>(word, true),
            );
        }
    }
}
