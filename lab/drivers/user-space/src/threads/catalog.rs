//! Every lock that can be compared on threads, by name.

use mcslock::{barging, raw as mcs};
use pvqspin::threads::MutexWith;
use pvqspin::{Bounded, Fifo, FifoHalt, FifoHolder, Native};
use pvqspin_rivals::Lock;
use pvqspin_rivals::choice::Listed;
use spin::Yield;
use spin::mutex::{FairMutex, SpinMutex, TicketMutex};

use crate::threads::rivals::{InOrder, Rival};
use crate::threads::thread::OnThread;

/// How a waiter waits in the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Waits {
    /// It spins for as long as it takes.
    Spinning,
    /// It gives its CPU away again and again.
    Yielding,
    /// It sleeps until it is woken.
    Asleep,
}

/// A lock of the catalogue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Which one it is.
    pub id: LockId,
    /// Its name on command lines and in reports.
    pub name: &'static str,
    /// The policy, if it is one of `pvqspin`.
    pub policy: Option<&'static str>,
    /// Whether waiters get it in the order in which they came.
    pub fair: bool,
    /// How a waiter waits.
    pub waits: Waits,
    /// What it is.
    pub about: &'static str,
}

impl Listed for Entry {
    fn name(&self) -> &'static str {
        self.name
    }

    fn is_own(&self) -> bool {
        self.policy.is_some()
    }
}

/// Code that needs the type of a lock.
pub(crate) trait Visitor {
    /// What comes of it.
    type Output;

    /// Gets the type.
    fn visit<L: Lock<OnThread>>(self) -> Self::Output;
}

/// Declares the ids, the catalogue and the way from an id to its type, in one list.
macro_rules! catalog {
    ($($id:ident $name:literal $type:ty, $policy:expr, $fair:literal, $waits:ident, $about:literal;)*) => {
        /// A lock of the catalogue.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
        pub enum LockId {
            $(#[doc = $about] $id,)*
        }

        /// Every lock: policies of `pvqspin` first.
        pub const CATALOG: &[Entry] = &[
            $(Entry {
                id: LockId::$id,
                name: $name,
                policy: $policy,
                fair: $fair,
                waits: Waits::$waits,
                about: $about,
            },)*
        ];

        /// Calls the visitor with the type of the lock.
        pub(crate) fn with_lock<V: Visitor>(id: LockId, visitor: V) -> V::Output {
            match id {
                $(LockId::$id => visitor.visit::<Rival<$type>>(),)*
            }
        }
    };
}

catalog! {
    Bounded "bounded" MutexWith<(), Bounded>, Some("bounded"), false, Yielding,
        "order among those who run; who gave its CPU away is passed over for 1 ms at most";
    Fifo "fifo" MutexWith<(), Fifo>, Some("fifo"), true, Yielding,
        "strict order; waiters yield, and sleep where holds are long";
    FifoHalt "fifo-halt" MutexWith<(), FifoHalt>, Some("fifo-halt"), true, Asleep,
        "strict order; waiters sleep after 10 µs";
    FifoHolder "fifo-holder" MutexWith<(), FifoHolder>, Some("fifo-holder"), true, Asleep,
        "strict order; waiters sleep after 10 µs, every contended release wakes the next";
    Native "native" MutexWith<(), Native>, Some("native"), true, Yielding,
        "strict order after a first waiter that does not queue; waiters yield";
    Std "std" std::sync::Mutex<()>, None, false, Asleep,
        "std::sync::Mutex: a futex; any running thread takes it";
    ParkingLot "parking-lot" parking_lot::Mutex<()>, None, false, Asleep,
        "parking_lot::Mutex: spins, yields, then sleeps; any running thread takes it";
    ParkingLotFair "parking-lot-fair" InOrder, None, true, Asleep,
        "parking_lot::Mutex, each release handing over to the longest sleeper (unlock_fair)";
    Spin "spin" SpinMutex<()>, None, false, Spinning,
        "spin's SpinMutex: test-and-test-and-set";
    SpinYield "spin-yield" SpinMutex<(), Yield>, None, false, Yielding,
        "spin's SpinMutex with its Yield strategy";
    Ticket "spin-ticket" TicketMutex<()>, None, true, Spinning,
        "spin's TicketMutex";
    TicketYield "spin-ticket-yield" TicketMutex<(), Yield>, None, true, Yielding,
        "spin's TicketMutex with its Yield strategy";
    Fair "spin-fair" FairMutex<()>, None, false, Spinning,
        "spin's FairMutex: test-and-set that lets starving waiters go first";
    SpinningTop "spinning-top" spinning_top::Spinlock<()>, None, false, Spinning,
        "spinning_top's Spinlock: test-and-test-and-set";
    Mcs "mcs" mcs::spins::Mutex<()>, None, true, Spinning,
        "mcslock's raw mutex: a queue, each waiter spinning on its own node";
    McsYield "mcs-yield" mcs::yields::Mutex<()>, None, true, Yielding,
        "the same, waiters yielding";
    McsBarging "mcs-barging" barging::spins::Mutex<()>, None, false, Spinning,
        "mcslock's barging mutex: a word that any thread may take, a queue of those who wait for it";
    McsBargingYield "mcs-barging-yield" barging::yields::Mutex<()>, None, false, Yielding,
        "the same, waiters yielding";
    Clh "clh" clhlock::raw::spins::Mutex<()>, None, true, Spinning,
        "clhlock's mutex: a queue, each waiter spinning on the node before its own";
    ClhYield "clh-yield" clhlock::raw::yields::Mutex<()>, None, true, Yielding,
        "the same, waiters yielding";
}

/// The lock of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Entry> {
    CATALOG.iter().find(|entry| entry.name == name)
}
