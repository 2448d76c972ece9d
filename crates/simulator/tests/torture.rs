//! Thousands of random schedules for every policy of ours, and some for every peer. A failure
//! prints the seed; `SIM_LOCK=name SIM_SEED=n cargo test -p pvqspin-simulator --test torture` runs
//! that one schedule again and prints all that happened.

use pvqspin_peers::catalog::{CATALOG, LockId, find_or_ideal};
use pvqspin_simulator::{SimConfig, run, torture};

/// Runs the schedules of these seeds.
fn explore(lock: LockId, seeds: core::ops::Range<u64>) {
    let name = lock.entry().name;
    for seed in seeds {
        if let Err(error) = run(&torture(lock, seed)) {
            panic!("{name}, seed {seed} (SIM_LOCK={name} SIM_SEED={seed} replays it): {error}");
        }
    }
}

#[test]
fn fifo_survives() {
    explore(LockId::Fifo, 0..10_000);
}

#[test]
fn fifo_bit_survives() {
    explore(LockId::FifoBit, 0..4_000);
}

#[test]
fn fifo_halt_survives() {
    explore(LockId::FifoHalt, 0..5_000);
}

#[test]
fn fifo_holder_survives() {
    explore(LockId::FifoHolder, 0..4_000);
}

#[test]
fn bounded_survives() {
    explore(LockId::Bounded, 0..5_000);
}

#[test]
fn every_peer_survives() {
    for entry in CATALOG.iter().filter(|entry| entry.policy.is_none()) {
        explore(entry.id, 0..500);
    }
    // Calls that cost nothing, to a host that hears none: three waiters once lent each other a
    // pCPU without end.
    explore(LockId::Powerpc, 1_700..1_710);
}

#[test]
fn the_ideal_survives() {
    explore(LockId::Ideal, 0..500);
}

#[test]
fn a_schedule_can_be_replayed() {
    let (Ok(name), Ok(seed)) = (std::env::var("SIM_LOCK"), std::env::var("SIM_SEED")) else {
        return;
    };
    let lock = find_or_ideal(&name).expect("SIM_LOCK names a lock").id;
    let schedule = SimConfig {
        trace: true,
        ..torture(lock, seed.parse().expect("SIM_SEED is a number"))
    };
    eprintln!("{schedule:#?}");
    match run(&schedule) {
        Ok(result) => result.trace.iter().for_each(|event| eprintln!("{event}")),
        Err(error) => panic!("{error}"),
    }
}
