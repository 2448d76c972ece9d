//! Reports of locks in every state, and of locks that are damaged.

#![cfg(not(loom))]

mod world;

use pvqspin::report::{Holder, Place};
use pvqspin::{Bounded, Fifo, FifoHalt, Idx3, Native, Policy, QRwLock, QSpinLock, RunState};
use world::{Scripted, WORLD, cpu, host_says, on, then};

fn lock<P: Policy>() -> &'static QSpinLock<Scripted, P, Idx3> {
    Box::leak(Box::new(QSpinLock::new()))
}

/// Takes the lock on a CPU; what comes back releases it.
fn held_by<P: Policy>(
    holder: usize,
    lock: &'static QSpinLock<Scripted, P, Idx3>,
) -> impl FnOnce() + use<P> {
    let token = on(holder, || lock.lock());
    // SAFETY: taken above, on the same CPU.
    move || on(holder, || unsafe { lock.unlock(token) })
}

fn pass(us: u64) {
    WORLD.with(|world| world.now_us.set(world.now_us.get() + us));
}

const STALE: &str = "\n  (seen while others went on: may be stale)";

#[test]
fn free_and_held_by_one() {
    let lock = lock::<Fifo>();
    assert_eq!(
        lock.report().to_string(),
        format!("word 0x00000000: free{STALE}")
    );
    let release = held_by(5, lock);
    host_says(5, RunState::Preempted, 1);
    assert_eq!(
        lock.report().to_string(),
        format!("word 0x001b0001: held by cpu5 (preempted){STALE}")
    );
    release();
}

#[test]
fn a_native_lock_has_no_names() {
    let lock = lock::<Native>();
    let release = held_by(0, lock);
    then(move || {
        let report = lock.report();
        assert_eq!((report.holder, report.pending), (Holder::Unnamed, true));
        assert_eq!(
            report.to_string(),
            format!("word 0x00000101: held\n  one pending{STALE}")
        );
        release();
    });
    held_by(1, lock)();
}

/// The next step of the script, in the second budget of the wait that comes: a wait is noted when the
/// first one is gone.
fn after_a_budget(step: impl FnOnce() + 'static) {
    then(|| ());
    then(step);
}

#[test]
fn a_queue_of_three_one_of_them_nested() {
    let lock = lock::<Fifo>();
    let outer = self::lock::<Fifo>();
    let (release, release_outer) = (held_by(0, lock), held_by(6, outer));
    // CPU 1 is first, CPU 2 second; CPU 3 waits for another lock when an interrupt makes it third.
    after_a_budget(move || {
        pass(30);
        after_a_budget(move || {
            pass(500);
            then(move || {
                then(move || {
                    pass(7);
                    host_says(0, RunState::Preempted, 3);
                    host_says(2, RunState::Halted, 3);
                    let report = lock.report();
                    assert_eq!(
                        report.to_string(),
                        format!(
                            "word 0x0011{:04x}: held by cpu0 (preempted)\
                             \n  cpu1 (running) first in line, for 537 us\
                             \n  cpu2 (halted) queued, for 507 us\
                             \n  cpu3 (running) queued, in context 1{STALE}",
                            report.word & 0xffff
                        )
                    );
                    assert!(!report.incomplete);
                    std::panic::resume_unwind(Box::new("seen"));
                });
                let _ = on(3, || lock.lock());
            });
            let _ = on(3, || outer.lock());
        });
        let _ = on(2, || lock.lock());
    });
    let seen = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| on(1, || lock.lock())));
    let payload = seen.expect_err("the script ends it");
    assert_eq!(payload.downcast_ref(), Some(&"seen"));
    drop((release, release_outer));
}

