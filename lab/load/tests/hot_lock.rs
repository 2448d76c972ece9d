//! The hot lock on threads: what it measures is what happened.
//!
//! Time here is a counter that each CPU moves by itself, so the figures are exact where no CPU
//! waits. Nothing is asserted about wall time.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pvqspin::{Budget, Cpu, CpuNodes, Env, Generation, Point, RunSample, RunState};
use pvqspin_load::{
    Account, Control, Distribution, Guest, Neighbour, NeighbourRecord, Outcome, Phase, Record,
    Section, Workload, WorkloadConfig, WorkloadId, hot_lock::HotLock, neighbour,
};
use pvqspin_rivals::Lock;
use pvqspin_rivals::ticket::Ticket;

struct Threads;

static NODES: [CpuNodes; 4] = [const { CpuNodes::new() }; 4];

thread_local! {
    static CPU: Cell<usize> = const { Cell::new(0) };
    static NOW: Cell<u64> = const { Cell::new(0) };
    static JOINED: Cell<u64> = const { Cell::new(0) };
    static ENTERED: Cell<u64> = const { Cell::new(0) };
    static GENERATION: Cell<u32> = const { Cell::new(0) };
    /// What happens in the computation with this number.
    static COMPUTATIONS: Cell<u64> = const { Cell::new(0) };
    static ON_COMPUTE: Cell<fn(u64)> = const { Cell::new(|_| ()) };
}

impl Env for Threads {
    fn cpu() -> Cpu {
        Cpu::new(CPU.get()).expect("in range")
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index()]
    }

    fn spin_until(mut condition: impl FnMut() -> bool, _budget: Budget) -> bool {
        while !condition() {
            std::thread::yield_now();
        }
        true
    }

    fn run_sample(_cpu: Cpu) -> RunSample {
        RunSample::new(RunState::Running, Generation::new(GENERATION.get()))
    }

    fn now_ns() -> u64 {
        NOW.get()
    }

    fn checkpoint(point: Point) {
        if point == Point::Joined {
            JOINED.set(NOW.get());
        }
    }
}

impl Guest for Threads {
    fn compute(ns: u32) {
        NOW.set(NOW.get() + u64::from(ns));
        COMPUTATIONS.set(COMPUTATIONS.get() + 1);
        ON_COMPUTE.get()(COMPUTATIONS.get());
        std::thread::yield_now();
    }

    fn entered_at_ns() -> u64 {
        ENTERED.get()
    }

    fn joined_at_ns() -> u64 {
        JOINED.get()
    }

    fn wasted_ns() -> u64 {
        NOW.get() / 10
    }
}

const CONFIG: WorkloadConfig = WorkloadConfig {
    id: WorkloadId::HotLock,
    inside: Section::fixed(100),
    outside: Section {
        mean_ns: 300,
        distribution: Distribution::Exponential,
    },
    seed: 7,
};

/// Runs CPUs on threads until each has done so many sections while measuring.
fn run<L: Lock<Threads> + Send>(cpus: usize, sections: u64) -> (Vec<Record>, Outcome) {
    let hot = HotLock::<Threads, L>::new(&CONFIG, cpus);
    let control = Control::new();
    let records: Vec<Record> = (0..cpus).map(|_| Record::new()).collect();
    std::thread::scope(|scope| {
        for (cpu, record) in records.iter().enumerate() {
            let (hot, control) = (&hot, &control);
            scope.spawn(move || {
                CPU.set(cpu);
                hot.run_vcpu(control, record);
            });
        }
        let wait_until = |done: &dyn Fn(&Record) -> bool| {
            while !records.iter().all(done) {
                std::thread::yield_now();
            }
        };
        wait_until(&|record| record.all_acquisitions() > 10);
        control.measure(1);
        wait_until(&|record| record.acquisitions() >= sections);
        control.stop();
    });
    let outcome = pvqspin_load::summarise(&records, &hot.account(), 1_000_000);
    (records, outcome)
}

#[test]
fn a_lock_that_works_shows_no_violation() {
    let (records, outcome) = run::<Ticket<Threads>>(3, 2_000);
    assert_eq!(outcome.exclusion_violations, 0);
    assert!(outcome.per_vcpu.iter().all(|&sections| sections >= 2_000));
    // The warm-up is in one count only.
    for record in &records {
        assert!(record.all_acquisitions() > record.acquisitions());
    }
}

/// Lets all in.
struct Broken;

impl Lock<Threads> for Broken {
    type Token = ();
    fn new(_cpus: usize) -> Self {
        Self
    }
    fn lock(&self) {}
    unsafe fn unlock(&self, (): ()) {}
}

#[test]
fn a_lock_that_does_not_work_shows_violations() {
    let (_, outcome) = run::<Broken>(3, 2_000);
    assert!(outcome.exclusion_violations > 0);
}

/// No other CPU wants this lock: how long a "wait" lasts is up to the test.
static WAIT_NS: AtomicU64 = AtomicU64::new(0);

struct Staged;

impl Lock<Threads> for Staged {
    type Token = ();
    fn new(_cpus: usize) -> Self {
        Self
    }
    fn lock(&self) {
        NOW.set(NOW.get() + 5);
        let wait = WAIT_NS.load(Relaxed);
        if wait > 0 {
            Threads::checkpoint(Point::Joined);
            NOW.set(NOW.get() + wait);
        }
    }
    unsafe fn unlock(&self, (): ()) {}
}

