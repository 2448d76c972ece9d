//! The reader-writer lock, step by step on one thread, and with threads.

#![cfg(not(loom))]

mod world;

use pvqspin::{
    Bounded, Event, Fifo, FifoHalt, Format, Idx3, Native, Point, Policy, QRwLock, ReadToken,
    RunState, RwLock, SpareBit, WriteToken,
};
use world::{Call, Scripted, WORLD, calls, events, host_says, on, then, waits_for};

type Lock<P, W = Idx3> = QRwLock<Scripted, P, W>;

/// A leaked lock, so that steps of the script can hold on to it.
fn lock<P: Policy, W: Format>() -> &'static Lock<P, W> {
    Box::leak(Box::new(QRwLock::new()))
}

fn end_read<P: Policy, W: Format>(lock: &Lock<P, W>, token: ReadToken) {
    // SAFETY: every script releases what it took, on the CPU that took it.
    unsafe { lock.unlock_read(token) }
}

fn end_write<P: Policy, W: Format>(lock: &Lock<P, W>, token: WriteToken) {
    // SAFETY: as above.
    unsafe { lock.unlock_write(token) }
}

/// Something happens when a lock next passes this point.
fn at(point: Point, step: impl FnOnce() + 'static) {
    WORLD.with(|world| *world.at_checkpoint.borrow_mut() = Some((point, Box::new(step))));
}

/// `reader` reads until the script gets there.
fn read_by<P: Policy, W: Format>(reader: usize, lock: &'static Lock<P, W>) -> impl FnOnce() {
    let token = on(reader, || lock.read());
    move || on(reader, || end_read(lock, token))
}

/// `writer` writes until the script gets there.
fn written_by<P: Policy, W: Format>(writer: usize, lock: &'static Lock<P, W>) -> impl FnOnce() {
    let token = on(writer, || lock.write());
    move || on(writer, || end_write(lock, token))
}

/// The fields of the word that its `Debug` shows.
fn shows<P: Policy, W: Format>(lock: &Lock<P, W>, what: &str) {
    let text = format!("{lock:?}");
    assert!(text.contains(what), "{text}");
}

#[test]
fn readers_share_writers_do_not_and_nobody_is_called() {
    fn check<P: Policy, W: Format>() {
        let lock = lock::<P, W>();
        let (one, two) = (read_by(1, lock), read_by(2, lock));
        shows(lock, "readers: 2");
        assert!(on(3, || lock.try_write()).is_none());
        assert!(lock.is_locked() && !lock.is_locked_exclusive());
        one();
        assert!(on(3, || lock.try_write()).is_none(), "one still reads");
        two();
        assert_eq!(lock.raw_word(), 0);
        let write = written_by(3, lock);
        assert!(lock.is_locked_exclusive());
        assert!(on(1, || lock.try_read()).is_none());
        assert!(on(1, || lock.try_write()).is_none());
        write();
        assert_eq!(lock.raw_word(), 0);
        assert_eq!(calls(), []);
    }
    check::<Fifo, Idx3>();
    check::<Fifo, SpareBit>();
    check::<FifoHalt, Idx3>();
    check::<Bounded, Idx3>();
    check::<Native, Idx3>();
}

#[test]
fn the_first_in_line_lends_its_pcpu_to_the_preempted_writer_and_gets_it_back() {
    let lock = lock::<Fifo, Idx3>();
    let release = written_by(0, lock);
    then(|| host_says(0, RunState::Preempted, 7));
    then(move || {
        shows(lock, "first: Some(cpu1)");
        assert_eq!(waits_for(1), Some(0), "the edge is published");
        host_says(0, RunState::Running, 8);
        host_says(1, RunState::Preempted, 4);
        then(|| host_says(1, RunState::Running, 5));
        release();
        assert!(on(4, || lock.try_read()).is_none(), "it is CPU 1's");
        assert!(on(4, || lock.try_write()).is_none(), "it is CPU 1's");
    });
    let token = on(1, || lock.write());
    assert_eq!(calls(), [Call::YieldTo(0, 7), Call::YieldTo(1, 4)]);
    assert_eq!(waits_for(1), None);
    assert_eq!(events(1, Event::YieldToHolder), 1);
    on(1, || end_write(lock, token));
    assert_eq!(lock.raw_word(), 0);
}

