//! The run queues: one for all vCPUs that may run anywhere, and one for each other affinity.
//!
//! A pCPU takes the least key of the queues that name it. What the keys mean depends on the policy:
//!
//! ```text
//!                time            turn
//! round robin    0               drawn on waking and at a slice's end
//! fair           virtual time    drawn at every entry
//! credit         virtual time    drawn at every entry; boosted ones before others
//! co-scheduled   0               drawn on waking and at a slice's end; gangs have an order of their own
//! ```

use alloc::vec;
use alloc::vec::Vec;

use crate::bits::Bits;
use crate::heap::{Heap, Key};

/// A queue.
#[derive(Debug)]
struct Class {
    /// The pCPUs that take from it; `None`: all.
    pcpus: Option<Bits>,
    /// How many vCPUs have this affinity.
    members: usize,
    heap: Heap,
}

/// All vCPUs that wait for a pCPU and have no slice of their own.
#[derive(Debug)]
pub(crate) struct Queues {
    classes: Vec<Class>,
    turns: u64,
    len: usize,
    room: usize,
}

impl Queues {
    pub(crate) fn new() -> Self {
        let all = Class {
            pcpus: None,
            members: 1,
            heap: Heap::default(),
        };
        Self {
            classes: vec![all],
            turns: 0,
            len: 0,
            room: 0,
        }
    }

    /// Makes room for vCPU numbers below `size`.
    pub(crate) fn make_room(&mut self, size: usize) {
        self.room = self.room.max(size);
        let room = self.room;
        (self.classes.iter_mut()).for_each(|class| class.heap.make_room(room));
    }

    /// A turn behind all turns drawn so far.
    pub(crate) fn next_turn(&mut self) -> u64 {
        self.turns += 1;
        self.turns
    }

    pub(crate) fn insert(&mut self, class: u32, vcpu: usize, key: Key) {
        self.classes[class as usize].heap.insert(vcpu, key);
        self.len += 1;
    }

    pub(crate) fn remove(&mut self, class: u32, vcpu: usize) -> bool {
        let was_there = self.classes[class as usize].heap.remove(vcpu);
        self.len -= usize::from(was_there);
        was_there
    }

    /// A vCPU that waits here has another key now.
    pub(crate) fn update(&mut self, class: u32, vcpu: usize, key: Key) {
        self.classes[class as usize].heap.update(vcpu, key);
    }

    #[cfg(debug_assertions)]
    pub(crate) fn contains(&self, class: u32, vcpu: usize) -> bool {
        self.classes[class as usize].heap.contains(vcpu)
    }

    /// The next vCPU for a pCPU.
    pub(crate) fn first_for(&self, pcpu: usize) -> Option<usize> {
        if let [all] = &self.classes[..] {
            return all.heap.first().map(|(_, vcpu)| vcpu);
        }
        let mine = |class: &&Class| class.pcpus.as_ref().is_none_or(|set| set.contains(pcpu));
        let firsts = (self.classes.iter().filter(mine)).filter_map(|class| class.heap.first());
        let first = firsts.reduce(|a, b| if b.0.is_before(a.0) { b } else { a });
        first.map(|(_, vcpu)| vcpu)
    }

    /// How many wait here that may run anywhere.
    pub(crate) fn unrestricted(&self) -> usize {
        self.classes[0].heap.len()
    }

    /// Whether there is no other affinity than to all pCPUs.
    pub(crate) fn is_plain(&self) -> bool {
        self.classes.len() == 1
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// All that wait here, in order.
    pub(crate) fn in_order(&self) -> Vec<(Key, usize)> {
        let mut all: Vec<_> = (self.classes.iter())
            .flat_map(|class| class.heap.iter())
            .collect();
        all.sort_by(|(a, _), (b, _)| a.order(*b));
        all
    }

    // --- affinity ------------------------------------------------------------------------------

    /// Whether vCPUs of a class may run on a pCPU.
    pub(crate) fn allows(&self, class: u32, pcpu: usize) -> bool {
        (self.classes[class as usize].pcpus.as_ref()).is_none_or(|set| set.contains(pcpu))
    }

    /// The pCPUs of a class; `None`: all.
    pub(crate) fn pcpus(&self, class: u32) -> Option<&Bits> {
        self.classes[class as usize].pcpus.as_ref()
    }

    /// The pCPUs of each class but the first in which vCPUs wait.
    pub(crate) fn restricted(&self) -> impl Iterator<Item = &Bits> {
        (self.classes.iter())
            .filter(|class| class.heap.len() > 0)
            .filter_map(|class| class.pcpus.as_ref())
    }

    /// Enters a vCPU in the class of these pCPUs; `None`: all.
    pub(crate) fn join(&mut self, pcpus: Option<Bits>) -> u32 {
        let same = |class: &Class| match (&class.pcpus, &pcpus) {
            (None, None) => true,
            (Some(a), Some(b)) => class.members > 0 && a.iter().eq(b.iter()),
            _ => false,
        };
        let at = (self.classes.iter().position(same))
            .or_else(|| self.classes.iter().position(|class| class.members == 0));
        let at = at.unwrap_or_else(|| {
            let mut heap = Heap::default();
            heap.make_room(self.room);
            self.classes.push(Class {
                pcpus: None,
                members: 0,
                heap,
            });
            self.classes.len() - 1
        });
        let class = &mut self.classes[at];
        class.pcpus = pcpus;
        class.members += 1;
        at as u32
    }

    /// A vCPU leaves its class. It does not wait there.
    pub(crate) fn depart(&mut self, class: u32) {
        if class != 0 {
            self.classes[class as usize].members -= 1;
        }
    }
}
