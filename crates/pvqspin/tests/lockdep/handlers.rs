//! Locks that are taken with interrupts enabled, masked, and in handlers.

use pvqspin::lockdep::{InterruptState, Kind};
use pvqspin::{Fifo, RwLock};

use crate::found::{Lock, alone, found, kinds};
use crate::world::{Scripted, WORLD, on, then};

fn interrupts_are(state: InterruptState) {
    WORLD.with(|world| world.interrupts.set(state));
}

#[test]
fn handlers_and_enabled_interrupts_do_not_mix() {
    let _alone = alone();
    let (both, masked, unknown) = (Lock::new(0), Lock::new(0), Lock::new(0));
    interrupts_are(InterruptState::Enabled);
    drop(both.lock());
    interrupts_are(InterruptState::Masked);
    drop(masked.lock());
    interrupts_are(InterruptState::Unknown);
    drop(unknown.lock());
    interrupts_are(InterruptState::Handler);
    for lock in [&masked, &unknown] {
        drop(lock.lock());
        assert_eq!(kinds(), []);
    }
    drop(both.lock());
    assert_eq!(kinds(), [Kind::Interrupt]);
    drop(both.lock());
    assert_eq!(kinds(), [], "once");
}

#[test]
fn handlers_may_read_nested_what_tasks_read_with_interrupts_enabled() {
    let _alone = alone();
    let lock: RwLock<u32, Scripted, Fifo> = RwLock::new(0);
    interrupts_are(InterruptState::Enabled);
    let outer = lock.read();
    interrupts_are(InterruptState::Handler);
    drop(lock.read_nested());
    assert_eq!(kinds(), []);
    drop(outer);
    interrupts_are(InterruptState::Enabled);
    drop(lock.write());
    assert_eq!(kinds(), [Kind::Interrupt]);
}

#[test]
fn an_order_that_starts_in_a_handler_must_not_end_with_interrupts_enabled() {
    // S is taken by handlers, and with interrupts masked; U with interrupts enabled or masked.
    for last in 0..3 {
        let _alone = alone();
        // A class is an address: one for each round.
        let fresh = || -> &'static Lock { Box::leak(Box::new(Lock::from(0))) };
        let (s, u) = (fresh(), fresh());
        let in_handler = || {
            interrupts_are(InterruptState::Handler);
            on(0, || drop(s.lock()));
        };
        let nested = || {
            interrupts_are(InterruptState::Masked);
            on(1, || {
                let _s = s.lock();
                drop(u.lock());
            });
        };
        let enabled = || {
            interrupts_are(InterruptState::Enabled);
            on(2, || drop(u.lock()));
        };
        // Whichever of the three comes last.
        let steps: [&dyn Fn(); 3] = [&in_handler, &nested, &enabled];
        for step in 1..=3 {
            assert_eq!(kinds(), [], "{last}: nothing before the third");
            steps[(last + step) % 3]();
        }
        let found = found();
        assert_eq!(found.len(), 1, "{last}: {found:?}");
        assert_eq!(found[0].kind, Kind::InterruptOrder);
        assert_eq!(found[0].earlier().count(), 2);
        let text = found[0].to_string();
        assert!(text.contains("] before ["), "{text}");
        steps.iter().for_each(|step| step());
        assert_eq!(kinds(), [], "once");
    }
}

#[test]
fn a_lock_that_was_tried_for_may_be_what_a_handler_waits_for() {
    let _alone = alone();
    let lock = Lock::new(0);
    interrupts_are(InterruptState::Enabled);
    drop(lock.try_lock());
    interrupts_are(InterruptState::Handler);
    drop(lock.lock());
    assert_eq!(kinds(), [Kind::Interrupt]);
    // A handler that only tries waits for nothing.
    let lock = Lock::new(0);
    interrupts_are(InterruptState::Enabled);
    drop(lock.lock());
    interrupts_are(InterruptState::Handler);
    drop(lock.try_lock());
    assert_eq!(kinds(), []);
}

#[test]
fn a_handler_that_takes_what_its_cpu_waits_for_is_found_before_it_hangs() {
    let _alone = alone();
    let lock: &'static Lock = Box::leak(Box::new(Lock::new(0)));
    interrupts_are(InterruptState::Masked);
    std::mem::forget(on(1, || lock.lock()));
    assert_eq!(kinds(), []);
    then(move || {
        // CPU 0 waits, and is interrupted. Its handler would wait behind it for ever.
        interrupts_are(InterruptState::Unknown);
        then(|| {
            assert_eq!(kinds(), [Kind::Recursion]);
            std::panic::panic_any("on purpose: the way out of two waits that never end");
        });
        std::mem::forget(lock.lock());
    });
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        on(0, || drop(lock.lock()));
    }));
    let message = outcome.expect_err("it never gets the lock");
    assert!(
        message
            .downcast_ref::<&str>()
            .is_some_and(|text| text.starts_with("on purpose"))
    );
}
