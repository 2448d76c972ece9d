//! The lock in ordinary threads: exclusion under every policy, slots, ends of threads, panics.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Barrier, LazyLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use pvqspin::threads::{Mutex, MutexGuard, MutexWith, Threads, registered};
use pvqspin::{Bounded, Fifo, FifoHalt, FifoHolder, Format, Idx3, Native, Policy, SpareBit};

/// More threads than most machines have CPUs, each with nested sections: a lost wake-up hangs, a
/// second thread inside loses a count.
fn excludes<P: Policy, W: Format>() {
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 2_000;
    let outer = pvqspin::Mutex::<u64, Threads, P, W>::new(0);
    let inner = pvqspin::Mutex::<u64, Threads, P, W>::new(0);
    thread::scope(|scope| {
        for number in 0..THREADS {
            let (outer, inner) = (&outer, &inner);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    let mut outer = outer.lock();
                    let before = *outer;
                    if (round + number).is_multiple_of(64) {
                        // Longer than any spin budget: policies that halt do.
                        thread::sleep(Duration::from_micros(150));
                    }
                    if round.is_multiple_of(3) {
                        *inner.lock() += 1;
                    }
                    *outer = before + 1;
                    drop(outer);
                    *inner.lock() += 1;
                }
            });
        }
    });
    assert_eq!(*outer.lock(), THREADS * ROUNDS, "{}", P::NAME);
    let nested = THREADS * ROUNDS.div_ceil(3);
    assert_eq!(*inner.lock(), THREADS * ROUNDS + nested, "{}", P::NAME);
}

#[test]
fn native_excludes() {
    excludes::<Native, Idx3>();
}

#[test]
fn fifo_excludes() {
    excludes::<Fifo, Idx3>();
    excludes::<Fifo, SpareBit>();
}

#[test]
fn fifo_halt_excludes() {
    excludes::<FifoHalt, Idx3>();
    excludes::<FifoHalt, SpareBit>();
}

#[test]
fn fifo_holder_excludes() {
    excludes::<FifoHolder, Idx3>();
}

#[test]
fn bounded_excludes() {
    excludes::<Bounded, Idx3>();
    excludes::<Bounded<50>, SpareBit>();
}

#[test]
fn slots_are_used_again_and_again() {
    static LOCK: Mutex<u64> = Mutex::new(0);
    const GENERATIONS: u64 = 1_500;
    const AT_ONCE: u64 = 4;
    for _ in 0..GENERATIONS {
        let threads: Vec<_> = (0..AT_ONCE)
            .map(|_| thread::spawn(|| *LOCK.lock() += 1))
            .collect();
        for thread in threads {
            thread.join().expect("it only counts");
        }
    }
    assert_eq!(*LOCK.lock(), GENERATIONS * AT_ONCE);
    // Tests beside this one have slots too, but not hundreds.
    assert!(registered() < 500, "{} slots are taken", registered());
}

#[test]
fn a_panic_releases_the_lock_and_poisons_nothing() {
    static LOCK: MutexWith<u32, FifoHalt> = MutexWith::new(7);
    let waiting = AtomicU64::new(0);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                waiting.fetch_add(1, Relaxed);
                *LOCK.lock() += 1;
            });
        }
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let _guard = LOCK.lock();
            while waiting.load(Relaxed) < 3 {
                thread::yield_now();
            }
            thread::sleep(Duration::from_millis(5));
            std::panic::resume_unwind(Box::new("in the critical section"));
        }));
        assert!(panicked.is_err());
    });
    assert_eq!(*LOCK.lock(), 10, "all three came in after the panic");
}

const ROUNDS_AT_END: u64 = 400;

/// Adds to the lock when its thread ends.
struct LocksAtEnd<P: Policy> {
    lock: &'static MutexWith<u64, P>,
    together: &'static Barrier,
}

impl<P: Policy> Drop for LocksAtEnd<P> {
    fn drop(&mut self) {
        self.together.wait();
        for round in 0..ROUNDS_AT_END {
            let mut count = self.lock.lock();
            if round.is_multiple_of(8) {
                // Others come meanwhile, and have to wait.
                thread::yield_now();
            }
            *count += 1;
        }
    }
}