thread_local! {
    static CONTROL: Cell<Option<&'static Control>> = const { Cell::new(None) };
    static THEN: Cell<fn(u64)> = const { Cell::new(|_| ()) };
}

/// One CPU, on this thread. Each section computes twice: ten sections of warm-up, then a thousand
/// that count.
fn run_staged_into(record: &Record, on_compute: fn(u64)) {
    let control: &'static Control = Box::leak(Box::new(Control::new()));
    CONTROL.set(Some(control));
    THEN.set(on_compute);
    ON_COMPUTE.set(|computation| {
        let control = CONTROL.get().expect("set above");
        match computation {
            20 => control.measure(NOW.get()),
            2_020 => control.stop(),
            _ => {}
        }
        THEN.get()(computation);
    });
    COMPUTATIONS.set(0);
    let config = WorkloadConfig {
        id: WorkloadId::HotLock,
        outside: Section::fixed(300),
        ..CONFIG
    };
    HotLock::<Threads, Staged>::new(&config, 1).run_vcpu(control, record);
    assert_eq!(control.phase(), Phase::Stop);
}

/// What one record says about a run of which the locks' own account is not looked at.
fn summarise(record: &Record, duration_ns: u64) -> Outcome {
    let account = Account {
        id: WorkloadId::HotLock,
        entered: record.all_acquisitions(),
        class_sizes: vec![1],
    };
    pvqspin_load::summarise(std::slice::from_ref(record), &account, duration_ns)
}

fn run_staged(on_compute: fn(u64)) -> Record {
    let record = Record::new();
    run_staged_into(&record, on_compute);
    record
}

#[test]
fn times_are_exact_where_time_is() {
    // One test for all: they share the staged lock.
    fast_path_waits_for_nothing();
    preemptions_are_counted_and_not_measured();
    what_the_machine_below_steals_is_not_measured();
    waits_count_from_joining();
}

fn fast_path_waits_for_nothing() {
    let record = run_staged(|_| ());
    let outcome = summarise(&record, 400_000);
    assert_eq!((outcome.acquisitions, outcome.units), (1_000, 1_000));
    assert_eq!(outcome.load.busiest_ns, outcome.inside_measured_ns);
    assert_eq!((outcome.wait.max, outcome.call.max), (0, 5));
    assert_eq!(outcome.inside_measured_ns, 100.0);
    assert_eq!(outcome.outside_measured_ns, 300.0);
    assert_eq!((outcome.lhp, outcome.lwp), (0, 0));
    run_staged_into(&record, |_| ());
    assert_eq!(record.acquisitions(), 1_000, "a new run starts anew");
    // A tenth of all time, by this guest's own account.
    assert!(outcome.wasted_ns.abs_diff(1_000 * 405 / 10) < 100);
}

fn preemptions_are_counted_and_not_measured() {
    // Computations with even numbers are critical sections. Take the CPU away twice in one of
    // ten, and in one of ten outside, which is no holder preemption.
    let record = run_staged(|computation| {
        if matches!(computation % 20, 0 | 7) {
            GENERATION.set(GENERATION.get() + 2);
            // Not long enough to be noticed by the length alone.
            NOW.set(NOW.get() + 10_000);
        }
    });
    let outcome = summarise(&record, 1);
    assert_eq!(outcome.lhp, 2 * outcome.acquisitions / 10);
    assert_eq!(outcome.inside_measured_ns, 100.0);
    assert_eq!(outcome.outside_measured_ns, 300.0);
}

fn what_the_machine_below_steals_is_not_measured() {
    // No generation moves, and yet one section in five takes a millisecond, inside or outside.
    let record = run_staged(|computation| {
        if computation.is_multiple_of(5) {
            NOW.set(NOW.get() + 1_000_000);
        }
    });
    let outcome = summarise(&record, 1);
    assert_eq!(outcome.lhp, 0);
    assert_eq!(outcome.inside_measured_ns, 100.0);
    assert_eq!(outcome.outside_measured_ns, 300.0);
}

fn waits_count_from_joining() {
    WAIT_NS.store(64, Relaxed);
    let record = run_staged(|_| ());
    let outcome = summarise(&record, 1);
    assert_eq!((outcome.wait.p50, outcome.wait.max), (64, 64));
    assert_eq!(outcome.call.max, 69);
    assert_eq!(outcome.lwp, 0, "no other vCPU released it");
    WAIT_NS.store(0, Relaxed);
}

#[test]
fn a_neighbour_counts_its_units() {
    let control = Control::new();
    let records = [NeighbourRecord::new(), NeighbourRecord::new()];
    std::thread::scope(|scope| {
        for record in &records {
            let control = &control;
            scope.spawn(move || {
                Neighbour::default().run_vcpu::<Threads>(control, record);
                // The last one ended after the measurement did.
                assert!(record.units() < COMPUTATIONS.get());
            });
        }
        control.measure(1);
        while !records.iter().all(|record| record.units() >= 100) {
            std::thread::yield_now();
        }
        control.stop();
    });
    let units: u64 = records.iter().map(NeighbourRecord::units).sum();
    let share = neighbour::throughput_over_share(&records, units * 10_000, 1.0);
    assert!((share.expect("measured") - 1.0).abs() < 1e-9);
}
