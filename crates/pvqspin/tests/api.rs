//! What callers see: types that infer, guards that can be mapped, and ways from one kind of access to
//! another.

#![cfg(not(loom))]

use std::cell::Cell;
use std::fmt::Display;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

use pvqspin::bare::uniprocessor::OneCpu;
use pvqspin::bare::{self, Bare};
use pvqspin::irq::{self, Interrupts};
use pvqspin::threads::{Mutex, RwLock};
use pvqspin::{Guard, MappedReadGuard, ReadGuard, UpgradableGuard, WriteGuard};

thread_local!(static MASKED: Cell<u32> = const { Cell::new(0) });

/// Counts how often it is masked.
struct Nested;

impl Interrupts for Nested {
    type State = u32;

    fn mask() -> u32 {
        MASKED.replace(MASKED.get() + 1)
    }

    unsafe fn restore(before: u32) {
        MASKED.set(before);
    }
}

#[test]
fn types_are_inferred() {
    let mutex = Mutex::new(1);
    *mutex.lock() += 1;
    assert_eq!(mutex.into_inner(), 2);
    let rw = RwLock::new(String::new());
    rw.write().push('x');
    assert_eq!(*rw.read(), "x");
    let one = bare::uniprocessor::Mutex::new([1, 2]);
    assert_eq!(one.lock()[1], 2);
}

#[test]
fn new_locks_come_from_their_data() {
    let empty: Mutex<Vec<u8>> = Mutex::default();
    assert!(empty.lock().is_empty());
    let full: Mutex<&str> = "text".into();
    assert_eq!(full.lock().to_string(), "text");
    let rw = RwLock::from(3);
    assert_eq!(*rw.read(), 3);
    let rw: RwLock<u8> = RwLock::default();
    assert_eq!(rw.into_inner(), 0);
}

#[test]
fn what_is_locked_says_so_and_the_rest_shows_its_data() {
    let mutex = Mutex::new(vec![0, 10]);
    assert_eq!(format!("{mutex:?}"), "Mutex { data: [0, 10] }");
    let guard = mutex.lock();
    assert_eq!(format!("{mutex:?}"), "Mutex { data: <locked> }");
    assert_eq!(format!("{guard:?}"), "[0, 10]");
    drop(guard);
    let rw = RwLock::new(7);
    let reader = rw.read();
    assert_eq!(format!("{rw:?}"), "RwLock { data: 7 }");
    assert_eq!(format!("{reader} {reader:?}"), "7 7");
    drop(reader);
    let writer = rw.write();
    assert_eq!(format!("{rw:?}"), "RwLock { data: <locked> }");
    assert_eq!(writer.to_string(), "7");
}

#[test]
fn a_guard_may_show_a_part_only() {
    let mutex = Mutex::new((1, Some(2)));
    *Guard::map(mutex.lock(), |pair| &mut pair.0) += 10;
    let second = Guard::try_map(mutex.lock(), |pair| pair.1.as_mut());
    *second.expect("there is one") += 10;
    assert_eq!(*mutex.lock(), (11, Some(12)));
    mutex.lock().1 = None;
    let whole = Guard::try_map(mutex.lock(), |pair| pair.1.as_mut()).expect_err("there is none");
    assert_eq!(whole.0, 11);
    assert!(mutex.is_locked());
    drop(whole);
    assert!(!mutex.is_locked());

    let rw = RwLock::new([1, 2]);
    let part = WriteGuard::map(rw.write(), |both| &mut both[0]);
    assert!(rw.try_read().is_none());
    drop(part);
    let part = MappedReadGuard::map(ReadGuard::map(rw.read(), |both| &both[..]), |both| &both[1]);
    assert!(*part == 2 && rw.try_write().is_none() && rw.try_read().is_some());
    drop(part);
    assert!(!rw.is_locked());
    let words: RwLock<(u8, Box<str>)> = RwLock::new((0, "ab".into()));
    let text: MappedReadGuard<'_, str, _> = ReadGuard::map(words.read(), |words| &*words.1);
    assert_eq!(&*text, "ab");
}

#[test]
fn a_panic_while_a_guard_is_mapped_releases_the_lock() {
    let mutex = Mutex::new(0);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(Guard::map(mutex.lock(), |_| -> &mut u8 {
            panic!("on purpose")
        }));
    }));
    assert!(outcome.is_err() && !mutex.is_locked());
}

#[test]
fn a_writer_becomes_a_reader() {
    let rw = RwLock::new(1);
    let mut writer = rw.write();
    *writer = 2;
    let reader = WriteGuard::downgrade(writer);
    assert!(*reader == 2 && !rw.is_locked_exclusive());
    assert!(rw.try_read().is_some() && rw.try_write().is_none());
    drop(reader);
    assert!(!rw.is_locked());
}

