//! What an event of the host costs, in nanoseconds, beside a bare `BTreeSet` of the same size; and how many
//! times the allocator is called in it.
//!
//! ```sh
//! cargo bench -p pvqspin-host
//! ```
//!
//! With `--count-sizes` the same for machines of different sizes. With `--many` only the second part: events a second from many pCPUs. With `--count` it only executes each event a thousand times and two thousand times, for
//! `cargo xtask event-cost`, which runs it under callgrind and counts instructions.
//!
//! Nothing is asserted about time. Each figure is the least of several rounds: what else the machine does only adds.

#[path = "events/many_pcpus.rs"]
mod many_pcpus;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use pvqspin_abi::{Cpu, Hint, Hypercall};
use pvqspin_host::{Config, GuestPages, HeapPages, Host, Pcpu, Scheduling, VcpuId, VmConfig};

/// Counts calls.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

// SAFETY: the system's allocator does it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Relaxed);
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

const SLICE: u64 = 3_000_000;
const ROUNDS: usize = 7;
const EVENTS: u64 = 20_000;

/// The least time of an event over all rounds, and all calls of the allocator.
fn measure(mut event: impl FnMut(u64)) -> (f64, u64) {
    (0..2_000).for_each(&mut event);
    let before = ALLOCATIONS.load(Relaxed);
    let mut least = f64::MAX;
    for round in 0..ROUNDS as u64 {
        let start = Instant::now();
        (0..EVENTS).for_each(|at| event(2_000 + round * EVENTS + at));
        least = least.min(start.elapsed().as_nanos() as f64 / EVENTS as f64);
    }
    (least, ALLOCATIONS.load(Relaxed) - before)
}

struct Machine {
    host: Host<HeapPages>,
    pcpus: usize,
    now: u64,
}

impl Machine {
    fn new(scheduling: Scheduling, pcpus: usize, vms: usize, vcpus: usize) -> Self {
        let config = Config {
            pcpus,
            scheduling,
            ..Config::default()
        };
        let mut host = Host::new(config).expect("a good configuration");
        for _ in 0..vms {
            let vm = VmConfig { vcpus, weight: 1 };
            host.add_vm(vm, HeapPages::new(vcpus)).expect("a good VM");
        }
        // The first of each VM, the second of each..: so that those that run have siblings that wait.
        for vcpu in (0..vcpus).flat_map(|first| (first..vms * vcpus).step_by(vcpus)) {
            host.start(0, VcpuId::new(vcpu as u32));
        }
        let mut machine = Self {
            host,
            pcpus,
            now: 0,
        };
        machine.deliver();
        machine
    }

    fn deliver(&mut self) {
        while let Some(pcpu) = self.host.next_poke() {
            let _ = black_box(self.host.reschedule(self.now, pcpu));
        }
    }

    /// Slice ends, one pCPU after the other.
    fn slice_end(&mut self, at: u64) {
        self.now += SLICE / self.pcpus as u64 + 1;
        let pcpu = Pcpu::new((at % self.pcpus as u64) as u32);
        let _ = black_box(self.host.reschedule(self.now, pcpu));
        self.deliver();
    }

    /// A vCPU sleeps, and is woken at once.
    fn sleep_and_wake(&mut self, at: u64) {
        self.now += 1_000;
        let pcpu = Pcpu::new((at % self.pcpus as u64) as u32);
        let Some(vcpu) = self.host.current(pcpu) else {
            return;
        };
        let _ = black_box(self.host.block(self.now, pcpu));
        self.host.start(self.now, vcpu);
        self.deliver();
    }

    /// A pCPU asks before its time: nothing changes.
    fn nothing(&mut self, at: u64) {
        let pcpu = Pcpu::new((at % self.pcpus as u64) as u32);
        let _ = black_box(self.host.reschedule(self.now, pcpu));
    }

    /// A vCPU yields to its neighbour, and the neighbour to it.
    fn yield_both_ways(&mut self, at: u64) {
        self.now += 100;
        let pcpu = Pcpu::new((at % self.pcpus as u64) as u32);
        let Some((vm, cpu)) = self
            .host
            .current(pcpu)
            .and_then(|vcpu| self.host.locate(vcpu))
        else {
            return;
        };
        let Some(to) = Cpu::new(cpu.index() ^ 1) else {
            return;
        };
        let generation = self
            .host
            .pages(vm)
            .map(|pages| pages.vcpu(to).run().generation());
        let hint = Hint {
            cpu: to,
            generation: generation.unwrap_or_default(),
        };
        let _ = black_box(
            self.host
                .hypercall(self.now, pcpu, Hypercall::YieldTo(hint)),
        );
        self.deliver();
    }
}

