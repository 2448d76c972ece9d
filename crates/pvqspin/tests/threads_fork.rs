//! Fork: what the child can do with locks. A program of its own, with one test: a fork copies
//! whatever other tests are doing.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use pvqspin::FifoHalt;
use pvqspin::threads::{Mutex, MutexWith, registered};

static FREE: MutexWith<u64, FifoHalt> = MutexWith::new(0);
static MINE: Mutex<u64> = Mutex::new(0);
static THEIRS: Mutex<u64> = Mutex::new(0);
static BUSY: MutexWith<u64, FifoHalt> = MutexWith::new(0);

/// What the child does; how far it came is its exit code.
fn in_the_child(mine: pvqspin::threads::MutexGuard<'_, u64>, slots: usize) -> i32 {
    // A lock that the forking thread held itself is still its own.
    drop(mine);
    if MINE.try_lock().is_none() {
        return 1;
    }
    // One that another thread held has no owner now.
    if THEIRS.try_lock().is_some() {
        return 2;
    }
    // The slots of the threads that are not here stay taken; this thread kept its own.
    if registered() != slots {
        return 3;
    }
    // New threads get slots, sleep in queues, and are woken.
    let before = *FREE.lock();
    let threads: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(|| {
                for round in 0..50 {
                    let mut free = FREE.lock();
                    if round % 10 == 0 {
                        thread::sleep(Duration::from_micros(200));
                    }
                    *free += 1;
                }
            })
        })
        .collect();
    // The forking thread sleeps in a queue too, in a bed that it makes anew.
    for _ in 0..50 {
        *FREE.lock() += 1;
    }
    if threads.into_iter().any(|thread| thread.join().is_err()) {
        return 4;
    }
    if *FREE.lock() - before != 250 {
        return 5;
    }
    0
}

#[test]
fn the_child_can_lock() {
    static ENOUGH: AtomicBool = AtomicBool::new(false);
    static ROUNDS: AtomicU64 = AtomicU64::new(0);
    let (held, is_held) = mpsc::channel();
    let holder = thread::spawn(move || {
        let _theirs = THEIRS.lock();
        held.send(()).expect("the receiver is there");
        while !ENOUGH.load(Relaxed) {
            thread::sleep(Duration::from_millis(1));
        }
    });
    is_held.recv().expect("it locks");
    // Threads that sleep and wake all the time, so that forks happen in the middle of it.
    let busy: Vec<_> = (0..3)
        .map(|_| {
            thread::spawn(|| {
                while !ENOUGH.load(Relaxed) {
                    let mut busy = BUSY.lock();
                    thread::sleep(Duration::from_micros(50));
                    *busy += 1;
                    ROUNDS.fetch_add(1, Relaxed);
                }
            })
        })
        .collect();
    while ROUNDS.load(Relaxed) < 10 {
        thread::yield_now();
    }

    for fork in 0..20 {
        // Sleeps and is kicked in the parent first, so that its bed is the parent's.
        *BUSY.lock() += 1;
        let mine = MINE.lock();
        let slots = registered();
        // SAFETY: the child locks, allocates and starts threads; glibc keeps its allocator usable
        // in the child, and nothing else that it uses can be held by another thread.
        match unsafe { libc::fork() } {
            -1 => panic!("fork failed: {}", std::io::Error::last_os_error()),
            0 => {
                // SAFETY: plain system calls. The alarm ends a child that hangs.
                unsafe {
                    libc::alarm(20);
                    libc::_exit(in_the_child(mine, slots));
                }
            }
            child => {
                drop(mine);
                let mut status = 0;
                // SAFETY: `status` is valid for writes; the child was not waited for yet.
                assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
                assert!(
                    libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0,
                    "fork {fork}: status {status:#x}"
                );
            }
        }
    }
    ENOUGH.store(true, Relaxed);
    for thread in busy.into_iter().chain([holder]) {
        thread.join().expect("the parent is as it was");
    }
}
