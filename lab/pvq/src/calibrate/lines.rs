//! What sharing a cache line costs, and what an atomic costs that shares none.

use std::sync::atomic::{AtomicU64, Ordering::AcqRel, Ordering::Acquire, Ordering::Release};
use std::thread;
use std::time::Instant;

use rustix::thread::{CpuSet, sched_setaffinity};

/// A line that nothing else lies in.
#[derive(Default)]
#[repr(align(128))]
struct Line(AtomicU64);

/// Batches of a measurement; the median tells.
const BATCHES: usize = 21;

/// How long a store of one CPU takes until another sees it, in ns: half of a round trip. `None` if
/// the threads cannot be pinned.
pub(crate) fn transfer_ns(first: usize, second: usize) -> Option<f64> {
    const ROUNDS: u64 = 2_000;
    const LAST: u64 = ROUNDS * BATCHES as u64;
    let line = Line::default();
    thread::scope(|scope| {
        let echo = scope.spawn(|| {
            let pinned = pin(second);
            // Even if it is not pinned: the other side waits for the answers.
            (0..LAST).for_each(|round| answer(&line, 2 * round + 1));
            pinned
        });
        let asking = scope.spawn(|| {
            let pinned = pin(first);
            let batch = |batch: usize| {
                let begin = Instant::now();
                for round in 0..ROUNDS {
                    let round = batch as u64 * ROUNDS + round;
                    // Release and Acquire: each side's store is what the other's load waits for.
                    line.0.store(2 * round + 1, Release);
                    wait_for(&line, 2 * round + 2);
                }
                begin.elapsed().as_nanos() as f64 / (2 * ROUNDS) as f64
            };
            let batches: Vec<f64> = (0..BATCHES).map(batch).collect();
            pinned.then(|| median(batches))
        });
        let echoed = echo.join().unwrap_or(false);
        asking.join().ok().flatten().filter(|_| echoed)
    })
}

fn answer(line: &Line, asked: u64) {
    wait_for(line, asked);
    line.0.store(asked + 1, Release);
}

fn wait_for(line: &Line, value: u64) {
    while line.0.load(Acquire) != value {
        core::hint::spin_loop();
    }
}

/// One atomic of an uncontended lock and unlock pair, in ns.
pub(crate) fn atomic_ns() -> f64 {
    const PAIRS: u64 = 10_000;
    let line = Line::default();
    let batch = |_| {
        let begin = Instant::now();
        for _ in 0..PAIRS {
            let word = core::hint::black_box(&line.0);
            let _ = word.compare_exchange(0, 1, Acquire, Acquire);
            word.swap(0, AcqRel);
        }
        begin.elapsed().as_nanos() as f64 / (2 * PAIRS) as f64
    };
    median((0..BATCHES).map(batch).collect())
}

fn pin(cpu: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).is_ok()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