#[test]
fn destructors_of_thread_local_storage_may_lock() {
    fn check<P: Policy>(
        lock: &'static MutexWith<u64, P>,
        together: &'static Barrier,
        before: &'static thread::LocalKey<RefCell<Option<LocksAtEnd<P>>>>,
        after: &'static thread::LocalKey<RefCell<Option<LocksAtEnd<P>>>>,
    ) {
        let threads: Vec<_> = (0..6)
            .map(|_| {
                thread::spawn(move || {
                    // One is there before the thread has a slot and one comes later: whatever
                    // the order of destruction is, one of them runs after the slot was given back.
                    before.set(Some(LocksAtEnd { lock, together }));
                    *lock.lock() += 1;
                    after.set(Some(LocksAtEnd { lock, together }));
                })
            })
            .collect();
        for thread in threads {
            thread.join().expect("it only counts");
        }
        let expected = 6 * (1 + 2 * ROUNDS_AT_END);
        assert_eq!(*lock.lock(), expected, "{}", P::NAME);
    }
    macro_rules! check {
        ($($policy:ty),*) => {$({
            static LOCK: MutexWith<u64, $policy> = MutexWith::new(0);
            static TOGETHER: LazyLock<Barrier> = LazyLock::new(|| Barrier::new(6));
            thread_local! {
                static BEFORE: RefCell<Option<LocksAtEnd<$policy>>> = const { RefCell::new(None) };
                static AFTER: RefCell<Option<LocksAtEnd<$policy>>> = const { RefCell::new(None) };
            }
            check(&LOCK, &TOGETHER, &BEFORE, &AFTER);
        })*};
    }
    check!(Native, Fifo, FifoHalt, FifoHolder, Bounded);
    #[cfg(feature = "counters")]
    {
        let outside = pvqspin::Cpu::new(pvqspin::threads::MAX_THREADS).expect("it has a number");
        let past = <Threads as pvqspin::Env>::nodes(outside).events(pvqspin::Event::NodeExhausted);
        assert!(past > 0, "no thread locked after its slot was given back");
    }
}

#[test]
fn a_guard_that_outlives_its_slot_releases() {
    static LOCK: MutexWith<u32, FifoHalt> = MutexWith::new(0);
    thread_local! {
        static KEPT: Cell<Option<MutexGuard<'static, u32, FifoHalt>>> = const { Cell::new(None) };
    }
    let (locked, is_locked) = mpsc::channel();
    let holder = thread::spawn(move || {
        // Touched before the first lock, so destroyed after the slot was given back.
        KEPT.set(None);
        KEPT.set(Some(LOCK.lock()));
        locked.send(()).expect("the receiver is there");
        // Long enough for the others to queue and to fall asleep.
        thread::sleep(Duration::from_millis(20));
    });
    is_locked.recv().expect("it locks");
    let behind: Vec<_> = (0..3)
        .map(|_| thread::spawn(|| *LOCK.lock() += 1))
        .collect();
    for thread in behind.into_iter().chain([holder]) {
        thread.join().expect("no thread hangs");
    }
    assert_eq!(*LOCK.lock(), 3);
}

#[test]
fn waiters_under_a_long_hold_sleep() {
    static LOCK: MutexWith<(), FifoHalt> = MutexWith::new(());
    let cpu_time = || {
        let mut now = libc::timespec {
            tv_sec: 0,
            tv_nsec: 0,
        };
        // SAFETY: `now` is valid for writes.
        let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut now) };
        assert_eq!(failed, 0);
        Duration::new(now.tv_sec as u64, now.tv_nsec as u32)
    };
    let (begins, has_begun) = mpsc::channel();
    let guard = LOCK.lock();
    let waiter = thread::spawn(move || {
        let (began, used) = (Instant::now(), cpu_time());
        begins.send(()).expect("the receiver is there");
        drop(LOCK.lock());
        (began.elapsed(), cpu_time() - used)
    });
    has_begun.recv().expect("it begins");
    thread::sleep(Duration::from_millis(200));
    drop(guard);
    let (waited, used) = waiter.join().expect("it gets the lock");
    // Not a matter of speed: a waiter that never sleeps uses all of the time that it waits.
    assert!(used < waited / 4, "{used:?} of {waited:?}");
}
