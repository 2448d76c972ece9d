//! Readers and writers of the reader-writer lock in virtual time: with faults at every point,
//! a writer is alone, every vCPU comes to an end, and no wait exceeds a bound.

use pvqspin::{Bounded, Fifo, FifoHalt, Native, Point, Policy};
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_load::{Fault, Faults, Passing};
use pvqspin_rivals::catalog::LockId;
use pvqspin_simulator::{ReadersAndWriters, SimConfig, torture};

fn run<P: Policy>(guest: &ReadersAndWriters<P>, config: &SimConfig) -> u64 {
    let faults = guest.run(config);
    faults.unwrap_or_else(|error| panic!("{config:#?}: {error}"))
}

fn survives<P: Policy>(seeds: std::ops::Range<u64>) {
    for seed in seeds {
        let guest = ReadersAndWriters::<P>::of_seed(seed);
        // The lock that the schedule names is not used.
        let schedule = torture(LockId::Fifo, seed);
        run(&guest, &schedule);
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
    SimConfig::default().with(|sim| {
        sim.run.host.pcpus = 2;
        sim.run.vcpus = 8;
        sim.run.host.scheduling = Scheduling::RoundRobin;
        sim.run.host.yields = YieldMode::Contract;
    })
}

#[test]
fn readers_read_together() {
    let guest = ReadersAndWriters::<Fifo>::new(1);
    let config = overcommitted().with(|sim| sim.run.host.pcpus = 8);
    run(&guest, &config);
    assert!(guest.most_readers() >= 4, "{}", guest.most_readers());
}

/// The time of 3,000 rounds of each vCPU and the longest wait, in µs.
fn time_and_longest_wait<P: Policy>() -> (u64, u64) {
    let mut guest = ReadersAndWriters::<P>::new(1);
    guest.rounds = 3_000;
    run(&guest, &overcommitted());
    let times = (guest.ended_ns() / 1_000, guest.longest_wait_ns() / 1_000);
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
        let config = overcommitted().with(|sim| {
            sim.run.faults = Faults(vec![Fault {
                point,
                vcpu: None,
                passing: Passing::Every(7),
            }]);
        });
        let mut guest = ReadersAndWriters::<Fifo>::new(1);
        guest.rounds = 3_000;
        let faults = run(&guest, &config);
        let longest_us = guest.longest_wait_ns() / 1_000;
        println!("{point:?}: {faults} faults, longest wait {longest_us} us");
        assert!(faults > 0 || matches!(point, Point::Halting | Point::Fallback));
        assert!(longest_us < 100, "{point:?}: {longest_us} us");
    }
}
