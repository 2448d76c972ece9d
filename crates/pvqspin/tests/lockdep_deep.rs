//! More locks held at once than the order checker has room for. (From then on a release of what is not held
//! is not told any more: hence one file.)

#![cfg(all(feature = "lockdep", not(loom)))]

mod world;

use pvqspin::lockdep::Kind;
use pvqspin::{Fifo, Mutex, QSpinLock};
use world::{Scripted, WORLD};

#[test]
fn seventeen_locks_released_in_the_order_taken_leave_nothing_behind() {
    let kinds = || -> Vec<Kind> {
        let found = WORLD.with(|world| world.violations.take());
        found.iter().map(|violation| violation.kind).collect()
    };
    let locks: Vec<QSpinLock<Scripted, Fifo>> = (0..17).map(|_| QSpinLock::default()).collect();
    let take_all = || {
        let tokens: Vec<_> = locks.iter().map(QSpinLock::lock).collect();
        for (lock, token) in locks.iter().zip(tokens) {
            // SAFETY: taken in the line before.
            unsafe { lock.unlock(token) };
        }
    };
    take_all();
    assert_eq!(kinds(), [Kind::TableFull]);
    take_all();
    assert_eq!(kinds(), [], "once");
    let (a, b) = (
        Mutex::<u32, Scripted>::new(0),
        Mutex::<u32, Scripted>::new(0),
    );
    drop(a.lock());
    drop(b.lock());
    {
        let _a = a.lock();
        let token = locks[0].lock();
        // SAFETY: taken in the line before.
        unsafe { locks[0].unlock(token) };
    }
    assert_eq!(kinds(), []);
}
