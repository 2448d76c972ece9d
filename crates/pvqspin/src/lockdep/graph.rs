//! The classes of locks, and which was taken before which: fixed tables, no lock to look up.

use core::hint;
use core::panic::Location;
use core::ptr;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicUsize};

use crate::lockdep::finding::{CHAIN, ClassName, How, InterruptState};

/// The most classes.
const CLASSES: usize = 128;
const WORDS: usize = CLASSES / 32;
/// How often to try for the flag of those who learn: learning takes microseconds.
const TRIES: usize = 1_000;

/// What makes a class the same.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Key(pub(crate) ClassName);

impl Key {
    fn hash(self) -> usize {
        let mixed = match self.0 {
            // The same place may have several addresses: its contents count.
            ClassName::Site(site) => site.line() as usize * 31 + site.column() as usize,
            ClassName::Address(address) => address >> 2,
        };
        mixed.wrapping_mul(0x9e37_79b9) >> 16
    }
}

/// What `learn` found.
#[derive(Clone, Copy, Default)]
pub(crate) struct Found {
    pub(crate) held: Option<u8>,
    pub(crate) chain: [Option<u8>; CHAIN],
}

impl Found {
    pub(crate) fn holding(held: u8) -> Self {
        Self {
            held: Some(held),
            ..Self::default()
        }
    }
}

/// What came of a pair.
pub(crate) enum Learned {
    /// Nothing new, or no time for it.
    Known,
    /// A pair that fits.
    New,
    /// It contradicts what is known, for the first time.
    Contradiction(Found),
}

/// What came of a look at the interrupts.
pub(crate) enum Noticed {
    Nothing,
    /// Something that was not known, and fits.
    New,
    /// The class is taken by handlers, and in a way in which a handler would wait for its own CPU.
    Clash,
}

/// How much has been learned.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stats {
    /// Classes known.
    pub classes: usize,
    /// Pairs known, "one before the other".
    pub pairs: usize,
    /// How often there was no room in a table.
    pub overflows: u32,
    /// How often something was not learned because another CPU was learning.
    pub missed: u32,
}

struct Slot {
    /// Set last: the name is complete.
    used: AtomicBool,
    site: AtomicPtr<Location<'static>>,
    address: AtomicUsize,
    flags: AtomicU32,
}

impl Slot {
    fn name(&self) -> Option<ClassName> {
        // Acquire pairs with the release in `insert`.
        if !self.used.load(Acquire) {
            return None;
        }
        // SAFETY: null, or stored by `insert` from a `&'static Location`.
        let site = unsafe { self.site.load(Relaxed).as_ref() };
        Some(match site {
            Some(site) => ClassName::Site(site),
            None => ClassName::Address(self.address.load(Relaxed)),
        })
    }

    /// Sets flags; says whether one of them is new.
    fn set(&self, flags: u32) -> bool {
        // Looking first keeps a line that all CPUs read from being written all the time.
        self.flags.load(Relaxed) & flags != flags
            && self.flags.fetch_or(flags, Relaxed) & flags != flags
    }
}

const RECURSED: u32 = 1;
const NOT_HELD: u32 = 1 << 1;
const INTERRUPT_REPORTED: u32 = 1 << 2;
/// Handlers take it: as nested readers, or in any other way.
const HANDLER_NESTED: u32 = 1 << 3;
const HANDLER_OTHER: u32 = 1 << 4;
/// Taken with interrupts enabled: to read, or to have it alone.
const ENABLED_READ: u32 = 1 << 5;
const ENABLED_OTHER: u32 = 1 << 6;
/// It is the end of an order that starts in a handler, and that was reported.
const ORDER_REPORTED: u32 = 1 << 7;

type Bits = [AtomicU32; WORDS];

/// The one graph: lock order is a property of the whole kernel.
pub(crate) static GRAPH: Graph = Graph {
    learning: AtomicBool::new(false),
    slots: [const {
        Slot {
            used: AtomicBool::new(false),
            site: AtomicPtr::new(ptr::null_mut()),
            address: AtomicUsize::new(0),
            flags: AtomicU32::new(0),
        }
    }; CLASSES],
    before: [const { [const { AtomicU32::new(0) }; WORDS] }; CLASSES],
    reported: [const { [const { AtomicU32::new(0) }; WORDS] }; CLASSES],
    overflows: AtomicU32::new(0),
    overflow_reported: AtomicBool::new(false),
    missed: AtomicU32::new(0),
};

