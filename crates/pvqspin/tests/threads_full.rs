//! More threads than there are slots. A program of its own: no other test gets one meanwhile.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex as StdMutex};
use std::thread::{self, JoinHandle};

use pvqspin::threads::{MAX_THREADS, MutexWith, TooManyThreads, register, registered};
use pvqspin::{Bounded, Fifo, FifoHalt, FifoHolder, Native, Policy};

type Job = Box<dyn FnOnce() + Send>;

/// Starts a thread that takes a slot, and then does jobs until there are no more.
fn with_slot(jobs: Arc<StdMutex<Receiver<Job>>>) -> std::io::Result<JoinHandle<()>> {
    thread::Builder::new().stack_size(64 << 10).spawn(move || {
        register().expect("there is one for each of us");
        loop {
            let job = jobs.lock().expect("no thread panics").recv();
            let Ok(job) = job else { return };
            job();
        }
    })
}

/// Threads with and without a slot want the same lock.
fn mixed<P: Policy>(lock: &'static MutexWith<u64, P>, jobs: &Sender<Job>) {
    const ROUNDS: u64 = 2_000;
    fn work<P: Policy>(lock: &MutexWith<u64, P>) {
        for _ in 0..ROUNDS {
            *lock.lock() += 1;
        }
    }
    let (done, all_done) = channel();
    for _ in 0..4 {
        let done = done.clone();
        let job = move || {
            work(lock);
            done.send(()).expect("the main thread waits");
        };
        jobs.send(Box::new(job)).expect("there are threads");
    }
    let outside: Vec<_> = (0..4)
        .map(|_| {
            thread::spawn(move || {
                work(lock);
                assert_eq!(register(), Err(TooManyThreads));
            })
        })
        .collect();
    for thread in outside {
        thread.join().expect("locking without a slot works");
    }
    all_done.iter().take(4).for_each(drop);
    assert_eq!(*lock.lock(), 8 * ROUNDS, "{}", P::NAME);
}

#[test]
fn more_threads_than_slots() {
    let (jobs, receiver) = channel();
    let receiver = Arc::new(StdMutex::new(receiver));
    let mut threads = Vec::with_capacity(MAX_THREADS);
    for started in 0..MAX_THREADS {
        match with_slot(receiver.clone()) {
            Ok(thread) => threads.push(thread),
            Err(error) => {
                eprintln!("skipped: this system gives {started} threads only: {error}");
                return;
            }
        }
    }
    while registered() < MAX_THREADS {
        thread::yield_now();
    }

    let error = register().expect_err("this thread is one too many");
    assert!(error.to_string().contains("all 4096 slots"), "{error}");
    macro_rules! mixed {
        ($($policy:ty),*) => {$({
            static LOCK: MutexWith<u64, $policy> = MutexWith::new(0);
            mixed(&LOCK, &jobs);
        })*};
    }
    mixed!(Native, Fifo, FifoHalt, FifoHolder, Bounded);

    drop(jobs);
    for thread in threads {
        thread.join().expect("it only waited");
    }
    assert_eq!(registered(), 0, "all slots came back");
    assert_eq!(register(), Ok(()), "and can be had by who had none");
    assert_eq!(registered(), 1);
}
