//! Events a second from many pCPUs: one host behind one lock, and groups with a lock each.

#[path = "../../tests/mutex/mod.rs"]
mod mutex;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use pvqspin_abi::Cpu;
use pvqspin_host::groups::{Groups, Shard};
use pvqspin_host::{Config, HeapPages, Pcpu, VmConfig};

use mutex::Lock;

use crate::SLICE;

const EVENTS: u64 = 200_000;
/// In all, on all threads together.
const PCPUS: usize = 32;
const VMS: usize = 64;

/// Slice ends a second, of so many groups in all, by so many threads, each for its part of the pCPUs: the best of
/// a few rounds.
fn slice_ends(groups: usize, threads: usize) -> f64 {
    let config = Config {
        pcpus: PCPUS / groups,
        ..Config::default()
    };
    let all: Groups<Lock<Shard<HeapPages>>> =
        Groups::new(groups, config, VMS).expect("a good configuration");
    for _ in 0..VMS {
        let size = VmConfig {
            vcpus: 8,
            weight: 1,
        };
        let vm = all.add_vm(size, HeapPages::new(8)).expect("a good VM");
        for cpu in (0..8).filter_map(Cpu::new) {
            all.start(0, vm, cpu, |_| {});
        }
    }
    let now = AtomicU64::new(0);
    let round = || {
        let start = Instant::now();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let (all, now, mine) = (&all, &now, PCPUS / threads);
                scope.spawn(move || {
                    for at in 0..EVENTS {
                        let pcpu = thread * mine + at as usize % mine;
                        // Each thread's pCPUs have a slice end in turn; both push the same time on.
                        let now = now.fetch_add(SLICE / PCPUS as u64, Relaxed);
                        let run = all.reschedule(now, Pcpu::new(pcpu as u32), |_| {});
                        let _ = black_box(run);
                    }
                });
            }
        });
        threads as f64 * EVENTS as f64 / start.elapsed().as_secs_f64()
    };
    (0..5).map(|_| round()).fold(0.0, f64::max)
}

/// Events a second in a model: each pCPU runs guests for `between_ns`, then needs the lock of its group for `hold_ns`, in
/// the order of coming. It knows no cache lines that travel, so it says what the locks alone allow.
fn model(pcpus: usize, groups: usize, between_ns: u64, hold_ns: u64) -> f64 {
    const END: u64 = 100_000_000;
    let mut free_at = vec![0; groups];
    let mut coming: BinaryHeap<_> = (0..pcpus)
        .map(|p| Reverse((p as u64 * between_ns / pcpus as u64, p)))
        .collect();
    let mut events = 0;
    while let Some(Reverse((at, p))) = coming.pop() {
        if at >= END {
            break;
        }
        let free = &mut free_at[p * groups / pcpus];
        let done = at.max(*free) + hold_ns;
        *free = done;
        events += 1;
        coming.push(Reverse((done + between_ns, p)));
    }
    events as f64 / END as f64 * 1e9
}

pub(crate) fn print() {
    println!("\nslice ends a second, {PCPUS} pCPUs, 512 vCPUs, measured");
    let mut one = 0.0;
    for (groups, threads) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
        let rate = slice_ends(groups, threads);
        if (groups, threads) == (1, 1) {
            one = rate;
        }
        println!("{groups} groups, {threads} threads: {rate:.2e}");
    }
    let hold_ns = (1e9 / one) as u64;
    println!(
        "\nevents a second in a model: a lock is held for {hold_ns} ns an event, an exit of each pCPU every 10 us"
    );
    for pcpus in [1, 2, 16, 64] {
        print!("{pcpus:>3} pCPUs:");
        for groups in [1, 4, 16].into_iter().filter(|groups| *groups <= pcpus) {
            let rate = model(pcpus, groups, 10_000, hold_ns);
            print!("  {groups} groups {rate:.2e}");
        }
        println!();
    }
}
