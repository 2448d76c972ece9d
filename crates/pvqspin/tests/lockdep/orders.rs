//! Orders of locks: which are a finding, and which are none.

use pvqspin::lockdep::{ClassName, Kind};
use pvqspin::{Fifo, Native, QSpinLock, RwLock};

use crate::found::{Lock, alone, found, kinds};
use crate::world::{Scripted, on};

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
    assert!(first.starts_with("lock order: cpu2 takes [") && first.contains("orders.rs:"));
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
