//! The lock in ordinary threads: each is a CPU of its own. Feature `std`.
//!
//! ```
//! use pvqspin::threads::Mutex;
//!
//! static HITS: Mutex<u64> = Mutex::new(0);
//! std::thread::scope(|scope| {
//!     for _ in 0..4 {
//!         scope.spawn(|| *HITS.lock() += 1);
//!     }
//! });
//! assert_eq!(*HITS.lock(), 4);
//! ```
//!
//! With `lock_api` the raw mutex is [`RawMutex`], and the raw reader-writer lock [`RawRwLock`]:
//!
#![cfg_attr(feature = "lock_api", doc = "```")]
#![cfg_attr(not(feature = "lock_api"), doc = "```ignore")]
//! type Mutex<T> = lock_api::Mutex<pvqspin::threads::RawMutex, T>;
//!
//! static HITS: Mutex<u64> = Mutex::new(0);
//! *HITS.lock() += 1;
//! # assert_eq!(*HITS.lock(), 1);
//! ```
//!
//! # What an operating system does not tell
//!
//! A guest's host says which vCPUs it preempted, and runs the one that is named to it. An ordinary
//! kernel does neither for threads. So this environment knows a thread to be off its CPU only
//! when the thread went by itself, and cannot ask for a certain one:
//!
//! | [`Env`](crate::Env) | here |
//! | --- | --- |
//! | `spin_until` | spins for 4 µs, then calls `sched_yield` between looks, and says so in its slot; after 32 such calls in one wait it sleeps instead, 50 to 400 µs at a time |
//! | `run_sample` | *preempted* while the thread is inside such a yield, else *running*: the system's own preemptions are invisible |
//! | `pressure` | always: no thread ever knows that it has a CPU for itself |
//! | `yield_to` | `sched_yield`, whatever is named; the status is `Stale`: look again at once |
//! | `halt`, `kick` | sleeping and waking through a futex of the thread's own; a kick before a halt is remembered |
//! | `now_ns` | [`Instant`](std::time::Instant), from the first look at it |
//!
//! The sleep is for what `sched_yield` does not do: a real-time thread (`SCHED_FIFO`) gives its CPU to
//! threads of its own priority only, and would keep an ordinary thread that holds the lock, on
//! the same CPU, from ever releasing it.
//!
//! Halting does not use [`std::thread::park`]: the one token of a thread belongs to the
//! application, and a lock that used it up would lose the application a wake-up.
//!
//! # Which policy
//!
//! Every [`Policy`](crate::Policy) works. The default is [`Bounded`]: running threads go first, past
//! waiters that gave their CPU away, and none is passed over for more than a millisecond once
//! it stands first. Strict order makes each hand-over wait for one certain thread, which the system
//! runs when it pleases: see `docs/threads.md` for what that costs. Where locks are held for long,
//! [`FifoHalt`](crate::FifoHalt) sleeps instead of yielding.
//!
//! # Slots
//!
//! A thread takes the lowest free one of [`MAX_THREADS`] slots at its first lock, and gives it back
//! when it ends. The slots are 1.5 MiB of zeroes (2 MiB with `counters`), of which only the pages
//! that were used take memory: ten threads to a page. Nothing is allocated.
//!
//! # Defined behaviour
//!
//! - **More threads than slots**: [`register`] says so. A thread that locks all the same never
//!   panics: it gets the lock without a place in the queue, as soon as it finds it free, and spins
//!   until then. So does a destructor of thread-local storage that runs after the slot
//!   was given back.
//! - **A thread that ends** leaves nothing in any queue: who waits, does not end. A guard that
//!   outlives its thread's slot (in thread-local storage) releases as usual. A slot whose thread was
//!   torn out of the slow path (by `pthread_cancel`, say) is never used again, and the lock that it
//!   waited for hangs.
//! - **A panic** in a critical section releases the lock as the guard unwinds, and poisons nothing.
//! - **Fork**: the forking thread keeps its slot in the child, where it can take and release every
//!   lock that no other thread held or awaited at that instant, and may start threads. Those that
//!   another thread held stay locked in the child for ever, and so does one that others queued
//!   for, from its next release on. Slots of the threads that the child does not have stay taken,
//!   because such locks still name them.
//! - **Signal handlers** must not take a lock that the interrupted thread may hold, as everywhere.
//!
//! A guard cannot be sent to another thread. A lock shared between processes is not supported: the
//! slots of the other process are not here.

mod env;
mod parker;
mod presence;
mod slots;

pub use env::Threads;
pub use slots::{MAX_THREADS, TooManyThreads, register, registered};

use crate::api::cell::RwLockOf;
use crate::lock::QSpinLock;
use crate::policy::Bounded;
use crate::rw::lock::QRwLock;
use crate::{Guard, ReadGuard, UpgradableGuard, WriteGuard};

/// Data behind a [`RawMutex`].
///
/// ```
/// use pvqspin::threads::Mutex;
///
/// static LOG: Mutex<Vec<String>> = Mutex::new(Vec::new());
/// LOG.lock().push("one line to declare it, one to use it".to_owned());
///
/// // The type is inferred.
/// let hits = Mutex::new(0);
/// *hits.lock() += 1;
/// ```
pub type Mutex<T> = MutexWith<T, Bounded>;

/// A [`Mutex`] with another policy.
///
/// ```
/// use pvqspin::FifoHalt;
/// use pvqspin::threads::MutexWith;
///
/// // Held for long? Then in order, and asleep while waiting.
/// static SLOW: MutexWith<u32, FifoHalt> = MutexWith::new(0);
/// *SLOW.lock() += 1;
/// ```
pub type MutexWith<T, P> = crate::Mutex<T, Threads, P>;

/// The guard of a [`Mutex`].
pub type MutexGuard<'a, T, P = Bounded> = Guard<'a, T, RawMutex<P>>;

/// The lock of ordinary threads, without data: four bytes.
pub type RawMutex<P = Bounded> = QSpinLock<Threads, P>;

/// Data behind a [`RawRwLock`].
///
/// ```
/// use pvqspin::threads::RwLock;
///
/// let routes = RwLock::new(vec![1, 2]);
/// routes.write().push(3);
/// assert_eq!(routes.read().len(), 3);
/// ```
pub type RwLock<T> = RwLockOf<T, RawRwLock>;

/// A reader's guard of an [`RwLock`].
pub type RwLockReadGuard<'a, T> = ReadGuard<'a, T, RawRwLock>;

/// A writer's guard of an [`RwLock`].
pub type RwLockWriteGuard<'a, T> = WriteGuard<'a, T, RawRwLock>;

/// The guard of a reader of an [`RwLock`] that may become a writer.
pub type RwLockUpgradableGuard<'a, T> = UpgradableGuard<'a, T, RawRwLock>;

/// The reader-writer lock of ordinary threads, without data: eight bytes.
pub type RawRwLock<P = Bounded> = QRwLock<Threads, P>;
