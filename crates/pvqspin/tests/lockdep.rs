//! The order checker: each finding once, and none where the order is good.

#![cfg(all(feature = "lockdep", not(loom)))]

mod world;

use pvqspin::lockdep::{ClassName, InterruptState, Kind, Violation};
use pvqspin::{Fifo, Mutex, Native, QSpinLock, RwLock};
use world::{Scripted, WORLD, on, then};

type Lock = Mutex<u32, Scripted, Fifo>;

fn found() -> Vec<Violation> {
    WORLD.with(|world| world.violations.take())
}

/// The checker has one graph for all locks, and a CPU that finds another one learning in it goes on
/// without: tests of what is found must not run beside each other.
fn alone() -> std::sync::MutexGuard<'static, ()> {
    static ALONE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    ALONE
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn kinds() -> Vec<Kind> {
    found().iter().map(|violation| violation.kind).collect()
}

fn interrupts_are(state: InterruptState) {
    WORLD.with(|world| world.interrupts.set(state));
}

#[test]
fn a_before_b_then_b_before_a() {
    let _alone = alone();
    let (a, b) = (Lock::new(0), Lock::new(0));
    on(1, || {
        let _a = a.lock();
        let _b = b.lock();
    });
    assert_eq!(kinds(), []);
    let opposite = || {
        let _b = b.lock();
        let _a = a.lock();
    };
    on(2, opposite);
    let found = found();
    let [violation] = &found[..] else {
        panic!("{found:?}")
    };
    assert_eq!(
        (violation.kind, violation.cpu.index()),
        (Kind::Inversion, 2)
    );
    let text = violation.to_string();
    let [first, now, before] = text.lines().collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    assert!(first.starts_with("lock order: cpu2 takes [") && first.contains("lockdep.rs:"));
    let names = |line: &str| -> Vec<String> {
        let parts = line.split(['[', ']']).skip(1).step_by(2);
        parts.map(str::to_owned).collect()
    };
    // Both orders, with the places where the locks are declared.
    let (now, before) = (names(now), names(before));
    assert_eq!((now.len(), &now[0]), (2, &before[1]));
    assert_eq!(now[1], before[0]);
    on(3, opposite);
    assert_eq!(kinds(), [], "once is enough");
}

#[test]
fn a_circle_of_three() {
    let _alone = alone();
    let (a, b, c) = (Lock::new(0), Lock::new(0), Lock::new(0));
    for (first, second) in [(&a, &b), (&b, &c)] {
        let _first = first.lock();
        let _second = second.lock();
    }
    assert_eq!(kinds(), []);
    let _c = c.lock();
    let _a = a.lock();
    let found = found();
    assert_eq!(found.len(), 1, "{found:?}");
    let earlier: Vec<_> = found[0].earlier().collect();
    assert_eq!(earlier.len(), 3, "a before b before c");
    assert_eq!(
        (Some(*earlier[2]), *earlier[0]),
        (found[0].held, found[0].class)
    );
}

#[test]
fn consistent_orders_are_no_finding() {
    let _alone = alone();
    let locks: [Lock; 6] = [
        Lock::new(0),
        Lock::new(0),
        Lock::new(0),
        Lock::new(0),
        Lock::new(0),
        Lock::new(0),
    ];
    for from in 0..locks.len() {
        for step in 1..3 {
            let guards: Vec<_> = locks
                .iter()
                .skip(from)
                .step_by(step)
                .map(Lock::lock)
                .collect();
            // Released in the order in which they were taken.
            guards.into_iter().for_each(drop);
        }
    }
    assert_eq!(kinds(), []);
    // A lock that is only tried for is not waited for.
    let _last = locks[5].lock();
    assert!(locks[0].try_lock().is_some());
    assert_eq!(kinds(), []);
}

#[test]
fn two_of_one_class() {
    let _alone = alone();
    let locks: Vec<Lock> = (0..2).map(Lock::new).collect();
    let twin = || Lock::new(0);
    let (one, two) = (twin(), twin());
    {
        let _one = one.lock();
        let _two = two.lock();
        let _one_more = locks[0].lock();
    }
    assert_eq!(kinds(), [Kind::Recursion]);
    let _two = two.lock();
    let _one = one.lock();
    assert_eq!(kinds(), [], "once for each class");
}

