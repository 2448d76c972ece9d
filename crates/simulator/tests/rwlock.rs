//! Readers and writers of the reader-writer lock in virtual time: with faults at every point,
//! nobody writes beside anybody, everybody comes to an end, and nobody waits beyond a bound.

use std::cell::Cell;

use pvqspin::{Bounded, Fifo, FifoHalt, Idx3, Native, Point, Policy, QRwLock};
use pvqspin_abi::Cpu;
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_peers::catalog::LockId;
use pvqspin_simulator::{GuestCode, SimConfig, run_code, torture};
use pvqspin_workload::Guest;
use pvqspin_workload::{Fault, Faults, Passing};
use rand_core::Rng;
use rand_pcg::Pcg32;

/// Every vCPU reads or writes `rounds` times. One OS thread plays all of them: cells are enough.
struct ReadersAndWriters<P> {
    policy: std::marker::PhantomData<P>,
    rounds: u32,
    /// One round in so many writes.
    write_one_in: u32,
    inside_ns: u32,
    outside_ns: u32,
    seed: u64,
    reading: Cell<u32>,
    writing: Cell<u32>,
    most_readers: Cell<u32>,
    done: Cell<u64>,
    longest_ns: Cell<u64>,
    ended_ns: Cell<u64>,
}

/// The lock of a run is an environment's, and the environment comes with the call: so it is made by
/// whoever is first, and kept as an address.
struct Lazy(Cell<usize>);

thread_local!(static LOCK: Lazy = const { Lazy(Cell::new(0)) });

impl Lazy {
    /// One leaked lock for each run.
    fn get<E: Guest, P: Policy>(&self) -> &'static QRwLock<E, P, Idx3> {
        if self.0.get() == 0 {
            let lock: &'static QRwLock<E, P, Idx3> = Box::leak(Box::new(QRwLock::new()));
            self.0.set(std::ptr::from_ref(lock).expose_provenance());
        }
        // SAFETY: leaked by the lines above, in this run: `run` forgets it, and all calls of one run
        // have the same type parameters.
        unsafe { &*std::ptr::with_exposed_provenance(self.0.get()) }
    }
}

fn add(cell: &Cell<u32>, change: i32) -> u32 {
    cell.set(cell.get().wrapping_add_signed(change));
    cell.get()
}

impl<P: Policy> ReadersAndWriters<P> {
    fn new(seed: u64) -> Self {
        Self {
            policy: std::marker::PhantomData,
            rounds: 40,
            write_one_in: 4,
            inside_ns: 1_000,
            outside_ns: 2_000,
            seed,
            reading: Cell::default(),
            writing: Cell::default(),
            most_readers: Cell::default(),
            done: Cell::default(),
            longest_ns: Cell::default(),
            ended_ns: Cell::default(),
        }
    }

    fn run(&self, config: &SimConfig) -> u64 {
        LOCK.with(|lock| lock.0.set(0));
        let faults = run_code(config, self).unwrap_or_else(|error| panic!("{config:#?}: {error}"));
        assert_eq!(
            self.done.get(),
            config.vcpus as u64 * u64::from(self.rounds)
        );
        faults
    }

    fn waited<E: Guest>(&self, since: u64) {
        // A wait counts from joining the queue. Before that, no lock can help.
        if E::joined_at_ns() >= since {
            let ns = E::now_ns() - E::joined_at_ns();
            self.longest_ns.set(self.longest_ns.get().max(ns));
        }
    }
}

impl<P: Policy> GuestCode for ReadersAndWriters<P> {
    fn run_vcpu<E: Guest>(&self, cpu: Cpu) {
        let lock = LOCK.with(Lazy::get::<E, P>);
        let mut dice = Pcg32::new(self.seed, cpu.index() as u64);
        for _ in 0..self.rounds {
            E::compute(dice.next_u32() % (2 * self.outside_ns + 1));
            let inside_ns = dice.next_u32() % (2 * self.inside_ns + 1);
            let since = E::now_ns();
            if dice.next_u32().is_multiple_of(self.write_one_in) {
                let token = lock.write();
                self.waited::<E>(since);
                assert_eq!((add(&self.writing, 1), self.reading.get()), (1, 0));
                E::compute(inside_ns);
                assert_eq!((add(&self.writing, -1), self.reading.get()), (0, 0));
                // SAFETY: taken above.
                unsafe { lock.unlock_write(token) };
            } else {
                let token = lock.read();
                self.waited::<E>(since);
                assert_eq!(self.writing.get(), 0);
                let readers = add(&self.reading, 1);
                self.most_readers.set(self.most_readers.get().max(readers));
                E::compute(inside_ns);
                add(&self.reading, -1);
                assert_eq!(self.writing.get(), 0);
                // SAFETY: taken above.
                unsafe { lock.unlock_read(token) };
            }
            self.done.set(self.done.get() + 1);
            self.ended_ns.set(E::now_ns());
        }
    }