#[test]
fn a_reader_becomes_a_writer() {
    let rw = RwLock::new(1);
    let reader = rw.read();
    let upgradable = rw.try_upgradable_read().expect("nothing writes");
    assert!(rw.try_upgradable_read().is_none(), "one at a time");
    assert!(rw.try_write().is_none());
    let upgradable = UpgradableGuard::try_upgrade(upgradable).expect_err("there is a reader");
    drop(reader);
    let mut writer = UpgradableGuard::try_upgrade(upgradable).expect("there is none any more");
    *writer = 2;
    assert!(rw.try_read().is_none());
    drop(writer);
    let reader = UpgradableGuard::downgrade(rw.upgradable_read());
    assert!(*reader == 2 && rw.try_read().is_some());
    drop(reader);
    drop(rw.upgradable_read());
    assert!(!rw.is_locked() && rw.try_write().is_some());
}

/// Each thread adds one in a section that begins to read and goes on to write: an update that came in
/// between would be lost.
#[test]
fn no_writer_comes_between_an_upgradable_read_and_its_upgrade() {
    const THREADS: u64 = 6;
    const ROUNDS: u64 = 2_000;
    let rw = RwLock::new((0, 0));
    let torn = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let (rw, torn) = (&rw, &torn);
            scope.spawn(move || {
                for round in 0..ROUNDS {
                    match (thread + round) % 3 {
                        0 => {
                            let reader = rw.upgradable_read();
                            let seen = reader.0;
                            let mut writer = UpgradableGuard::upgrade(reader);
                            writer.0 = seen + 1;
                            writer.1 = seen + 1;
                        }
                        1 => {
                            let mut writer = rw.write();
                            writer.0 += 1;
                            writer.1 += 1;
                            let written = writer.0;
                            let reader = WriteGuard::downgrade(writer);
                            if reader.0 != written {
                                torn.store(true, Relaxed);
                            }
                        }
                        _ => {
                            let reader = rw.read();
                            if reader.0 != reader.1 {
                                torn.store(true, Relaxed);
                            }
                        }
                    }
                }
            });
        }
    });
    assert!(!torn.load(Relaxed), "a section was torn");
    assert_eq!(
        *rw.read(),
        (THREADS * ROUNDS / 3 * 2, THREADS * ROUNDS / 3 * 2)
    );
    assert!(!rw.is_locked());
}

type Irq<T> = irq::Mutex<T, Bare<OneCpu>, Nested>;
type IrqRw<T> = irq::RwLock<T, Bare<OneCpu>, Nested>;

#[test]
fn interrupts_are_masked_for_as_long_as_a_guard_lives() {
    let masked = || MASKED.get();
    let mutex: Irq<u8> = Irq::new(1);
    let guard = mutex.lock();
    assert_eq!(masked(), 1);
    assert!(mutex.try_lock().is_none());
    assert_eq!(masked(), 1, "put back where it was not to be had");
    drop(Guard::map(guard, |data| data));
    assert_eq!(masked(), 0);

    let rw: IrqRw<u8> = IrqRw::new(1);
    let writer = rw.write();
    assert_eq!(masked(), 1);
    assert!(rw.try_read().is_none());
    let reader = WriteGuard::downgrade(writer);
    let nested = rw.read_nested();
    assert_eq!(masked(), 2);
    assert!(rw.try_write().is_none() && rw.try_read().is_some());
    drop(nested);
    drop(reader);
    let writer = UpgradableGuard::upgrade(rw.upgradable_read());
    assert_eq!(masked(), 1);
    drop(writer);
    assert_eq!(masked(), 0);
    assert!(!rw.is_locked());
}

#[test]
fn guards_stay_on_their_cpu_and_may_be_looked_at_from_others() {
    fn shared<T: Sync>(_: &T) {}
    fn shown<T: Display>(_: &T) {}
    let mutex = Mutex::new(1);
    let guard = mutex.lock();
    shared(&guard);
    shown(&guard);
    // Not `Send`: of the two implementations below only one may apply to a guard.
    trait Ambiguous<A> {
        fn pick() {}
    }
    impl<T: ?Sized> Ambiguous<()> for T {}
    struct Sends;
    impl<T: ?Sized + Send> Ambiguous<Sends> for T {}
    let _ = <pvqspin::threads::MutexGuard<'_, u8> as Ambiguous<_>>::pick;
    let _ = <pvqspin::threads::RwLockReadGuard<'_, u8> as Ambiguous<_>>::pick;
    let _ = <pvqspin::threads::RwLockWriteGuard<'_, u8> as Ambiguous<_>>::pick;
    let _ = <pvqspin::threads::RwLockUpgradableGuard<'_, u8> as Ambiguous<_>>::pick;
}
