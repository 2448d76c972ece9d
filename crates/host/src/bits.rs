//! A set of pCPUs: the first member is found in a few steps, however many pCPUs there are.

use alloc::boxed::Box;
use alloc::vec;

const BITS: usize = u64::BITS as usize;

/// Bits, and one bit for each word of them that is not empty.
#[derive(Clone, Debug)]
pub(crate) struct Bits {
    words: Box<[u64]>,
    summary: Box<[u64]>,
    count: usize,
}

impl Bits {
    /// An empty set of numbers below `size`.
    pub(crate) fn new(size: usize) -> Self {
        let words = size.div_ceil(BITS);
        Self {
            words: vec![0; words].into(),
            summary: vec![0; words.div_ceil(BITS)].into(),
            count: 0,
        }
    }

    pub(crate) fn contains(&self, at: usize) -> bool {
        (self.words.get(at / BITS)).is_some_and(|word| word >> (at % BITS) & 1 != 0)
    }

    /// Whether it was not a member before.
    pub(crate) fn insert(&mut self, at: usize) -> bool {
        let new = !self.contains(at);
        if new {
            self.words[at / BITS] |= 1 << (at % BITS);
            self.summary[at / BITS / BITS] |= 1 << (at / BITS % BITS);
            self.count += 1;
        }
        new
    }

    /// Whether it was a member before.
    pub(crate) fn remove(&mut self, at: usize) -> bool {
        let was = self.contains(at);
        if was {
            let word = &mut self.words[at / BITS];
            *word &= !(1 << (at % BITS));
            if *word == 0 {
                self.summary[at / BITS / BITS] &= !(1 << (at / BITS % BITS));
            }
            self.count -= 1;
        }
        was
    }

    pub(crate) fn set(&mut self, at: usize, member: bool) {
        if member {
            self.insert(at);
        } else {
            self.remove(at);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The least member.
    pub(crate) fn first(&self) -> Option<usize> {
        let (at, summary) = self.summary.iter().enumerate().find(|(_, s)| **s != 0)?;
        let word = at * BITS + summary.trailing_zeros() as usize;
        Some(word * BITS + self.words[word].trailing_zeros() as usize)
    }

    /// The least number that is a member of both.
    pub(crate) fn first_also_in(&self, other: &Self) -> Option<usize> {
        let both = self.words.iter().zip(&other.words).map(|(a, b)| a & b);
        let (word, both) = both.enumerate().find(|(_, both)| *both != 0)?;
        Some(word * BITS + both.trailing_zeros() as usize)
    }

    /// All members, the least first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = usize> {
        self.words.iter().enumerate().flat_map(|(at, &word)| {
            let mut left = word;
            core::iter::from_fn(move || {
                let bit = left.trailing_zeros() as usize;
                (left != 0).then(|| {
                    left &= left - 1;
                    at * BITS + bit
                })
            })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn it_is_a_set() {
        let mut bits = Bits::new(10_000);
        for at in [9_999, 64, 63, 4_096, 64] {
            bits.insert(at);
        }
        assert_eq!(bits.iter().collect::<Vec<_>>(), [63, 64, 4_096, 9_999]);
        let mut other = Bits::new(10_000);
        other.insert(4_096);
        assert_eq!(bits.first_also_in(&other), Some(4_096));
        for at in [63, 64, 4_096, 9_999] {
            assert_eq!(bits.first(), Some(at));
            assert!(bits.remove(at) && !bits.remove(at));
        }
        assert_eq!((bits.first(), bits.len()), (None, 0));
    }
}