#[test]
fn a_halted_head_wants_a_kick() {
    let lock = lock::<FifoHalt>();
    let release = held_by(0, lock);
    then(|| {}); // the spin budget
    then(move || {
        host_says(1, RunState::Halted, 2);
        let report = lock.report();
        let first = report.waiters().next().expect("one waits");
        assert_eq!(
            (first.place, first.cpu.run),
            (Place::First, Some(RunState::Halted))
        );
        release();
        let report = lock.report();
        assert!(
            report
                .to_string()
                .contains("free, and cpu1 (halted) may take it"),
            "{report}"
        );
    });
    held_by(1, lock)();
}

#[test]
fn a_circle_of_edges_is_named_and_ends() {
    let lock = lock::<Fifo>();
    let release = held_by(2, lock);
    WORLD.with(|world| {
        for (from, to) in [(2, 4), (4, 7), (7, 4)] {
            world.waiting_for[from].set(Some(cpu(to)));
        }
    });
    let report = lock.report();
    assert!(report.chain.is_some_and(|chain| chain.is_circular()));
    assert!(
        report.to_string().contains(
            "held by cpu2 (running), who waits for cpu4 (running), who waits for cpu7 (running), \
             who waits for cpu4 (running): a circle"
        ),
        "{report}"
    );
    release();
}

#[test]
fn no_damaged_word_or_link_hangs_or_panics() {
    let lock = lock::<Fifo>();
    let release = held_by(0, lock);
    then(move || {
        then(move || {
            let report = lock.report();
            assert_eq!(report.waiters().count(), 2);
            std::panic::resume_unwind(Box::new(()));
        });
        let _ = on(2, || lock.lock());
    });
    let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| on(1, || lock.lock())));
    drop(release);

    for word in (0..=u32::MAX).step_by(65_521 * 7) {
        // SAFETY: a lock is its word; every word is a valid one to look at.
        let damaged: QSpinLock<Scripted, Fifo, Idx3> = unsafe { with_word(word) };
        let text = damaged.report().to_string();
        assert!(text.contains("may be stale"));
        // SAFETY: as above, and a free queue.
        let damaged: QRwLock<Scripted, Fifo, Idx3> = unsafe { with_words([word, 0]) };
        assert!(damaged.report().to_string().contains("may be stale"));
    }
    // SAFETY: as above.
    let damaged: QSpinLock<Scripted, Fifo, Idx3> = unsafe { with_word(0xfff0_0001) };
    let report = damaged.report();
    assert!(
        report.incomplete && report.to_string().contains("no such CPU"),
        "{report}"
    );
}

/// A lock with this word.
///
/// # Safety
///
/// `L` begins with its 32-bit word, and all else is zero in a free one.
unsafe fn with_word<P, W>(word: u32) -> QSpinLock<Scripted, P, W> {
    let mut lock = QSpinLock::new();
    // SAFETY: the word comes first.
    unsafe { std::ptr::from_mut(&mut lock).cast::<u32>().write(word) };
    lock
}

/// As above, for a reader-writer lock.
///
/// # Safety
///
/// As above.
unsafe fn with_words<P, W>(words: [u32; 2]) -> QRwLock<Scripted, P, W> {
    let mut lock = QRwLock::new();
    // SAFETY: the word comes first.
    unsafe { std::ptr::from_mut(&mut lock).cast::<u32>().write(words[0]) };
    lock
}

#[test]
fn readers_and_the_writer_that_waits_for_them() {
    let lock: &'static QRwLock<Scripted, Fifo, Idx3> = Box::leak(Box::new(QRwLock::new()));
    let readers = [3, 4].map(|index| (index, on(index, || lock.read())));
    after_a_budget(move || {
        pass(40);
        host_says(4, RunState::Preempted, 1);
        let text = lock.report().to_string();
        assert!(
            text.starts_with(&format!(
                "word {:#010x}: 2 read, perhaps cpu3 (running), cpu4 (preempted)\
                \n  cpu1 (running) first in line, for 40 us\n  queue: ",
                lock.raw_word()
            )),
            "{text}"
        );
        for (index, token) in readers {
            // SAFETY: taken above.
            on(index, || unsafe { lock.unlock_read(token) });
        }
    });
    let token = on(1, || lock.write());
    host_says(1, RunState::Preempted, 1);
    let text = lock.report().to_string();
    assert!(text.contains(": written by cpu1 (preempted)\n"), "{text}");
    // SAFETY: taken above.
    on(1, || unsafe { lock.unlock_write(token) });
}