/// The same number of entries in a set: take the first, put it behind the last.
fn bare_queue(entries: u64) -> impl FnMut(u64) {
    let mut set: BTreeSet<(u64, u32)> = (0..entries).map(|at| (at, at as u32)).collect();
    let mut last = entries;
    move |_| {
        if let Some((_, number)) = set.pop_first() {
            last += 1;
            black_box(set.insert((last, number)));
        }
    }
}

type Event = fn(&mut Machine, u64);

const EVENTS_OF: [(&str, Event); 3] = [
    ("slice end", Machine::slice_end),
    ("sleep + wake", Machine::sleep_and_wake),
    ("yield", Machine::yield_both_ways),
];

fn row(scheduling: Scheduling, pcpus: usize, vms: usize, vcpus: usize) {
    let (bare, _) = measure(bare_queue((vms * vcpus) as u64));
    print!(
        "{scheduling:<12} {pcpus:>5} {vms:>6} {:>7} {bare:>9.0}",
        vms * vcpus
    );
    let mut allocations = 0;
    for (_, event) in EVENTS_OF {
        let mut machine = Machine::new(scheduling, pcpus, vms, vcpus);
        let (ns, calls) = measure(|at| event(&mut machine, at));
        allocations += calls;
        print!(" {ns:>13.0}");
    }
    println!(" {allocations:>12}");
}

/// Where callgrind takes stock.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn events_mark() {
    black_box(());
}

/// Warms up, and then does N events, and 2N, with a mark before, between and after.
fn count(events: u64, name: &str, mut event: impl FnMut(u64)) {
    const N: u64 = 1_000;
    println!("{events} {name}");
    // One after the other, so that no pCPU is asked again before its slice is over.
    (0..2 * N).for_each(&mut event);
    events_mark();
    (2 * N..3 * N).for_each(&mut event);
    events_mark();
    (3 * N..5 * N).for_each(&mut event);
    events_mark();
}

/// A thousand vCPUs on 64 pCPUs.
fn count_all() {
    count(0, "BTreeSet", bare_queue(1_000));
    let events: [(u64, &str, Event); 4] = [
        (1, "slice end", Machine::slice_end),
        (2, "sleep, wake", Machine::sleep_and_wake),
        (1, "yield", Machine::yield_both_ways),
        (1, "nothing to do", Machine::nothing),
    ];
    for scheduling in [Scheduling::Fair, Scheduling::Credit, Scheduling::RoundRobin] {
        for (events, name, event) in events {
            let mut machine = Machine::new(scheduling, 64, 125, 8);
            let name = format!("{scheduling}, {name}");
            count(events, &name, |at| event(&mut machine, at));
        }
    }
}

/// The same under fair on machines of different sizes.
fn count_sizes() {
    for (pcpus, vms, vcpus) in SIZES {
        let all = vms * vcpus;
        count(
            0,
            &format!("{all} entries, BTreeSet"),
            bare_queue(all as u64),
        );
        for (events, (name, event)) in [1, 2, 1].into_iter().zip(EVENTS_OF) {
            let mut machine = Machine::new(Scheduling::Fair, pcpus, vms, vcpus);
            let name = format!("{pcpus} pCPUs, {vms} VMs, {all} vCPUs, {name}");
            count(events, &name, |at| event(&mut machine, at));
        }
    }
}

/// pCPUs, VMs, and vCPUs of each: flat in the first two, logarithmic in all vCPUs.
const SIZES: [(usize, usize, usize); 7] = [
    (64, 16, 8),
    (1, 1_024, 8),
    (64, 1_024, 8),
    (1_024, 1_024, 8),
    (64, 16, 6_250),
    (64, 12_500, 8),
    (64, 50_000, 2),
];

fn main() {
    if std::env::args().any(|argument| argument == "--count-sizes") {
        return count_sizes();
    }
    if std::env::args().any(|argument| argument == "--count") {
        return count_all();
    }
    if std::env::args().any(|argument| argument == "--many") {
        return many_pcpus::print();
    }
    let quick = std::env::args().any(|argument| argument == "--test");
    print!("policy       pcpus    vms   vcpus BTreeSet");
    EVENTS_OF.iter().for_each(|(name, _)| print!(" {name:>13}"));
    println!("  allocations");
    for scheduling in Scheduling::ALL {
        row(scheduling, 2, 2, 4);
        if quick {
            continue;
        }
        if scheduling != Scheduling::CoScheduled {
            // Flat in pCPUs, flat in VMs, logarithmic in vCPUs.
            for pcpus in [1, 64, 1_024] {
                row(scheduling, pcpus, 1_024, 8);
            }
            for vms in [16, 50_000] {
                row(scheduling, 64, vms, 100_000 / vms);
            }
        }
    }
    if !quick {
        many_pcpus::print();
    }
}
