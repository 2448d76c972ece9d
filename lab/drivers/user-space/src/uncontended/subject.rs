//! What is measured: one trait, [`Subject`], over locks that are used in quite different ways.
//!
//! Every subject guards one number and adds 1 to it, so that the section is the same for all, and
//! not empty.

use std::cell::UnsafeCell;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{Acquire, Release};

use pvqspin_rivals::Lock;

use crate::uncontended::env::OneCpu;

/// A lock with a number behind it.
pub(crate) trait Subject: Sized + 'static {
    /// What the caller brings along and keeps for the next time: a queue node, or nothing.
    type Place;

    /// A free lock.
    fn new() -> Self;

    /// What the caller brings along.
    fn place() -> Self::Place;

    /// Takes the lock, adds 1, releases it.
    fn pair(&self, place: &mut Self::Place);
}

/// No lock at all: what remains is the section and the loop around it.
pub(crate) struct Nothing(UnsafeCell<u64>);

impl Subject for Nothing {
    type Place = ();

    fn new() -> Self {
        Self(UnsafeCell::new(0))
    }

    fn place() {}

    #[inline(always)]
    fn pair(&self, (): &mut ()) {
        // SAFETY: `UnsafeCell` makes the type `!Sync`, so this thread is the only one that has it,
        // and the reference ends with the line.
        let data = unsafe { &mut *self.0.get() };
        *data = data.wrapping_add(1);
    }
}

/// A lock of the catalogue, on one CPU. The lock stands first, as in a mutex.
#[repr(C)]
pub(crate) struct Guarded<L> {
    lock: L,
    data: UnsafeCell<u64>,
}

impl<L: Lock<OneCpu>> Subject for Guarded<L> {
    type Place = ();

    fn new() -> Self {
        Self {
            lock: L::new(1),
            data: UnsafeCell::new(0),
        }
    }

    fn place() {}

    #[inline(always)]
    fn pair(&self, (): &mut ()) {
        let token = self.lock.lock();
        // SAFETY: the lock is held until the next line, and the reference ends before it.
        let data = unsafe { &mut *self.data.get() };
        *data = data.wrapping_add(1);
        // SAFETY: taken above, with this token.
        unsafe { self.lock.unlock(token) };
    }
}

/// The least that excludes: one read-modify-write that acquires and one access that releases.
///
/// With `EXCHANGE` the release is a read-modify-write as well, which is what a lock needs whose
/// word others may change while it is held.
#[repr(C)]
pub(crate) struct Floor<const EXCHANGE: bool> {
    word: AtomicU32,
    data: UnsafeCell<u64>,
}

impl<const EXCHANGE: bool> Subject for Floor<EXCHANGE> {
    type Place = ();

    fn new() -> Self {
        Self {
            word: AtomicU32::new(0),
            data: UnsafeCell::new(0),
        }
    }

    fn place() {}

    #[inline(always)]
    fn pair(&self, (): &mut ()) {
        // Acquire pairs with the release below.
        while self.word.swap(1, Acquire) != 0 {
            std::hint::spin_loop();
        }
        // SAFETY: the word excludes all others until the release, and the reference ends
        // before it.
        let data = unsafe { &mut *self.data.get() };
        *data = data.wrapping_add(1);
        if EXCHANGE {
            self.word.swap(0, Release);
        } else {
            self.word.store(0, Release);
        }
    }
}

/// A mutex that is used through a guard.
macro_rules! mutex {
    ($name:ident, $mutex:ty, |$lock:ident| $guard:expr) => {
        pub(crate) struct $name($mutex);

        impl Subject for $name {
            type Place = ();

            fn new() -> Self {
                Self(<$mutex>::new(0))
            }

            fn place() {}

            #[inline(always)]
            fn pair(&self, (): &mut ()) {
                let $lock = &self.0;
                let mut guard = $guard;
                *guard = guard.wrapping_add(1);
            }
        }
    };
}

mutex!(OurMutex, pvqspin::Mutex<u64, OneCpu>, |mutex| mutex.lock());
mutex!(SpinMutex, spin::mutex::SpinMutex<u64>, |mutex| mutex.lock());
mutex!(SpinTicket, spin::mutex::TicketMutex<u64>, |mutex| mutex
    .lock());
mutex!(SpinFair, spin::mutex::FairMutex<u64>, |mutex| mutex.lock());
mutex!(SpinningTop, spinning_top::Spinlock<u64>, |mutex| mutex
    .lock());
mutex!(ParkingLot, parking_lot::Mutex<u64>, |mutex| mutex.lock());
mutex!(Std, std::sync::Mutex<u64>, |mutex| match mutex.lock() {
    Ok(guard) => guard,
    Err(poisoned) => poisoned.into_inner(),
});

/// The MCS lock of the `mcslock` crate. The node stays with the caller, as a kernel would have it.
pub(crate) struct Mcs(mcslock::raw::spins::Mutex<u64>);

impl Subject for Mcs {
    type Place = mcslock::raw::MutexNode;

    fn new() -> Self {
        Self(mcslock::raw::spins::Mutex::new(0))
    }

    fn place() -> Self::Place {
        mcslock::raw::MutexNode::new()
    }

    #[inline(always)]
    fn pair(&self, place: &mut Self::Place) {
        self.0
            .lock_with_then(place, |data| *data = data.wrapping_add(1));
    }
}

/// The CLH lock of the `clhlock` crate. Each release gives back another node, so that nothing is
/// allocated; the caller keeps it in an `Option`, which costs three instructions or so.
pub(crate) struct Clh(clhlock::raw::spins::Mutex<u64>);

impl Subject for Clh {
    type Place = Option<clhlock::raw::MutexNode>;

    fn new() -> Self {
        Self(clhlock::raw::spins::Mutex::new(0))
    }

    fn place() -> Self::Place {
        Some(clhlock::raw::MutexNode::new())
    }

    #[inline(always)]
    fn pair(&self, place: &mut Self::Place) {
        let Some(node) = place.take() else { return };
        let mut guard = self.0.lock_with(node);
        *guard = guard.wrapping_add(1);
        *place = Some(guard.unlock());
    }
}