pub(crate) struct Graph {
    /// A CPU changes the tables.
    learning: AtomicBool,
    slots: [Slot; CLASSES],
    /// Bit `b` of `before[a]`: a lock of class `a` was held when one of class `b` was taken.
    before: [Bits; CLASSES],
    /// The same, for pairs that were reported.
    reported: [Bits; CLASSES],
    overflows: AtomicU32,
    overflow_reported: AtomicBool,
    missed: AtomicU32,
}

fn bit(bits: &Bits, at: u8) -> bool {
    bits[at as usize / 32].load(Relaxed) >> (at % 32) & 1 == 1
}

/// Sets a bit; says whether it was set before.
fn set_bit(bits: &Bits, at: u8) -> bool {
    bits[at as usize / 32].fetch_or(1 << (at % 32), Relaxed) >> (at % 32) & 1 == 1
}

impl Graph {
    /// The class of a key, if there is room for it.
    pub(crate) fn class(&self, key: Key) -> Option<u8> {
        match self.find(key) {
            Ok(class) => Some(class),
            Err(None) => None,
            Err(Some(_)) => self.learning(|| self.insert(key))?,
        }
    }

    /// The class of a key, or the slot where it would go.
    fn find(&self, key: Key) -> Result<u8, Option<usize>> {
        let start = key.hash();
        for step in 0..CLASSES {
            let at = (start + step) % CLASSES;
            match self.slots[at].name() {
                Some(name) if name == key.0 => return Ok(at as u8),
                Some(_) => {}
                None => return Err(Some(at)),
            }
        }
        Err(None)
    }

    /// Only while learning.
    fn insert(&self, key: Key) -> Option<u8> {
        let at = match self.find(key) {
            Ok(class) => return Some(class),
            Err(slot) => slot?,
        };
        let slot = &self.slots[at];
        match key.0 {
            ClassName::Site(site) => slot.site.store(ptr::from_ref(site).cast_mut(), Relaxed),
            ClassName::Address(address) => slot.address.store(address, Relaxed),
        }
        // Release publishes the name.
        slot.used.store(true, Release);
        Some(at as u8)
    }

    /// Does something alone, or not at all.
    fn learning<R>(&self, what: impl FnOnce() -> R) -> Option<R> {
        for _ in 0..TRIES {
            if !self.learning.swap(true, Acquire) {
                let result = what();
                self.learning.store(false, Release);
                return Some(result);
            }
            hint::spin_loop();
        }
        self.missed.fetch_add(1, Relaxed);
        None
    }

    /// Learns that `held` comes before `class`.
    pub(crate) fn learn(&self, held: u8, class: u8) -> Learned {
        let before = &self.before[held as usize];
        if bit(before, class) || bit(&self.reported[held as usize], class) {
            return Learned::Known;
        }
        let learned = self.learning(|| {
            let Some(chain) = self.path(class, held) else {
                set_bit(before, class);
                return Learned::New;
            };
            // A pair that contradicts is not learned: it would contradict everything else.
            if set_bit(&self.reported[held as usize], class) {
                return Learned::Known;
            }
            Learned::Contradiction(Found {
                held: Some(held),
                chain,
            })
        });
        learned.unwrap_or(Learned::Known)
    }

    /// A class that handlers take, at `from` or before it, and one that is taken with interrupts enabled,
    /// at `to` or after it; `from` is `to` or comes before it. The first time for the latter.
    pub(crate) fn handler_before_enabled(&self, from: u8, to: u8) -> Option<Found> {
        let handled = self.nearest(from, HANDLER_OTHER, |at, other| {
            bit(&self.before[other as usize], at)
        })?;
        let enabled = self.nearest(to, ENABLED_READ | ENABLED_OTHER, |at, other| {
            bit(&self.before[at as usize], other)
        })?;
        // One class with both is another finding.
        if handled == enabled || !self.slots[enabled as usize].set(ORDER_REPORTED) {
            return None;
        }
        Some(Found {
            held: Some(handled),
            chain: self.path(handled, enabled)?,
        })
    }

