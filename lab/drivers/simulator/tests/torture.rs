//! Thousands of random schedules for every policy of ours, and some for every rival. A failure
//! prints the seed; `pvq simulate --lock NAME --replay SEED` runs that one schedule again and
//! prints all that happened.

use pvqspin::Point;
use pvqspin_load::{Fault, Faults, Passing, WorkloadId};
use pvqspin_rivals::catalog::{CATALOG, LockId};
use pvqspin_simulator::{Jitter, SimError, WaitLimits, What, explore, run, torture};

/// Runs the schedules of these seeds.
fn survives(lock: LockId, seeds: core::ops::Range<u64>) {
    let name = lock.entry().name;
    if let Some((seed, error)) = explore(lock, seeds, 1, &|_| true).failure {
        panic!("{name}, seed {seed} (`pvq simulate --lock {name} --replay {seed}`): {error}");
    }
}

#[test]
fn fifo_survives() {
    survives(LockId::Fifo, 0..10_000);
}

#[test]
fn fifo_bit_survives() {
    survives(LockId::FifoBit, 0..4_000);
}

#[test]
fn fifo_halt_survives() {
    survives(LockId::FifoHalt, 0..5_000);
}

#[test]
fn fifo_holder_survives() {
    survives(LockId::FifoHolder, 0..4_000);
}

#[test]
fn bounded_survives() {
    survives(LockId::Bounded, 0..5_000);
}

#[test]
fn every_peer_survives() {
    for entry in CATALOG.iter().filter(|entry| entry.policy.is_none()) {
        survives(entry.id, 0..500);
    }
    // Calls that cost nothing, to a host that hears none: three waiters once lent each other a
    // pCPU without end.
    survives(LockId::Powerpc, 1_700..1_710);
}

#[test]
fn the_ideal_survives() {
    survives(LockId::Ideal, 0..500);
}

#[test]
fn every_point_can_be_armed_and_is_hit() {
    for point in Point::ALL {
        let hit = (0..20).any(|seed| {
            let lock = [LockId::Fifo, LockId::FifoHalt][seed as usize % 2];
            let config = torture(lock, seed).with(|sim| {
                sim.run.lock = lock;
                sim.run.faults = Faults(vec![Fault {
                    point,
                    vcpu: None,
                    passing: Passing::Every(3),
                }]);
                // So many handlers on top of each other that nodes run out: the fallback.
                sim.jitter = Jitter {
                    interrupt_one_in: 4,
                    ..Jitter::NONE
                };
                sim.run.host.pcpus = 4;
                sim.run.vcpus = 8;
                sim.run.duration_ns = 3_000_000;
                sim.run.trace = true;
                // Those of the schedule are for other numbers of CPUs.
                sim.wait_limits = WaitLimits::default();
            });
            let result = run(&config).unwrap_or_else(|error| panic!("{point:?}: {error}"));
            let at_point = |what: What| what == What::Fault(Some(point));
            result.faults_fired > 0 && result.trace.events.iter().any(|event| at_point(event.what))
        });
        assert!(hit, "no vCPU was preempted at {point:?}");
    }
}

#[test]
fn late_timers_cost_time_and_lose_nobody() {
    let of = |late_timer_one_in| {
        let config = torture(LockId::Fifo, 9).with(|sim| {
            sim.run.host.pcpus = 2;
            sim.run.vcpus = 6;
            sim.jitter = Jitter {
                late_timer_one_in,
                ..Jitter::NONE
            };
            sim.run.faults = Faults::default();
            sim.wait_limits = WaitLimits::default();
            sim.run.duration_ns = 30_000_000;
        });
        let result = run(&config).expect("no vCPU is lost");
        let ends = |what: What| matches!(what, What::SliceEnd);
        let trace = run(&config.with(|sim| sim.run.trace = true));
        let trace = trace.expect("the same again").trace;
        let slices = trace.events.iter().filter(|event| ends(event.what)).count();
        (slices, result.outcome.acquisitions)
    };
    let ((on_time, _), (late, taken)) = (of(0), of(1));
    assert!(taken > 0);
    // Each slice lasts for one and a half on average.
    assert!(late * 5 < on_time * 4, "{late} slices instead of {on_time}");
}

#[test]
fn a_limit_that_cannot_be_kept_is_broken_and_told() {
    let broken = |wait_limits| {
        let config = torture(LockId::Fifo, 3).with(|sim| {
            sim.wait_limits = wait_limits;
            sim.run.host.pcpus = 2;
            sim.run.vcpus = 6;
            sim.vms = 1;
            sim.run.neighbour = None;
            sim.run.workload.id = WorkloadId::HotLock;
            // With slices of twice the length no vCPU is overtaken in so short a time.
            sim.jitter.late_timer_one_in = 0;
        });
        run(&config).expect_err("a vCPU waits")
    };
    let too_long = broken(WaitLimits {
        longest_ns: Some(1),
        overtakers: None,
    });
    assert!(
        matches!(too_long, SimError::WaitTooLong { .. }),
        "{too_long}"
    );
    let overtaken = broken(WaitLimits {
        longest_ns: None,
        overtakers: Some(0),
    });
    assert!(
        matches!(overtaken, SimError::Overtaken { .. }),
        "{overtaken}"
    );
    for error in [too_long, overtaken] {
        let text = error.to_string();
        assert!(
            text.contains("fifo, seed 3") && text.contains("is its bound"),
            "{text}"
        );
    }
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let of = |threads| {
        let explored = explore(LockId::FifoHalt, 100..400, threads, &|_| true);
        assert!(explored.failure.is_none());
        (
            explored.schedules,
            explored.acquisitions,
            explored.events,
            explored.faults,
        )
    };
    let one = of(1);
    assert_eq!((one, one), (of(2), of(7)));
    // It stops when it is told to.
    let stopped = explore(LockId::Fifo, 0..1_000_000, 2, &|_| false);
    assert!(stopped.schedules < 1_000);
}
