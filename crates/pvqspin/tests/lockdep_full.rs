//! More locks than the order checker has room for. (A process has one graph: hence one file.)

#![cfg(all(feature = "lockdep", not(loom)))]

mod world;

use pvqspin::lockdep::{Kind, stats};
use pvqspin::{Fifo, QSpinLock};
use world::{Scripted, WORLD};

#[test]
fn full_tables_are_counted_and_reported_once() {
    let kinds = || -> Vec<Kind> {
        let found = WORLD.with(|world| world.violations.take());
        found.iter().map(|violation| violation.kind).collect()
    };
    // From `Default`, each lock is its own class.
    let locks: Vec<QSpinLock<Scripted, Fifo>> = (0..200).map(|_| QSpinLock::default()).collect();
    let take_all = |locks: &[QSpinLock<Scripted, Fifo>]| {
        let tokens: Vec<_> = locks.iter().map(|lock| (lock, lock.lock())).collect();
        for (lock, token) in tokens.into_iter().rev() {
            // SAFETY: taken above.
            unsafe { lock.unlock(token) };
        }
    };
    locks.chunks(10).for_each(take_all);
    assert_eq!(kinds(), [Kind::TableFull]);
    assert_eq!((stats().classes, stats().missed), (128, 0));
    assert!(stats().overflows >= 72);
    // Deeper than the stack of held locks: neither a panic nor a false finding.
    take_all(&locks[..60]);
    take_all(&locks[..60]);
    assert_eq!(kinds(), []);
    // What there was room for is still checked.
    take_all(&locks[..2]);
    let tokens = (locks[1].lock(), locks[0].lock());
    assert_eq!(kinds(), [Kind::Inversion]);
    // SAFETY: taken above.
    unsafe {
        locks[1].unlock(tokens.0);
        locks[0].unlock(tokens.1);
    }
}
