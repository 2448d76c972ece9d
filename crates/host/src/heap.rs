//! A queue ordered by keys, in which every member is found by its number.
//!
//! A heap in one vector, with the place of each member beside it: no allocation once it has room for
//! all numbers, and at most a logarithm of steps for each change.
//!
//! ```text
//!   an entry leaves, and the last one takes its place: the hole sinks to the bottom, three comparisons
//!   a level, and the last one rises from there, seldom far: most entries stand near the bottom
//! ```

use alloc::vec::Vec;
use core::cmp::Ordering;

/// A place in a queue; the least goes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Key {
    /// Virtual time, compared modulo 2^64, or the same for all.
    pub(crate) time: u64,
    /// Drawn at every entry, never the same twice.
    pub(crate) turn: u64,
}

impl Key {
    const fn wide(self) -> u128 {
        (self.time as u128) << 64 | self.turn as u128
    }

    /// By time, and of equal times by turn: one subtraction does both.
    const fn behind(self, other: Self) -> i128 {
        self.wide().wrapping_sub(other.wide()) as i128
    }

    pub(crate) const fn is_before(self, other: Self) -> bool {
        self.behind(other) < 0
    }

    pub(crate) fn order(self, other: Self) -> Ordering {
        self.behind(other).cmp(&0)
    }
}

const NOWHERE: u32 = u32::MAX;

/// Children of an entry: four lie beside each other in memory.
const WIDTH: usize = 4;

#[derive(Clone, Copy, Debug)]
struct Entry {
    key: Key,
    number: u32,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Heap {
    entries: Vec<Entry>,
    /// Where each number stands.
    places: Vec<u32>,
}

impl Heap {
    /// Makes room for numbers below `size`.
    pub(crate) fn make_room(&mut self, size: usize) {
        if size > self.places.len() {
            self.places.resize(size, NOWHERE);
            self.entries.reserve(size - self.entries.len());
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn first(&self) -> Option<(Key, usize)> {
        let first = self.entries.first()?;
        Some((first.key, first.number as usize))
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.places.get(number).is_some_and(|&at| at != NOWHERE)
    }

    pub(crate) fn insert(&mut self, number: usize, key: Key) {
        debug_assert!(!self.contains(number), "{number} is queued twice");
        let (at, number) = (self.entries.len(), number as u32);
        let entry = Entry { key, number };
        self.entries.push(entry);
        self.raise(at, entry);
    }

    pub(crate) fn remove(&mut self, number: usize) -> bool {
        let Some(place) = self.places.get_mut(number).filter(|at| **at != NOWHERE) else {
            return false;
        };
        let at = core::mem::replace(place, NOWHERE) as usize;
        if let Some(last) = self.entries.pop().filter(|_| at < self.entries.len()) {
            self.settle(at, last);
        }
        true
    }

    /// Gives a member another key.
    pub(crate) fn update(&mut self, number: usize, key: Key) {
        let at = self.places[number] as usize;
        let number = number as u32;
        self.settle(at, Entry { key, number });
    }

    /// All members, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, usize)> {
        (self.entries.iter()).map(|entry| (entry.key, entry.number as usize))
    }

    fn put(&mut self, at: usize, entry: Entry) {
        self.entries[at] = entry;
        self.places[entry.number as usize] = at as u32;
    }

    /// Puts an entry where it belongs, above a hole or in it.
    fn raise(&mut self, mut hole: usize, entry: Entry) {
        while hole > 0 {
            let above = (hole - 1) / WIDTH;
            let parent = self.entries[above];
            if !entry.key.is_before(parent.key) {
                break;
            }
            self.put(hole, parent);
            hole = above;
        }
        self.put(hole, entry);
    }

    /// Puts an entry where it belongs, when there is a hole.
    fn settle(&mut self, mut hole: usize, entry: Entry) {
        while let Some((at, least)) = self.least_child(hole) {
            self.put(hole, least);
            hole = at;
        }
        self.raise(hole, entry);
    }

    fn least_child(&self, of: usize) -> Option<(usize, Entry)> {
        let first = of * WIDTH + 1;
        let children = self.entries.get(first..)?;
        let lesser = |a: usize, b: usize| {
            let b_first = children[b].key.is_before(children[a].key);
            if b_first { b } else { a }
        };
        let least = if children.len() >= WIDTH {
            lesser(lesser(0, 1), lesser(2, 3))
        } else {
            (0..children.len()).reduce(lesser)?
        };
        Some((first + least, children[least]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_before_turn() {
        let mut heap = Heap::default();
        heap.make_room(9);
        let key = |time: u64, turn| Key { time, turn };
        let expected = [
            (4, key(u64::MAX, 6)), // modulo 2^64: just before 2
            (0, key(2, 1)),
            (1, key(2, u64::MAX)),
            (8, key(3, 0)),
            (5, key(9, 7)),
        ];
        for (number, key) in expected.into_iter().rev() {
            heap.insert(number, key);
        }
        for (number, key) in expected {
            assert_eq!(heap.first(), Some((key, number)));
            assert!(heap.remove(number) && !heap.remove(number));
        }
        assert_eq!(heap.len(), 0);
    }

    #[test]
    fn it_keeps_order_through_any_changes() {
        let mut heap = Heap::default();
        heap.make_room(100);
        let mut random = 1_u64;
        for step in 0..5_000 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            let number = (random >> 33) as usize % 100;
            let key = Key {
                time: random >> 50,
                turn: step,
            };
            match (heap.contains(number), random >> 40 & 1) {
                (false, _) => heap.insert(number, key),
                (true, 0) => heap.update(number, key),
                (true, _) => assert!(heap.remove(number)),
            }
            let least = heap
                .iter()
                .reduce(|a, b| if b.0.is_before(a.0) { b } else { a });
            assert_eq!(heap.first(), least);
        }
    }
}
