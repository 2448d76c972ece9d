//! The marks of one vCPU, made on its own stack: where in a lock it stands.
//!
//! Each vCPU writes into memory of its own, so that recording shares nothing and takes no lock. The
//! latest marks are kept; what they push out is counted.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pvqspin::Point;
use pvqspin_driver_common::{Ring, TraceEvent, What};

/// The ring of one vCPU. Atomic words, because the vCPU may be thrown away in the middle of making
/// a mark.
#[derive(Debug)]
pub(crate) struct Marks {
    slots: Box<[Slot]>,
    made: AtomicU64,
}

#[derive(Debug, Default)]
struct Slot {
    at_ns: AtomicU64,
    /// What: its kind in the lowest bits, the rest above.
    what: AtomicU64,
}

const KIND_BITS: u32 = 2;
const PASSED: u64 = 0;
const HOLDS: u64 = 1;
const LEFT: u64 = 2;
const LONG_WAIT: u64 = 3;

/// A mark before it becomes an event. Locks are told apart by their addresses.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Mark {
    Passed(Point),
    Lock { address: usize, held: bool },
    LongWait(u64),
}

impl Mark {
    fn to_raw(self) -> u64 {
        match self {
            Self::Passed(point) => (point as u64) << KIND_BITS | PASSED,
            Self::Lock { address, held } => {
                (address as u64) << KIND_BITS | if held { HOLDS } else { LEFT }
            }
            Self::LongWait(ns) => ns << KIND_BITS | LONG_WAIT,
        }
    }
}

impl Marks {
    /// No marks yet. The memory is touched: page faults would be seen in what is measured.
    pub(crate) fn new(capacity: usize) -> Self {
        let marks = Self {
            slots: (0..capacity.max(1)).map(|_| Slot::default()).collect(),
            made: AtomicU64::new(0),
        };
        marks
            .slots
            .iter()
            .for_each(|slot| slot.at_ns.store(1, Relaxed));
        marks
    }

    /// Makes a mark.
    #[inline]
    pub(crate) fn make(&self, at_ns: u64, mark: Mark) {
        let made = self.made.load(Relaxed);
        if let Some(slot) = self.slots.get(made as usize % self.slots.len()) {
            slot.at_ns.store(at_ns, Relaxed);
            slot.what.store(mark.to_raw(), Relaxed);
        }
        self.made.store(made + 1, Relaxed);
    }

    /// As events of this vCPU. `number` numbers the locks.
    pub(crate) fn to_ring(&self, vcpu: u32, number: &mut impl FnMut(usize) -> u32) -> Ring {
        let made = self.made.load(Relaxed);
        let room = self.slots.len() as u64;
        let kept = made.min(room);
        let mut ring = Ring::with_dropped(kept as usize, made - kept);
        for index in made - kept..made {
            let slot = &self.slots[(index % room) as usize];
            let raw = slot.what.load(Relaxed);
            let rest = raw >> KIND_BITS;
            let what = match raw & ((1 << KIND_BITS) - 1) {
                PASSED => match Point::ALL.get(rest as usize) {
                    Some(&point) => What::Passed(point),
                    None => continue,
                },
                HOLDS => What::Holds(number(rest as usize)),
                LEFT => What::Left(number(rest as usize)),
                _ => What::LongWait(rest),
            };
            ring.push(TraceEvent {
                at_ns: slot.at_ns.load(Relaxed),
                pcpu: None,
                vcpu: Some(vcpu),
                what,
            });
        }
        ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_mark_survives_and_the_oldest_go_first() {
        let address = core::ptr::from_ref(&KIND_BITS).addr();
        let marks = Marks::new(10);
        marks.make(1, Mark::LongWait(1));
        for point in Point::ALL {
            marks.make(2, Mark::Passed(point));
        }
        for held in [true, false] {
            marks.make(3, Mark::Lock { address, held });
        }
        marks.make(4, Mark::LongWait(1 << 40));
        let mut seen = Vec::new();
        let ring = marks.to_ring(7, &mut |lock| {
            seen.push(lock);
            5
        });
        assert_eq!(ring.dropped(), 1);
        let whats: Vec<What> = ring.into_events().iter().map(|event| event.what).collect();
        let points = Point::ALL.map(What::Passed);
        let rest = [What::Holds(5), What::Left(5), What::LongWait(1 << 40)];
        assert_eq!(whats, [&points[..], &rest[..]].concat());
        assert_eq!(seen, [address, address]);
    }
}
