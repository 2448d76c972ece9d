//! Where each VM is: one atomic word for each.

use alloc::boxed::Box;
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::{Acquire, Relaxed, Release};

use crate::ids::VmId;

/// A group, and the number of a VM there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) group: usize,
    pub(super) id: VmId,
}

const FREE: u64 = u64::MAX;
const CLAIMED: u64 = u64::MAX - 1;

#[derive(Debug)]
pub(super) struct Directory(Box<[AtomicU64]>);

impl Directory {
    pub(super) fn new(size: usize) -> Self {
        Self((0..size).map(|_| AtomicU64::new(FREE)).collect())
    }

    /// A number that no VM has.
    pub(super) fn claim(&self) -> Option<u32> {
        let free = |word: &AtomicU64| {
            // Relaxed: what the number means is set under the lock of a group.
            (word.compare_exchange(FREE, CLAIMED, Relaxed, Relaxed)).is_ok()
        };
        self.0.iter().position(free).map(|vm| vm as u32)
    }

    /// Where a VM is, if it is anywhere. It may have moved when the caller looks there, unless that group is locked.
    pub(super) fn get(&self, vm: u32) -> Option<Place> {
        // Acquire pairs with `set`: a thread that finds a VM in a group also finds the group as it was then.
        match self.0.get(vm as usize)?.load(Acquire) {
            FREE | CLAIMED => None,
            word => Some(Place {
                group: (word >> 32) as usize,
                id: VmId::new(word as u32),
            }),
        }
    }

    /// A VM is elsewhere now, or nowhere: then its number is free. With the locks of both groups held.
    pub(super) fn set(&self, vm: u32, place: Option<Place>) {
        let word = place.map_or(FREE, |place| {
            (place.group as u64) << 32 | place.id.index() as u64
        });
        if let Some(place) = self.0.get(vm as usize) {
            place.store(word, Release);
        }
    }
}