#[test]
fn a_writer_finds_the_preempted_one_among_its_readers() {
    let lock = lock::<Fifo, Idx3>();
    let other = self::lock::<Fifo, Idx3>();
    let (two, five, six) = (read_by(2, lock), read_by(5, lock), read_by(6, lock));
    // CPU 3 is preempted as well, but does not read here; CPU 2 reads another lock inside.
    let inner = read_by(2, other);
    for away in [3, 5] {
        host_says(away, RunState::Preempted, 9);
    }
    then(|| {}); // it looks who reads
    then(move || {
        assert_eq!(waits_for(1), Some(5));
        host_says(5, RunState::Running, 10);
        five();
    });
    then(move || {
        inner();
        host_says(2, RunState::Preempted, 3);
    });
    then(move || {
        host_says(2, RunState::Running, 4);
        two();
        six();
    });
    let token = on(1, || lock.write());
    assert_eq!(calls(), [Call::YieldTo(5, 9), Call::YieldTo(2, 3)]);
    assert_eq!(events(1, Event::YieldToReader), 2);
    on(1, || end_write(lock, token));
    assert_eq!((lock.raw_word(), waits_for(1)), (0, None));
}

#[test]
fn the_last_reader_runs_the_preempted_first_in_line() {
    let lock = lock::<Fifo, Idx3>();
    let (two, five) = (read_by(2, lock), read_by(5, lock));
    then(move || {
        host_says(1, RunState::Preempted, 4);
        two();
        assert_eq!(calls(), [], "another one reads still");
        then(|| host_says(1, RunState::Running, 5));
        five();
    });
    let token = on(1, || lock.write());
    assert_eq!(calls(), [Call::YieldTo(1, 4)]);
    on(1, || end_write(lock, token));
}

#[test]
fn who_is_preempted_before_it_is_first_in_line_is_run_as_well() {
    // CPU 1 has its turn in the queue, and is preempted before it named itself in the word: what
    // the releasing reader finds is the queue's word, which names CPU 1 as its holder.
    let lock = lock::<Fifo, Idx3>();
    let (two, five) = (read_by(2, lock), read_by(5, lock));
    let at_turn = move || {
        host_says(1, RunState::Preempted, 4);
        then(|| host_says(1, RunState::Running, 5));
        two();
        five();
    };
    at(Point::Joined, at_turn);
    let token = on(1, || lock.write());
    assert_eq!(calls(), [Call::YieldTo(1, 4)]);
    on(1, || end_write(lock, token));
}

#[test]
fn a_sleeping_writer_is_kicked_by_the_last_reader_only() {
    let lock = lock::<FifoHalt, Idx3>();
    let (two, five) = (read_by(2, lock), read_by(5, lock));
    then(|| {}); // patience
    then(|| {}); // the spin budget
    then(move || {
        assert_eq!(calls(), [Call::Halt(None)]);
        two();
        assert_eq!(calls(), []);
        at(Point::Released, || {
            assert_eq!(waits_for(1), Some(5), "who owes the kick is named");
        });
        five();
        assert_eq!(waits_for(1), None, "and no longer");
    });
    let token = on(1, || lock.write());
    assert_eq!(calls(), [Call::Kick(1)]);
    assert_eq!(events(1, Event::HaltAtHead), 1);
    on(1, || end_write(lock, token));
    assert_eq!((lock.raw_word(), calls()), (0, vec![]));
}

#[test]
fn a_sleeping_reader_is_kicked_by_the_writer() {
    let lock = lock::<FifoHalt, Idx3>();
    let release = written_by(0, lock);
    then(|| {}); // the spin budget passes
    then(release);
    let token = on(1, || lock.read());
    assert_eq!(calls(), [Call::Halt(Some(0)), Call::Kick(1)]);
    on(1, || end_read(lock, token));
    assert_eq!(lock.raw_word(), 0);
}

