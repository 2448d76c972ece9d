//! What must come out exactly, or within stated bounds: virtual time has no noise.

use pvqspin::Point;
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_peers::catalog::{BOUNDED_WAIT_US, CATALOG, LockId};
use pvqspin_simulator::{
    Costs, Fault, Faults, Neighbour, Passing, SimConfig, SimError, SimResult, run,
};
use pvqspin_workload::{
    Distribution, LockLoad, Outcome, Section, WorkloadConfig, WorkloadId, bound_per_s,
};

fn workload(inside_ns: u32, outside_ns: u32, distribution: Distribution) -> WorkloadConfig {
    let section = |mean_ns| Section {
        mean_ns,
        distribution,
    };
    WorkloadConfig {
        id: WorkloadId::HotLock,
        inside: section(inside_ns),
        outside: section(outside_ns),
        seed: 1,
    }
}

/// 1 µs inside, 2 µs outside, 300 ms.
fn config(lock: LockId, pcpus: usize, overcommit: usize) -> SimConfig {
    SimConfig {
        lock,
        workload: workload(1_000, 2_000, Distribution::Uniform),
        pcpus,
        vcpus: pcpus * overcommit,
        duration_ns: 300_000_000,
        ..SimConfig::default()
    }
}

fn simulate(config: &SimConfig) -> SimResult {
    let name = config.lock.entry().name;
    run(config).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn over_bound(config: &SimConfig, outcome: &Outcome) -> f64 {
    let (inside, outside) = (config.workload.inside, config.workload.outside);
    let load = LockLoad {
        busiest_ns: inside.mean_ns.into(),
        per_round: 1.0,
    };
    let bound = bound_per_s(
        load,
        inside.mean_ns.into(),
        outside.mean_ns.into(),
        config.pcpus,
        config.vcpus,
    );
    outcome.acquisitions as f64 * 1e9 / outcome.duration_ns as f64 / bound
}

fn calls(outcome: &Outcome) -> u64 {
    let calls = outcome.hypercalls;
    calls.halt + calls.kick + calls.yield_to
}

#[test]
fn the_same_configuration_gives_the_same_bytes() {
    for lock in [LockId::Fifo, LockId::LinuxPv, LockId::Bounded] {
        let config = SimConfig {
            duration_ns: 20_000_000,
            scheduling: Scheduling::Credit,
            trace: true,
            ..config(lock, 3, 4)
        };
        let bytes = || {
            let result = simulate(&config);
            format!("{:?} {:?}", result.outcome, result.trace)
        };
        let first = bytes();
        let on_another_thread = std::thread::scope(|scope| scope.spawn(bytes).join());
        assert_eq!(Some(first), on_another_thread.ok());
    }
}

#[test]
fn an_uncontended_lock_costs_two_steps() {
    let costs = Costs::default();
    let round = 1_000 + 2_000 + 2 * u64::from(costs.atomic_ns);
    for entry in CATALOG {
        let config = SimConfig {
            lock: entry.id,
            warmup_ns: Some(0),
            duration_ns: 1_000 * round + 1,
            ..SimConfig::default()
        };
        let outcome = simulate(&config).outcome;
        // The first round begins when the vCPU has been switched to.
        let lost = u64::from(costs.switch_ns).div_ceil(round);
        assert_eq!(outcome.acquisitions, 1_000 - lost, "{}", entry.name);
        assert_eq!((calls(&outcome), outcome.wait.max), (0, 0));
    }
}

#[test]
fn two_that_take_turns_have_an_exact_cycle() {
    // C = N: each waits while the other is inside. A cycle is two critical sections, each with
    // the step that ends it, a line transfer, and the step that takes the lock.
    let config = SimConfig {
        lock: LockId::Ticket,
        pcpus: 2,
        vcpus: 2,
        workload: workload(1_000, 1_000, Distribution::Fixed),
        costs: Costs {
            switch_ns: 0,
            ..Costs::NONE
        },
        warmup_ns: Some(1_000_000),
        duration_ns: 10_000_000,
        ..SimConfig::default()
    };
    assert_eq!(simulate(&config).outcome.acquisitions, 10_000);
}

#[test]
fn no_lock_exceeds_the_bound() {
    for entry in CATALOG {
        for (pcpus, overcommit) in [(1, 2), (2, 1), (2, 3), (8, 2)] {
            let config = SimConfig {
                duration_ns: 50_000_000,
                workload: workload(2_000, 5_000, Distribution::Fixed),
                ..config(entry.id, pcpus, overcommit)
            };
            let reached = over_bound(&config, &simulate(&config).outcome);
            // Sections that began before the measured time count when they end in it.
            assert!(reached <= 1.001, "{} reached {reached}", entry.name);
        }
    }
}

#[test]
fn strict_order_costs_no_throughput_and_nobody_waits() {
    for overcommit in [2, 4, 8] {
        let of = |lock| {
            let config = config(lock, 2, overcommit);
            let outcome = simulate(&config).outcome;
            (over_bound(&config, &outcome), outcome.wait.max)
        };
        let (fifo, fifo_wait) = of(LockId::Fifo);
        let (_, hinted_wait) = of(LockId::UnfairHinted);
        let (native, _) = of(LockId::NativeQueued);
        assert!(fifo >= 0.92, "overcommit {overcommit}: {fifo}");
        assert!(fifo_wait < 20_000, "overcommit {overcommit}: {fifo_wait}");
        assert!(
            hinted_wait >= 1_000 * fifo_wait,
            "{hinted_wait} {fifo_wait}"
        );
        assert!(native < 0.02, "overcommit {overcommit}: {native}");
    }
}

/// Preempts everybody, every so many passings of each point.
fn at_every_point(lock: LockId, check: impl Fn(&SimConfig, Point, SimResult)) {
    for scheduling in [Scheduling::RoundRobin, Scheduling::Fair] {
        for (pcpus, overcommit, every) in [(2, 4, 97), (4, 4, 97), (2, 8, 13), (4, 2, 7)] {
            for point in Point::ALL {
                let fault = Fault {
                    point,
                    vcpu: None,
                    passing: Passing::Every(every),
                };
                let config = SimConfig {
                    scheduling,
                    faults: Faults(vec![fault]),
                    duration_ns: 60_000_000,
                    ..config(lock, pcpus, overcommit)
                };
                check(&config, point, simulate(&config));
            }
        }
    }
}

#[test]
fn a_preemption_at_any_point_costs_nobody_a_rotation() {
    for lock in [LockId::Fifo, LockId::FifoBit] {
        at_every_point(lock, |config, point, result| {
            let longest = result.outcome.wait.max;
            let (pcpus, vcpus) = (config.pcpus, config.vcpus);
            assert!(
                longest < 100_000,
                "{lock:?} at {point:?}, {vcpus} on {pcpus}: {longest} ns"
            );
        });
    }
}

#[test]
fn a_preemption_at_any_point_loses_no_wake_up() {
    for lock in [LockId::FifoHalt, LockId::FifoHolder] {
        at_every_point(lock, |config, point, result| {
            let longest = result.outcome.wait.max;
            assert!(
                longest < config.slice_ns,
                "{lock:?} at {point:?}: {longest}"
            );
        });
    }
}

#[test]
fn a_preemption_at_any_point_breaks_no_bound() {
    at_every_point(LockId::Bounded, |_, point, result| {
        let longest = result.outcome.wait.max;
        let bound = u64::from(BOUNDED_WAIT_US) * 1_000;
        assert!(
            longest < bound * 5 / 4,
            "bounded at {point:?}: {longest} ns"
        );
    });
}

#[test]
fn a_bound_holds_on_a_host_that_takes_hints_only() {
    for overcommit in [2, 4, 8] {
        let config = SimConfig {
            yields: YieldMode::Hint,
            ..config(LockId::Bounded, 2, overcommit)
        };
        let longest = simulate(&config).outcome.wait.max;
        let bound = u64::from(BOUNDED_WAIT_US) * 1_000;
        assert!(
            longest < bound * 5 / 4,
            "overcommit {overcommit}: {longest}"
        );
    }
}

#[test]
fn hypercalls_do_not_grow_with_the_queue() {
    // Hardly anything outside, so everybody queues; half of them have a pCPU. What asks for a call
    // is the end of a slice, and eight times the pCPUs have eight times as many: count for each.
    let of = |pcpus: usize| {
        let config = SimConfig {
            workload: workload(1_000, 100, Distribution::Uniform),
            ..config(LockId::Fifo, pcpus, 2)
        };
        let outcome = simulate(&config).outcome;
        let slices = config.duration_ns / config.slice_ns * pcpus as u64;
        (calls(&outcome) as f64 / slices as f64, outcome.wait.p50)
    };
    let ((few, short), (many, long)) = (of(4), of(32));
    assert!(long > 6 * short, "the queue is longer: {short} {long}");
    assert!(few < 3.0, "{few} calls for each slice");
    assert!(many < 1.5 * few, "{few} calls for each slice became {many}");
}

#[test]
fn who_has_a_pcpu_makes_no_hypercall() {
    for lock in [LockId::Fifo, LockId::FifoBit, LockId::Bounded] {
        for pcpus in [2, 8, 32] {
            let config = SimConfig {
                duration_ns: 30_000_000,
                ..config(lock, pcpus, 1)
            };
            assert_eq!(calls(&simulate(&config).outcome), 0, "{lock:?} on {pcpus}");
        }
    }
}

#[test]
fn a_neighbour_loses_nothing() {
    let config = SimConfig {
        neighbour: Some(Neighbour {
            vcpus: 2,
            weight: 1024,
        }),
        scheduling: Scheduling::Fair,
        ..config(LockId::Fifo, 2, 2)
    };
    let share = simulate(&config).outcome.neighbour.expect("there is one");
    assert!((0.97..1.05).contains(&share), "{share}");
}

#[test]
fn a_halt_without_a_kick_is_found_and_told() {
    // A vCPU that is preempted in its halt window for ever cannot be made; patience can be.
    let config = SimConfig {
        halt_timeout_ns: 1,
        ..config(LockId::FifoHalt, 2, 4)
    };
    let error = run(&config).expect_err("halts last longer than 1 ns");
    assert!(matches!(error, SimError::LostWakeUp(..)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("fifo-halt, seed 1") && text.contains("halt, hint"),
        "{text}"
    );
}

#[test]
fn many_vcpus_run() {
    let config = SimConfig {
        duration_ns: 1_000_000,
        warmup_ns: Some(0),
        ..config(LockId::Fifo, 64, 16)
    };
    assert!(simulate(&config).outcome.acquisitions > 500);
}