#[test]
fn locks_out_of_a_constant_are_their_own_classes() {
    let _alone = alone();
    let (a, b) = (Lock04::new(0), Lock04::new(0));
    for _ in 0..2 {
        let _a = a.lock();
        let _b = b.lock();
    }
    assert_eq!(kinds(), []);
    let _b = b.lock();
    let _a = a.lock();
    let found = found();
    assert_eq!(found.len(), 1);
    assert!(matches!(found[0].class, ClassName::Address(_)), "{found:?}");
}

type Lock04 = lock_api::Mutex<QSpinLock<Scripted, Native>, u32>;

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
fn readers_count_for_the_order_too() {
    let _alone = alone();
    // Under a fair lock a reader waits behind a waiting writer.
    let (a, b): (RwLock<u32, Scripted>, RwLock<u32, Scripted>) = (RwLock::new(0), RwLock::new(0));
    {
        let _a = a.read();
        let _b = b.read();
    }
    let _b = b.read();
    let _a = a.read();
    assert_eq!(kinds(), [Kind::Inversion]);
}

#[test]
fn a_release_of_what_is_not_held() {
    let _alone = alone();
    let lock: QSpinLock<Scripted, Fifo> = QSpinLock::new();
    let token = on(1, || lock.lock());
    // SAFETY: no other thread is about; the wrong CPU is what is to be found.
    on(2, || unsafe { lock.unlock(token) });
    let found = found();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].to_string().contains("cpu2 releases ["),
        "{}",
        found[0]
    );
}

#[test]
fn hand_over_hand_never_runs_out_of_room() {
    let _alone = alone();
    let locks: Vec<Lock> = (0..40).map(Lock::from).collect();
    let before = pvqspin::lockdep::stats().overflows;
    let mut held = locks[0].lock();
    for lock in &locks[1..] {
        let next = lock.lock();
        held = next;
    }
    drop(held);
    let _ = kinds();
    assert_eq!(pvqspin::lockdep::stats().overflows, before, "two at a time");
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
fn nested_readers_are_part_of_no_order() {
    let _alone = alone();
    let a: RwLock<u32, Scripted> = RwLock::new(0);
    let b: RwLock<u32, Scripted> = RwLock::new(0);
    {
        let _a = a.read();
        let _b = b.read_nested();
    }
    let _b = b.read();
    let _a = a.read_nested();
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

/// A hook that panics, as a kernel's may, leaves neither the lock held nor interrupts masked.
mod hooks_that_panic {
    use std::cell::Cell;
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use pvqspin::bare::{Bare, Kernel};
    use pvqspin::irq::{self, Interrupts};
    use pvqspin::lockdep::Violation;
    use pvqspin::{Cpu, CpuNodes, Mutex};

    struct Panics;

    static NODES: [CpuNodes; 2] = [const { CpuNodes::new() }; 2];
    thread_local! {
        static CPU: Cell<usize> = const { Cell::new(0) };
        static ENABLED: Cell<bool> = const { Cell::new(true) };
    }

    impl Kernel for Panics {
        fn cpu() -> Cpu {
            Cpu::new(CPU.get()).expect("in range")
        }
        fn nodes(cpu: Cpu) -> &'static CpuNodes {
            &NODES[cpu.index()]
        }
        fn order_violation(violation: &Violation) {
            panic!("{violation}");
        }
    }

    struct Flag;

    impl Interrupts for Flag {
        type State = bool;
        fn mask() -> bool {
            ENABLED.replace(false)
        }
        unsafe fn restore(state: bool) {
            ENABLED.set(state);
        }
    }

    #[test]
    fn the_lock_is_free_and_interrupts_are_as_before() {
        let _alone = super::alone();
        type Lock = irq::Mutex<u32, Bare<Panics>, Flag>;
        let (a, b) = (Lock::new(0), Lock::new(0));
        {
            let _a = a.lock();
            let _b = b.lock();
        }
        let inversion = catch_unwind(AssertUnwindSafe(|| {
            let _b = b.lock();
            let _a = a.lock();
        }));
        assert!(inversion.is_err());
        assert!(ENABLED.get() && !a.is_locked() && !b.is_locked());

        let plain: Mutex<u32, Bare<Panics>> = Mutex::new(0);
        let not_held = catch_unwind(AssertUnwindSafe(|| {
            let guard = plain.lock();
            CPU.set(1);
            drop(guard);
        }));
        assert!(not_held.is_err());
        assert!(!plain.is_locked());
        CPU.set(0);
    }
}