#[test]
fn a_release_just_before_the_halt_prevents_it() {
    let lock = lock::<FifoHalt, Idx3>();
    let release = written_by(0, lock);
    then(release);
    let token = on(1, || lock.read());
    assert_eq!(calls(), []);
    on(1, || end_read(lock, token));
}

#[test]
fn no_reader_passes_a_waiting_writer_but_an_interrupts() {
    let lock = lock::<Fifo, Idx3>();
    let release = read_by(0, lock);
    then(move || {
        assert!(on(4, || lock.try_read()).is_none(), "CPU 1 came first");
        // An interrupt on the very CPU that reads, and one on the CPU that waits.
        let nested = [0, 1].map(|index| (index, on(index, || lock.read_nested())));
        shows(lock, "readers: 3");
        shows(lock, "first: Some(cpu1)");
        for (index, token) in nested {
            on(index, || end_read(lock, token));
        }
        release();
        // The lock is CPU 1's, but its interrupt must not wait for it: it would wait for ever.
        let token = on(1, || lock.read_nested());
        on(1, || end_read(lock, token));
        shows(lock, "first: Some(cpu1)");
    });
    let token = on(1, || lock.write());
    on(1, || end_write(lock, token));
    assert_eq!((lock.raw_word(), calls()), (0, vec![]));
}

#[test]
fn an_interrupts_reader_waits_for_the_writer_and_lends_it_its_pcpu() {
    let lock = lock::<Fifo, Idx3>();
    let release = written_by(0, lock);
    host_says(0, RunState::Preempted, 2);
    then(move || {
        assert_eq!(waits_for(1), Some(0));
        host_says(0, RunState::Running, 3);
        release();
    });
    let token = on(1, || lock.read_nested());
    assert_eq!(calls(), [Call::YieldTo(0, 2)]);
    assert_eq!(waits_for(1), None);
    on(1, || end_read(lock, token));
}

#[test]
fn only_the_outermost_wait_halts() {
    let outer = lock::<FifoHalt, Idx3>();
    let inner = self::lock::<FifoHalt, Idx3>();
    let (release_outer, release_inner) = (written_by(0, outer), written_by(2, inner));
    then(move || {
        // An interrupt on CPU 1 in the middle of its wait.
        then(|| {}); // the spin budget of the inner wait passes
        then(release_inner);
        let token = on(1, || inner.read());
        assert_eq!(calls(), [], "it spun on");
        assert_eq!(waits_for(1), Some(0), "the outer wait is back");
        on(1, || end_read(inner, token));
        then(release_outer); // during the outer halt
    });
    let token = on(1, || outer.read());
    assert_eq!(calls(), [Call::Halt(Some(0)), Call::Kick(1)]);
    on(1, || end_read(outer, token));
    WORLD.with(|world| assert_eq!(world.nodes[1].in_use(), 0));
}

#[test]
fn a_writer_that_queued_is_what_those_behind_it_wait_for() {
    let lock = lock::<Fifo, Idx3>();
    let release = written_by(0, lock);
    then(release);
    let token = on(1, || lock.write());
    host_says(1, RunState::Preempted, 6);
    then(move || {
        assert_eq!(waits_for(2), Some(1));
        host_says(1, RunState::Running, 7);
        on(1, || end_write(lock, token));
    });
    let token = on(2, || lock.read());
    assert_eq!(calls(), [Call::YieldTo(1, 6)]);
    on(2, || end_read(lock, token));
    assert_eq!(lock.raw_word(), 0);
}

#[test]
fn data_behind_guards() {
    let lock: RwLock<Vec<u32>, Scripted, Fifo> = RwLock::new(vec![]);
    lock.write().push(3);
    let (one, two) = (lock.read(), lock.read_nested());
    assert_eq!((one.len(), two[0]), (1, 3));
    assert!(lock.try_write().is_none() && lock.try_read().is_some());
    drop((one, two));
    assert!(!lock.is_locked());
    assert_eq!(lock.into_inner(), [3]);
}
