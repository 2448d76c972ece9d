//! Threads as CPUs, behind each of the traits.

use std::cell::{Cell, RefCell};
use std::thread;

use embassy_sync::blocking_mutex::Mutex;
use mutex_traits::{ConstInit, ScopedRawMutex};
use pvqspin::irq::Interrupts;
use pvqspin::threads::Threads;
use pvqspin_adapters::Raw;

const THREADS: usize = 4;
const ROUNDS: usize = 5_000;

thread_local!(static MASKED: Cell<u32> = const { Cell::new(0) });

/// Counts how deep it is masked.
struct Depth;

impl Interrupts for Depth {
    type State = u32;

    fn mask() -> u32 {
        MASKED.replace(MASKED.get() + 1)
    }

    unsafe fn restore(before: u32) {
        MASKED.set(before);
    }
}

pvqspin_adapters::critical_section_with!(Threads, Depth);

fn at_once(work: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    work();
                }
                assert_eq!(MASKED.get(), 0);
            });
        }
    });
}

#[test]
fn critical_sections_exclude_and_nest() {
    static COUNT: critical_section::Mutex<Cell<usize>> = critical_section::Mutex::new(Cell::new(0));
    at_once(|| {
        critical_section::with(|outer| {
            let seen = COUNT.borrow(outer).get();
            assert_eq!(MASKED.get(), 1);
            critical_section::with(|inner| {
                assert_eq!(MASKED.get(), 1);
                COUNT.borrow(inner).set(seen + 1);
            });
            assert_eq!(COUNT.borrow(outer).get(), seen + 1);
        });
    });
    let count = critical_section::with(|section| COUNT.borrow(section).get());
    assert_eq!(count, THREADS * ROUNDS);
}

#[test]
fn a_scoped_mutex_excludes() {
    static LOCK: Raw<Threads, Depth> = Raw::INIT;
    struct Shared(Cell<usize>);
    // SAFETY: used under the lock only.
    unsafe impl Sync for Shared {}
    static COUNT: Shared = Shared(Cell::new(0));
    at_once(|| LOCK.with_lock(|| COUNT.0.set(COUNT.0.get() + 1)));
    assert_eq!(COUNT.0.get(), THREADS * ROUNDS);
    let inner = LOCK.with_lock(|| LOCK.try_with_lock(|| ()).is_none() && LOCK.is_locked());
    assert!(inner && LOCK.try_with_lock(|| ()).is_some());
    let outcome = std::panic::catch_unwind(|| LOCK.with_lock(|| panic!("on purpose")));
    assert!(outcome.is_err() && !LOCK.is_locked() && MASKED.get() == 0);
}

#[test]
fn a_mutex_of_embassy_excludes() {
    static COUNT: Mutex<Raw<Threads, Depth>, RefCell<usize>> = Mutex::new(RefCell::new(0));
    at_once(|| COUNT.lock(|count| *count.borrow_mut() += 1));
    assert_eq!(COUNT.lock(|count| *count.borrow()), THREADS * ROUNDS);
}
