//! Every workload on every lock, in virtual time: it does what its definition says, excludes, and
//! comes out the same every time.

use pvqspin_load::catalog::CATALOG;
use pvqspin_load::{NeighbourKind, NeighbourVm, Outcome, WorkloadId, bound_per_s};
use pvqspin_rivals::catalog::{CATALOG as LOCKS, LockId};
use pvqspin_simulator::{SimConfig, SimResult, run};

/// The workload with its own section lengths, overcommitted.
fn config(lock: LockId, id: WorkloadId) -> SimConfig {
    SimConfig::default().with(|sim| {
        sim.run.lock = lock;
        sim.run.workload = id.entry().config(5);
        sim.run.host.pcpus = 2;
        sim.run.vcpus = 6;
        sim.run.host.slice_ns = 300_000;
        sim.run.host.min_loan_ns = 50_000;
        sim.run.warmup_ns = Some(1_000_000);
        sim.run.duration_ns = 8_000_000;
    })
}

fn simulate(config: &SimConfig) -> SimResult {
    let (lock, workload) = (
        config.run.lock.entry().name,
        config.run.workload.id.entry().name,
    );
    // A violation of exclusion, a lost wake-up and a stall are errors here.
    run(config).unwrap_or_else(|error| panic!("{workload} on {lock}: {error}"))
}

fn outcome(lock: LockId, id: WorkloadId) -> Outcome {
    simulate(&config(lock, id)).outcome
}

/// Those in which something happens.
fn busy_workloads() -> impl Iterator<Item = WorkloadId> {
    let ids = CATALOG.iter().map(|entry| entry.id);
    ids.filter(|&id| id != WorkloadId::Halted)
}

#[test]
fn every_workload_works_on_every_lock() {
    for id in busy_workloads() {
        for lock in LOCKS {
            let outcome = outcome(lock.id, id);
            let name = (id.entry().name, lock.name);
            assert!(outcome.acquisitions > 0, "{name:?}");
            assert_eq!(outcome.exclusion_violations, 0, "{name:?}");
            assert_eq!(outcome.unit, id.entry().unit, "{name:?}");
            // A strict queue without hints gets nowhere here, and its sections say little.
            if outcome.acquisitions > 1_000 {
                assert!(outcome.units > 0, "{name:?} did no {}", outcome.unit);
            }
        }
    }
}

#[test]
fn every_workload_is_the_same_every_time() {
    for id in busy_workloads() {
        let bytes = || format!("{:?}", outcome(LockId::Fifo, id));
        assert_eq!(bytes(), bytes(), "{}", id.entry().name);
    }
}

/// For each workload how many acquisitions one unit takes, from one undisturbed vCPU.
#[test]
fn a_unit_takes_what_its_definition_says() {
    for (id, each) in [
        (WorkloadId::HotLock, 1.0),
        (WorkloadId::TwoLines, 1.0),
        (WorkloadId::HashTable, 1.0),
        (WorkloadId::Lock2, 2.0),
        (WorkloadId::LockTorture, 1.0),
        (WorkloadId::LevelDb, 2.0),
        (WorkloadId::TwoLocks, 2.0),
    ] {
        let alone = config(LockId::Ticket, id).with(|sim| {
            sim.run.host.pcpus = 1;
            sim.run.vcpus = 1;
        });
        let outcome = simulate(&alone).outcome;
        let ratio = outcome.acquisitions as f64 / outcome.units as f64;
        // Measuring begins and ends in the middle of a unit.
        assert!((ratio - each).abs() < 0.01, "{}: {ratio}", id.entry().name);
    }
}

#[test]
fn one_vcpu_alone_is_at_its_bound() {
    // Ties the bound to what is measured: rounds, nesting, shares of several locks.
    for id in busy_workloads() {
        let alone = config(LockId::Fifo, id).with(|sim| {
            sim.run.host.pcpus = 1;
            sim.run.vcpus = 1;
            sim.run.duration_ns = 40_000_000;
        });
        let outcome = simulate(&alone).outcome;
        let bound = bound_per_s(
            outcome.load,
            outcome.inside_measured_ns,
            outcome.outside_measured_ns,
            1,
            1,
        );
        let over_bound = outcome.acquisitions as f64 * 1e9 / outcome.duration_ns as f64 / bound;
        assert!(
            (0.93..1.02).contains(&over_bound),
            "{}: {over_bound}",
            id.entry().name
        );
    }
}

