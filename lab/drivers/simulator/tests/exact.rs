//! What must come out exactly, or within stated bounds: virtual time has no noise.

use pvqspin::Point;
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_load::{
    Distribution, Fault, Faults, LockLoad, NeighbourKind, NeighbourVm, Outcome, Passing, Section,
    WorkloadConfig, WorkloadId, bound_per_s,
};
use pvqspin_rivals::catalog::{BOUNDED_WAIT_US, LockId};
use pvqspin_simulator::{Profile, SimConfig, SimError, SimResult, run};

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
    SimConfig::default().with(|sim| {
        sim.run.lock = lock;
        sim.run.workload = workload(1_000, 2_000, Distribution::Uniform);
        sim.run.host.pcpus = pcpus;
        sim.run.vcpus = pcpus * overcommit;
        sim.run.duration_ns = 300_000_000;
    })
}

fn simulate(config: &SimConfig) -> SimResult {
    let name = config.run.lock.entry().name;
    run(config).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn over_bound(config: &SimConfig, outcome: &Outcome) -> f64 {
    let (inside, outside) = (config.run.workload.inside, config.run.workload.outside);
    let load = LockLoad {
        busiest_ns: inside.mean_ns.into(),
        per_round: 1.0,
    };
    let bound = bound_per_s(
        load,
        inside.mean_ns.into(),
        outside.mean_ns.into(),
        config.run.host.pcpus,
        config.run.vcpus,
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
        let mut config = config(lock, 3, 2).with(|sim| {
            sim.vms = 2;
            sim.run.duration_ns = 20_000_000;
            sim.run.host.scheduling = Scheduling::Credit;
            sim.run.trace = true;
        });
        Profile::named("small")
            .expect("built in")
            .apply(&mut config);
        let bytes = || {
            let result = simulate(&config);
            format!("{:?} {:?}", result.outcome, result.trace)
        };
        // Both at once, so that they would meet in anything that they shared.
        let (one, other) = std::thread::scope(|scope| {
            let both = [scope.spawn(bytes), scope.spawn(bytes)];
            let [one, other] = both.map(|thread| thread.join().expect("it runs"));
            (one, other)
        });
        assert!(one == other && one == bytes(), "{lock:?}");
    }
}

#[test]
fn recording_and_looking_change_no_figure() {
    for lock in [LockId::Fifo, LockId::FifoHalt, LockId::NativeQueued] {
        let plain = config(lock, 2, 4).with(|sim| sim.run.duration_ns = 10_000_000);
        let snapshots = Some((4_000_000, 4_100_000));
        let seen = simulate(&plain.clone().with(|sim| {
            sim.run.trace = true;
            sim.trace_events = 1_000;
            sim.snapshots = snapshots;
        }));
        assert_eq!(seen.trace.events.len(), 1_000);
        assert!(seen.trace.dropped > 1_000 && !seen.snapshots.is_empty());
        let holder_is_named = |word: Option<u32>| word.is_some_and(|word| word != 0);
        assert!(
            seen.snapshots
                .iter()
                .any(|snapshot| holder_is_named(snapshot.word)),
            "{lock:?}"
        );
        let plain = simulate(&plain);
        assert_eq!(
            format!("{:?}", seen.outcome),
            format!("{:?}", plain.outcome),
            "{lock:?}"
        );
        assert_eq!(seen.events, plain.events, "{lock:?}");
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

#[test]
fn long_sections_cost_strict_order_nothing_either() {
    // Where a section lasts longer than a sleep costs, a spinner wastes a pCPU: the
    // locks that always halt are the ones to beat there.
    for section in [100_000, 1_000_000] {
        for overcommit in [2, 8] {
            let of = |lock| {
                let config = config(lock, 2, overcommit).with(|sim| {
                    sim.run.workload = workload(section, section, Distribution::Uniform);
                    sim.run.duration_ns = 1_000_000_000;
                });
                simulate(&config).outcome.acquisitions as f64
            };
            let best = [LockId::FifoHalt, LockId::LinuxPv, LockId::UnfairHinted]
                .map(of)
                .into_iter()
                .fold(0.0, f64::max);
            let ratio = of(LockId::Fifo) / best;
            assert!(ratio > 0.98, "{section} ns at {overcommit}: {ratio}");
        }
    }
}

#[test]
fn hypercalls_do_not_grow_with_the_section() {
    // A waiter behind a preempted one, under a holder that runs for long, must not keep asking.
    let config = config(LockId::Fifo, 8, 8).with(|sim| {
        sim.run.workload = workload(1_000_000, 1_000_000, Distribution::Uniform);
        sim.run.duration_ns = 1_000_000_000;
    });
    let outcome = simulate(&config).outcome;
    let each = calls(&outcome) as f64 / outcome.acquisitions as f64;
    assert!(each < 3.0, "{each} calls for each acquisition");
}

/// Preempts each vCPU, every so many passings of each point.
fn at_every_point(lock: LockId, check: impl Fn(&SimConfig, Point, SimResult)) {
    for scheduling in [Scheduling::RoundRobin, Scheduling::Fair] {
        for (pcpus, overcommit, every) in [(2, 4, 97), (4, 4, 97), (2, 8, 13), (4, 2, 7)] {
            for point in Point::ALL {
                let fault = Fault {
                    point,
                    vcpu: None,
                    passing: Passing::Every(every),
                };
                let config = config(lock, pcpus, overcommit).with(|sim| {
                    sim.run.host.scheduling = scheduling;
                    sim.run.faults = Faults(vec![fault]);
                    sim.run.duration_ns = 60_000_000;
                });
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
            let (pcpus, vcpus) = (config.run.host.pcpus, config.run.vcpus);
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
                longest < config.run.host.slice_ns,
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
    let bound = u64::from(BOUNDED_WAIT_US) * 1_000;
    // A fair host refuses a head that has had its share: until the slices of those that run are over.
    let slice = SimConfig::default().run.host.slice_ns;
    for (scheduling, least) in [(Scheduling::RoundRobin, 0), (Scheduling::Fair, slice)] {
        for overcommit in [2, 4, 8] {
            let config = config(LockId::Bounded, 2, overcommit).with(|sim| {
                sim.run.host.yields = YieldMode::Hint;
                sim.run.host.scheduling = scheduling;
            });
            let longest = simulate(&config).outcome.wait.max;
            assert!(
                longest < least + bound * 5 / 4,
                "{scheduling}, overcommit {overcommit}: {longest}"
            );
        }
    }
}

#[test]
fn a_host_that_refuses_the_head_does_not_stop_everybody() {
    // Eligibility, or gangs: the head may be refused for a slice. The lock must not wait with it.
    for scheduling in [
        Scheduling::Fair,
        Scheduling::Credit,
        Scheduling::CoScheduled,
    ] {
        let of = |lock| {
            let config = config(lock, 8, 4).with(|sim| {
                sim.run.host.yields = YieldMode::Hint;
                sim.run.host.scheduling = scheduling;
            });
            simulate(&config).outcome.acquisitions as f64
        };
        let ratio = of(LockId::Bounded) / of(LockId::UnfairHinted);
        assert!(ratio > 0.6, "{scheduling}: {ratio}");
    }
}

#[test]
fn a_bound_holds_where_whoever_is_passed_over_holds_another_lock() {
    // A head that was passed over keeps the edge to a vCPU that has left long ago, unless that vCPU
    // withdraws it: then no waiter behind its outer lock finds it, and all wait for its next slice.
    for (pcpus, overcommit) in [(2, 2), (2, 4), (8, 4)] {
        let of = |lock| {
            let mut config = config(lock, pcpus, overcommit);
            config.run.workload.id = WorkloadId::TwoLocks;
            simulate(&config).outcome
        };
        let (bounded, fifo) = (of(LockId::Bounded), of(LockId::Fifo));
        let bound = u64::from(BOUNDED_WAIT_US) * 1_000;
        assert!(bounded.wait.max < bound * 5 / 4, "{}", bounded.wait.max);
        let ratio = bounded.acquisitions as f64 / fifo.acquisitions as f64;
        assert!(ratio > 0.95, "{pcpus} at {overcommit}: {ratio}");
    }
}

#[test]
fn hypercalls_do_not_grow_with_the_queue() {
    // Hardly anything outside, so all queue; half of them have a pCPU. What asks for a call
    // is the end of a slice, and eight times the pCPUs have eight times as many: count for each.
    let of = |pcpus: usize| {
        let config = config(LockId::Fifo, pcpus, 2)
            .with(|sim| sim.run.workload = workload(1_000, 100, Distribution::Uniform));
        let outcome = simulate(&config).outcome;
        let slices = config.run.duration_ns / config.run.host.slice_ns * pcpus as u64;
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
            let config = config(lock, pcpus, 1).with(|sim| sim.run.duration_ns = 30_000_000);
            assert_eq!(calls(&simulate(&config).outcome), 0, "{lock:?} on {pcpus}");
        }
    }
}

#[test]
fn a_neighbour_loses_nothing() {
    let config = config(LockId::Fifo, 2, 2).with(|sim| {
        sim.run.neighbour = Some(NeighbourVm {
            kind: NeighbourKind::Busy,
            vcpus: 2,
            weight: 1024,
        });
        sim.run.host.scheduling = Scheduling::Fair;
    });
    let share = simulate(&config).outcome.neighbour.expect("there is one");
    assert!((0.97..1.05).contains(&share), "{share}");
}

#[test]
fn a_halt_without_a_kick_is_found_and_told() {
    // A vCPU that is preempted in its halt window for ever cannot be made; patience can be.
    let config = config(LockId::FifoHalt, 2, 4).with(|sim| sim.run.halt_timeout_ns = Some(1));
    let error = run(&config).expect_err("halts last longer than 1 ns");
    assert!(matches!(error, SimError::LostWakeUp(..)), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("fifo-halt, seed 1") && text.contains("halt, hint"),
        "{text}"
    );
}

#[test]
fn as_many_vcpus_as_a_word_can_name_run() {
    let config = config(LockId::Fifo, 1, 1).with(|sim| {
        sim.run.vcpus = 4_095;
        sim.run.host.pcpus = 64;
        sim.run.duration_ns = 1_000_000;
        sim.run.warmup_ns = Some(0);
    });
    assert!(simulate(&config).outcome.acquisitions > 500);
}

#[test]
fn what_sleeps_or_waits_costs_no_events() {
    // All vCPUs beyond the pCPUs wait for one, or sleep; the work done stays what it was.
    for lock in [LockId::Fifo, LockId::FifoHalt] {
        let events_each = |vcpus| {
            let config = config(lock, 8, 1).with(|sim| {
                sim.run.vcpus = vcpus;
                sim.run.duration_ns = 20_000_000;
                sim.run.warmup_ns = Some(0);
            });
            let result = simulate(&config);
            result.events as f64 / result.outcome.acquisitions as f64
        };
        let (few, many) = (events_each(16), events_each(1_024));
        assert!(
            many < 1.5 * few,
            "{lock:?}: {few} events each became {many}"
        );
    }
}

#[test]
fn vms_have_locks_of_their_own() {
    let config = config(LockId::Fifo, 8, 1).with(|sim| {
        sim.vms = 4;
        sim.run.vcpus = 2;
        sim.run.workload = workload(1_000, 0, Distribution::Fixed);
    });
    let result = simulate(&config);
    let one = simulate(&config.clone().with(|sim| {
        sim.vms = 1;
        sim.run.host.pcpus = 2;
    }));
    // Four times what one VM does on as many pCPUs of its own, and each did its part.
    assert_eq!(result.outcome.acquisitions, 4 * one.outcome.acquisitions);
    assert_eq!(result.vms.len(), 4);
    for vm in &result.vms {
        assert_eq!(vm.per_vcpu, one.outcome.per_vcpu);
    }
    // No more than all locks together could do, no less than most of it.
    let reached = over_bound(&config, &result.outcome) / 4.0;
    assert!((0.8..=1.001).contains(&reached), "{reached}");
}