    /// The nearest class with one of these flags, `start` or one that is linked to it.
    fn nearest(&self, start: u8, flags: u32, linked: impl Fn(u8, u8) -> bool) -> Option<u8> {
        let mut seen = [false; CLASSES];
        let mut queue = [0; CLASSES];
        let (mut done, mut known) = (0, 1);
        queue[0] = start;
        seen[start as usize] = true;
        while done < known {
            let at = queue[done];
            done += 1;
            if self.slots[at as usize].flags.load(Relaxed) & flags != 0 {
                return Some(at);
            }
            for other in 0..CLASSES as u8 {
                if !seen[other as usize] && linked(at, other) {
                    seen[other as usize] = true;
                    queue[known] = other;
                    known += 1;
                }
            }
        }
        None
    }

    /// How `from` comes before `to`, if it does: the shortest way, as far as a report has room.
    fn path(&self, from: u8, to: u8) -> Option<[Option<u8>; CHAIN]> {
        // Backwards from `to`, so that each class knows its next one on the way there.
        let mut next = [None; CLASSES];
        let mut queue = [0; CLASSES];
        let (mut done, mut known) = (0, 1);
        queue[0] = to;
        while done < known {
            let at = queue[done];
            done += 1;
            for other in 0..CLASSES as u8 {
                let new = other != to && next[other as usize].is_none();
                if new && bit(&self.before[other as usize], at) {
                    next[other as usize] = Some(at);
                    queue[known] = other;
                    known += 1;
                }
            }
        }
        let mut chain = [None; CHAIN];
        let mut at = next[from as usize].map(|_| from)?;
        for slot in &mut chain {
            *slot = Some(at);
            match next[at as usize] {
                Some(following) => at = following,
                None => break,
            }
        }
        Some(chain)
    }

    /// Notes in which context a class is taken. Says whether that can deadlock, the first time.
    pub(crate) fn notice_interrupts(&self, class: u8, how: How, now: InterruptState) -> Noticed {
        let slot = &self.slots[class as usize];
        let flag = match (now, how) {
            (InterruptState::Unknown | InterruptState::Masked, _) => return Noticed::Nothing,
            (InterruptState::Handler, How::Nested) => HANDLER_NESTED,
            (InterruptState::Handler, _) => HANDLER_OTHER,
            (InterruptState::Enabled, How::Exclusive) => ENABLED_OTHER,
            (InterruptState::Enabled, _) => ENABLED_READ,
        };
        if !slot.set(flag) {
            return Noticed::Nothing;
        }
        let flags = slot.flags.load(Relaxed);
        let has = |any: u32| flags & any != 0;
        let clash = has(HANDLER_OTHER) && has(ENABLED_READ | ENABLED_OTHER)
            || has(HANDLER_NESTED) && has(ENABLED_OTHER);
        if clash && slot.set(INTERRUPT_REPORTED) {
            Noticed::Clash
        } else {
            Noticed::New
        }
    }

    pub(crate) fn first_recursion(&self, class: u8) -> bool {
        self.slots[class as usize].set(RECURSED)
    }

    pub(crate) fn first_not_held(&self, class: u8) -> bool {
        // What was taken when it could not be noted is not held by mistake.
        self.missed.load(Relaxed) == 0
            && self.overflows.load(Relaxed) == 0
            && self.slots[class as usize].set(NOT_HELD)
    }

    /// Whether every slot is in use.
    pub(crate) fn is_full(&self) -> bool {
        self.slots.iter().all(|slot| slot.used.load(Relaxed))
    }

    /// Whether a table overflows for the first time.
    pub(crate) fn first_overflow(&self) -> bool {
        self.overflows.fetch_add(1, Relaxed);
        !self.overflow_reported.swap(true, Relaxed)
    }

    pub(crate) fn stats(&self) -> Stats {
        let bits = self.before.iter().flatten();
        Stats {
            classes: self
                .slots
                .iter()
                .filter(|slot| slot.used.load(Relaxed))
                .count(),
            pairs: bits
                .map(|bits| bits.load(Relaxed).count_ones() as usize)
                .sum(),
            overflows: self.overflows.load(Relaxed),
            missed: self.missed.load(Relaxed),
        }
    }

    pub(crate) fn name(&self, class: u8) -> Option<ClassName> {
        self.slots[class as usize].name()
    }
}