#[test]
fn waiting_for_an_inner_lock_is_not_work() {
    let inside_ns = |cpus| {
        let config = config(LockId::Fifo, WorkloadId::TwoLocks).with(|sim| {
            sim.run.host.pcpus = cpus;
            sim.run.vcpus = cpus;
        });
        simulate(&config).outcome.inside_measured_ns
    };
    // Eight that transfer among sixteen accounts wait for each other often; lines that travel
    // make sections longer by two transfers.
    let longer = inside_ns(8) - inside_ns(1);
    assert!((0.0..150.0).contains(&longer), "{longer}");
}

#[test]
fn work_items_last_one_to_ten_milliseconds() {
    let config =
        config(LockId::Fifo, WorkloadId::KernelBuild).with(|sim| sim.run.duration_ns = 200_000_000);
    let outcome = simulate(&config).outcome;
    // Two pCPUs, 5.5 ms for each item, 55 entries into the kernel.
    assert!((60..90).contains(&outcome.units), "{}", outcome.units);
    let entries = outcome.acquisitions as f64 / outcome.units as f64;
    assert!((40.0..70.0).contains(&entries), "{entries}");
    assert!(outcome.load.busiest_ns < outcome.inside_measured_ns / 2.0);
}

#[test]
fn interrupts_come_over_slow_paths() {
    for lock in [
        LockId::Fifo,
        LockId::FifoHalt,
        LockId::Bounded,
        LockId::LinuxPv,
    ] {
        let contended = outcome(lock, WorkloadId::NestedContexts);
        let name = lock.entry().name;
        assert!(contended.units > 10, "{name}: {} came", contended.units);
        // Each took a lock that is no round of its own.
        assert!(contended.load.per_round > 1.0, "{name}");
    }
    // No vCPU waits, so none is interrupted in a slow path.
    let alone = config(LockId::Fifo, WorkloadId::NestedContexts).with(|sim| {
        sim.run.host.pcpus = 1;
        sim.run.vcpus = 1;
    });
    assert_eq!(simulate(&alone).outcome.units, 0);
}

#[test]
fn rare_long_holds_occur() {
    let outcome = outcome(LockId::Fifo, WorkloadId::LockTorture);
    // Without them the mean is the step that releases the lock, about 10 ns.
    assert!(outcome.inside_measured_ns > 30.0, "{outcome:?}");
    assert!(outcome.wait.max > 50_000, "{outcome:?}");
}

#[test]
fn a_neighbour_gets_its_share_beside_locks_and_everything_beside_nobody() {
    let beside = |id, kind| {
        let config = config(LockId::Fifo, id).with(|sim| {
            sim.run.vcpus = 4;
            sim.run.duration_ns = 60_000_000;
            sim.run.neighbour = Some(NeighbourVm {
                kind,
                vcpus: 2,
                weight: 1_024,
            });
        });
        simulate(&config).outcome
    };
    let share = |id| beside(id, NeighbourKind::Busy).neighbour.expect("measured");
    // Two of six vCPUs on two pCPUs are due two thirds of a pCPU: all of both is three times that.
    let beside_nobody = share(WorkloadId::Halted);
    assert!((2.9..3.05).contains(&beside_nobody), "{beside_nobody}");
    for id in [WorkloadId::HotLock, WorkloadId::TwoLines] {
        let beside_locks = share(id);
        assert!((0.95..1.1).contains(&beside_locks), "{beside_locks}");
    }
    // A vCPU that sleeps costs nothing.
    let alone = config(LockId::Fifo, WorkloadId::HotLock).with(|sim| {
        sim.run.vcpus = 4;
        sim.run.duration_ns = 60_000_000;
    });
    let (alone, halted) = (
        simulate(&alone).outcome,
        beside(WorkloadId::HotLock, NeighbourKind::Halted),
    );
    assert_eq!(halted.neighbour, None);
    let ratio = halted.acquisitions as f64 / alone.acquisitions as f64;
    assert!((0.99..1.01).contains(&ratio), "{ratio}");
}

/// A head that lent its pCPU to the holder of a lock that no other CPU wants gets it back at the release,
/// whether others might pass over it or not.
#[test]
fn a_rare_lock_costs_no_turn() {
    for lock in [LockId::Fifo, LockId::Bounded] {
        let config = config(lock, WorkloadId::KernelBuild).with(|sim| {
            sim.run.host.pcpus = 8;
            sim.run.vcpus = 32;
            sim.run.host.slice_ns = 3_000_000;
            sim.run.duration_ns = 200_000_000;
        });
        let outcome = simulate(&config).outcome;
        let name = lock.entry().name;
        assert_eq!(outcome.waits_over_slice, 0, "{name}");
        assert!(
            outcome.wait.max < 1_000_000,
            "{name}: {} ns",
            outcome.wait.max
        );
    }
}
