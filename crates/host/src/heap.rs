//! A queue ordered by keys, in which every member is found by its number.
//!
//! A heap in one vector, with the place of each member beside it: no allocation once it has room for
//! all numbers, and at most a logarithm of steps for each change.

use alloc::vec::Vec;
use core::cmp::Ordering;

use crate::fair;

/// A place in a queue; the least goes first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Key {
    pub(crate) class: u8,
    /// Virtual time, compared modulo 2^64, or the same for all.
    pub(crate) time: u64,
    /// Drawn at every entry, never the same twice.
    pub(crate) turn: u64,
}

impl Key {
    fn is_before(&self, other: &Self) -> bool {
        match self.class.cmp(&other.class) {
            Ordering::Less => true,
            Ordering::Greater => false,
            Ordering::Equal if self.time == other.time => self.turn < other.turn,
            Ordering::Equal => fair::is_before(self.time, other.time),
        }
    }

    pub(crate) fn order(&self, other: &Self) -> Ordering {
        if self == other {
            Ordering::Equal
        } else if self.is_before(other) {
            Ordering::Less
        } else {
            Ordering::Greater
        }
    }
}

const NOWHERE: u32 = u32::MAX;

/// Children of an entry: four lie beside each other in memory.
const WIDTH: usize = 4;

#[derive(Clone, Debug, Default)]
pub(crate) struct Heap {
    entries: Vec<(Key, u32)>,
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
        let &(key, number) = self.entries.first()?;
        Some((key, number as usize))
    }

    pub(crate) fn contains(&self, number: usize) -> bool {
        self.places.get(number).is_some_and(|&at| at != NOWHERE)
    }

    pub(crate) fn insert(&mut self, number: usize, key: Key) {
        debug_assert!(!self.contains(number), "{number} is queued twice");
        self.entries.push((key, number as u32));
        self.raise(self.entries.len() - 1);
    }

    pub(crate) fn remove(&mut self, number: usize) -> bool {
        let Some(&at) = self.places.get(number).filter(|&&at| at != NOWHERE) else {
            return false;
        };
        self.places[number] = NOWHERE;
        let at = at as usize;
        self.entries.swap_remove(at);
        if at < self.entries.len() {
            self.raise(at);
            self.lower(at);
        }
        true
    }

    /// Gives a member another key.
    pub(crate) fn update(&mut self, number: usize, key: Key) {
        let at = self.places[number] as usize;
        self.entries[at].0 = key;
        self.raise(at);
        self.lower(self.places[number] as usize);
    }

    /// All members, in no order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Key, usize)> {
        self.entries
            .iter()
            .map(|&(key, number)| (key, number as usize))
    }

    fn put(&mut self, at: usize, entry: (Key, u32)) {
        self.entries[at] = entry;
        self.places[entry.1 as usize] = at as u32;
    }

    fn raise(&mut self, mut at: usize) {
        let entry = self.entries[at];
        while at > 0 {
            let parent = (at - 1) / WIDTH;
            if !entry.0.is_before(&self.entries[parent].0) {
                break;
            }
            self.put(at, self.entries[parent]);
            at = parent;
        }
        self.put(at, entry);
    }

    fn lower(&mut self, mut at: usize) {
        let entry = self.entries[at];
        loop {
            let children = at * WIDTH + 1..self.entries.len().min(at * WIDTH + 1 + WIDTH);
            let before = |&a: &usize, &b: &usize| self.entries[a].0.order(&self.entries[b].0);
            let Some(least) = children.min_by(before) else {
                break;
            };
            if !self.entries[least].0.is_before(&entry.0) {
                break;
            }
            self.put(at, self.entries[least]);
            at = least;
        }
        self.put(at, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn class_goes_before_time_and_time_before_turn() {
        let mut heap = Heap::default();
        heap.make_room(9);
        let key = |class, time: u64, turn| Key { class, time, turn };
        let expected = [
            (5, key(0, 9, 7)),
            (4, key(1, u64::MAX, 6)), // modulo 2^64: just before 2
            (0, key(1, 2, 1)),
            (1, key(1, 2, 2)),
            (8, key(1, 3, 0)),
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
                class: 0,
                time: random >> 50,
                turn: step,
            };
            match (heap.contains(number), random >> 40 & 1) {
                (false, _) => heap.insert(number, key),
                (true, 0) => heap.update(number, key),
                (true, _) => assert!(heap.remove(number)),
            }
            let least = heap.iter().min_by(|a, b| a.0.order(&b.0));
            assert_eq!(heap.first(), least);
        }
    }
}