    fn progress(&self) -> u64 {
        self.done.get()
    }
}

fn survives<P: Policy>(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let guest = ReadersAndWriters::<P> {
            write_one_in: [1, 2, 4, 20][seed as usize % 4],
            inside_ns: [200, 1_000, 5_000, 60_000][seed as usize / 4 % 4],
            ..ReadersAndWriters::new(seed)
        };
        // The lock that the schedule names is not used.
        let schedule = torture(LockId::Fifo, seed);
        guest.run(&schedule);
    }
}

#[test]
fn fifo_survives_random_schedules() {
    survives::<Fifo>(0..800);
}

#[test]
fn fifo_halt_survives_random_schedules() {
    survives::<FifoHalt>(0..600);
}

#[test]
fn bounded_survives_random_schedules() {
    survives::<Bounded>(0..400);
}

#[test]
fn native_survives_random_schedules() {
    survives::<Native>(0..300);
}

/// Two pCPUs, eight vCPUs, 3 ms slices, a host that keeps the contract.
fn overcommitted() -> SimConfig {
    SimConfig {
        pcpus: 2,
        vcpus: 8,
        scheduling: Scheduling::RoundRobin,
        yields: YieldMode::Contract,
        ..SimConfig::default()
    }
}

#[test]
fn readers_read_together() {
    let guest = ReadersAndWriters::<Fifo>::new(1);
    guest.run(&SimConfig {
        pcpus: 8,
        ..overcommitted()
    });
    assert!(
        guest.most_readers.get() >= 4,
        "{}",
        guest.most_readers.get()
    );
}

/// The time of 3,000 rounds of each vCPU and the longest wait, in µs.
fn time_and_longest_wait<P: Policy>() -> (u64, u64) {
    let guest = ReadersAndWriters::<P> {
        rounds: 3_000,
        ..ReadersAndWriters::new(1)
    };
    guest.run(&overcommitted());
    let times = (guest.ended_ns.get() / 1_000, guest.longest_ns.get() / 1_000);
    println!("{}: {times:?} us", P::NAME);
    times
}

#[test]
fn naming_whom_one_waits_for_is_worth_slices() {
    let (native, fifo) = (
        time_and_longest_wait::<Native>(),
        time_and_longest_wait::<Fifo>(),
    );
    assert!(native.0 > 500 * fifo.0, "{native:?} {fifo:?}");
    assert!(native.1 > 100 * fifo.1, "{native:?} {fifo:?}");
    for (time, longest) in [
        time_and_longest_wait::<FifoHalt>(),
        time_and_longest_wait::<Bounded>(),
    ] {
        assert!(native.0 > 500 * time, "{native:?} {time}");
        assert!(longest < 500, "{longest}");
    }
}

#[test]
fn under_fifo_nobody_waits_for_a_slice_wherever_it_is_preempted() {
    for point in Point::ALL {
        let config = SimConfig {
            faults: Faults(vec![Fault {
                point,
                vcpu: None,
                passing: Passing::Every(7),
            }]),
            ..overcommitted()
        };
        let guest = ReadersAndWriters::<Fifo> {
            rounds: 3_000,
            ..ReadersAndWriters::new(1)
        };
        let faults = guest.run(&config);
        let longest_us = guest.longest_ns.get() / 1_000;
        println!("{point:?}: {faults} faults, longest wait {longest_us} us");
        assert!(faults > 0 || matches!(point, Point::Halting | Point::Fallback));
        assert!(longest_us < 100, "{point:?}: {longest_us} us");
    }
}