/// One lock inside another, whose tokens are kept until a step of the script.
fn held_later<P: Policy>(
    holder: usize,
    lock: &'static QSpinLock<Scripted, P, Idx3>,
) -> Box<dyn FnOnce()> {
    Box::new(held_by(holder, lock))
}

#[test]
fn a_handler_that_waits_for_another_lock_does_not_change_who_holds_this_one() {
    let (first, second) = (lock::<Fifo>(), lock::<Fifo>());
    let (release_first, release_second) = (held_later(1, first), held_later(4, second));
    then(move || {
        assert_eq!(holder_of(first), Some(1));
        then(move || {
            // CPU 2 waits in `first` and, in a handler, in `second`: its page has that edge.
            assert_eq!(world::waits_for(2), Some(4));
            assert_eq!(holder_of(first), Some(1));
            assert_eq!(holder_of(second), Some(4));
            release_second();
        });
        held_by(2, second)();
        assert_eq!(world::waits_for(2), Some(1), "the edge is put back");
        release_first();
    });
    held_by(2, first)();
}

#[test]
fn a_holder_that_passed_the_head_and_waits_for_another_lock_is_named() {
    let (first, second) = (lock::<Bounded>(), lock::<Bounded>());
    let (release_first, release_second) = (held_later(1, first), held_later(4, second));
    // The releasers leave the head to the CPUs that pass over it.
    WORLD.with(|world| world.may_lend.set(false));
    then(move || {
        host_says(2, RunState::Preempted, 1);
        release_first();
        let release_passed = held_by(3, first);
        assert_eq!(holder_of(first), Some(3));
        then(move || {
            assert_eq!(world::waits_for(3), Some(4));
            assert_eq!(holder_of(first), Some(3));
            release_second();
        });
        held_by(3, second)();
        release_passed();
        host_says(2, RunState::Running, 2);
    });
    held_by(2, first)();
}

#[test]
fn a_head_that_sleeps_is_not_the_holder() {
    let lock = lock::<FifoHalt>();
    let release = held_later(1, lock);
    // Its spin budget runs out; then it halts.
    then(|| ());
    then(move || {
        host_says(2, RunState::Halted, 1);
        // As in an environment that keeps no edges.
        WORLD.with(|world| world.waiting_for[2].set(None));
        let report = lock.report();
        assert_eq!(holder_of(lock), Some(1));
        assert_eq!(report.waiters().count(), 1);
        host_says(2, RunState::Running, 2);
        release();
    });
    held_by(2, lock)();
}

fn holder_of<P: Policy>(lock: &QSpinLock<Scripted, P, Idx3>) -> Option<usize> {
    match lock.report().holder {
        Holder::Named(holder) => Some(holder.cpu.index()),
        _ => None,
    }
}

#[test]
fn readers_that_were_forgotten_are_counted_and_told() {
    let lock: &'static QRwLock<Scripted, Fifo, Idx3> = Box::leak(Box::new(QRwLock::new()));
    let last = on(1, || {
        let last = lock.read();
        for _ in 1..65_535 {
            let _forgotten = lock.read();
        }
        last
    });
    assert!(on(2, || lock.try_read()).is_none());
    let text = lock.report().to_string();
    assert!(
        text.contains(": 65535 read, and no more can (were guards forgotten?), perhaps cpu1"),
        "{text}"
    );
    then(move || {
        #[cfg(feature = "counters")]
        assert_eq!(world::events(2, pvqspin::Event::ReadersExhausted), 1);
        // SAFETY: taken above.
        on(1, || unsafe { lock.unlock_read(last) });
    });
    let token = on(2, || lock.read());
    // SAFETY: taken above.
    on(2, || unsafe { lock.unlock_read(token) });
}
