//! A program whose global allocator is `talc` behind this lock: eight threads, each a CPU, fill
//! vectors and hand them to each other, and every element has to survive.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Barrier, mpsc};
use std::thread;

use example_talc_heap::Heap;
use pvqspin::{Budget, Cpu, CpuNodes, Env, Event};
use talc::source::Claim;

const CPUS: usize = 64;
const WORKERS: usize = 8;
/// They go on until so many allocations had to wait for each other.
const WAITS: u64 = 5_000;
const MOST_ROUNDS: usize = 2_000_000;

struct Kernel;

static NODES: [CpuNodes; CPUS] = [const { CpuNodes::new() }; CPUS];
static CPUS_UP: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    // No destructor, so that looking at it never allocates: this is asked for inside the allocator.
    static THIS_CPU: Cell<Option<Cpu>> = const { Cell::new(None) };
}

impl Env for Kernel {
    fn cpu() -> Cpu {
        THIS_CPU.get().unwrap_or_else(|| {
            let cpu = Cpu::new(CPUS_UP.fetch_add(1, Relaxed)).expect("few threads");
            THIS_CPU.set(Some(cpu));
            cpu
        })
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index()]
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let mut looks = 0;
        while !condition() {
            looks += 1;
            if budget.get().is_some_and(|ns| looks > ns / 100) {
                return false;
            }
            // Threads outnumber processors here, and strict order waits for a certain one.
            thread::yield_now();
        }
        true
    }
}

static mut ARENA: [u8; 8 << 20] = [0; 8 << 20];

#[global_allocator]
// SAFETY: nothing else touches the arena.
static HEAP: Heap<Kernel> = Heap::new(unsafe { Claim::array(&raw mut ARENA) });

fn waits() -> u64 {
    NODES
        .iter()
        .map(|nodes| nodes.events(Event::SlowPath))
        .sum()
}

/// Numbers that only this worker makes in this round.
fn numbers(worker: usize, round: usize) -> Vec<u64> {
    let length = (round * 7 + worker) % 61 + 1;
    (0..length as u64)
        .map(|n| n ^ (worker as u64) << 32 ^ (round as u64) << 48)
        .collect()
}

fn main() {
    // Bounded: a checker that does not run for a while must not fill the arena.
    let (to_checker, checked) = mpsc::sync_channel(64);
    let start = Barrier::new(WORKERS);
    let made: usize = thread::scope(|scope| {
        for worker in 0..WORKERS {
            let (to_checker, start) = (to_checker.clone(), &start);
            scope.spawn(move || {
                start.wait();
                let mut kept = Vec::new();
                for round in 0..MOST_ROUNDS {
                    kept.push((round, numbers(worker, round)));
                    if kept.len() == 16 {
                        // Another thread checks these, and frees them.
                        let batch = std::mem::take(&mut kept);
                        to_checker.send((worker, batch)).expect("it listens");
                        if waits() >= WAITS {
                            return;
                        }
                    }
                }
            });
        }
        drop(to_checker);
        let check = |(worker, batch): (usize, Vec<(usize, Vec<u64>)>)| {
            for (round, seen) in &batch {
                assert_eq!(
                    *seen,
                    numbers(worker, *round),
                    "another worker wrote over it"
                );
            }
            batch.len()
        };
        checked.into_iter().map(check).sum()
    });
    let (cpus, waits) = (CPUS_UP.load(Relaxed), waits());
    println!("{made} vectors on {cpus} CPUs, {waits} waits");
    assert!(cpus > WORKERS, "each worker and the checker is a CPU");
    assert!(waits >= WAITS, "it was not contended");
}
