//! Every lock of the catalogue under real preemption: exclusion, progress, no lost wake-up.
//!
//! Nothing here looks at how fast anything is: the machine may be busy with other things.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use pvqspin::{Cpu, Point};
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_hypervisor::{
    HvConfig, Probe, Run, RunError, RunResult, Unsupported, What, run, run_watched,
};
use pvqspin_load::catalog::CATALOG as WORKLOADS;
use pvqspin_load::{
    Fault, Faults, NeighbourKind, NeighbourVm, Passing, Section, WorkloadConfig, WorkloadId,
};
use pvqspin_real_time::skipped::skipped;
use pvqspin_rivals::catalog::{CATALOG, LockId};

fn machine() -> Option<&'static Probe> {
    static MACHINE: OnceLock<Option<Probe>> = OnceLock::new();
    let probe = || match Probe::run() {
        Ok(machine) => Some(machine),
        // The machine allows it, and it does not work: nothing to skip.
        Err(reason @ Unsupported::Trial(_)) => panic!("{reason}"),
        Err(reason) => {
            skipped("hypervisor", &reason);
            None
        }
    };
    MACHINE.get_or_init(probe).as_ref()
}

fn config(lock: LockId, pcpus: usize, overcommit: usize) -> Run {
    Run::default().with(|run| {
        run.lock = lock;
        run.host.pcpus = pcpus;
        run.vcpus = pcpus * overcommit;
        run.host.scheduling = Scheduling::RoundRobin;
        // Short slices: many preemptions in little time.
        run.host.slice_ns = 300_000;
        run.host.min_loan_ns = 50_000;
        run.warmup_ns = Some(5_000_000);
        run.duration_ns = 60_000_000;
        // A machine that does other things, too, must not look like one that loses wake-ups.
        run.stall_after_ns = Some(60_000_000_000);
        run.halt_timeout_ns = Some(20_000_000_000);
    })
}

/// Runs it until enough has happened, for twice as long each time: how much happens in a given time
/// is up to what else the machine does.
fn check_until(machine: &Probe, config: &Run, enough: impl Fn(&RunResult) -> bool) -> RunResult {
    let began = Instant::now();
    let mut config = config.clone();
    loop {
        let result = check(machine, &config);
        if enough(&result) || began.elapsed() > Duration::from_secs(60) {
            return result;
        }
        config.duration_ns *= 2;
    }
}

fn got_somewhere(result: &RunResult) -> bool {
    result.outcome.acquisitions > 0
}

/// Runs it, and checks what holds for every lock.
fn check(machine: &Probe, config: &Run) -> RunResult {
    let name = config.lock.entry().name;
    let result = run(machine, &HvConfig::from(config.clone()))
        .unwrap_or_else(|error| panic!("{name}: {error}"));
    let outcome = &result.outcome;
    assert_eq!(outcome.exclusion_violations, 0, "{name}: {outcome:?}");
    assert_eq!(outcome.halt_timeouts, 0, "{name}: a wake-up was lost");
    assert_eq!(outcome.per_vcpu.len(), config.vcpus);
    result
}

fn pcpus(machine: &Probe) -> usize {
    machine.cpus.len().min(2)
}

#[test]
fn every_lock_excludes_under_overcommit() {
    let Some(machine) = machine() else { return };
    for entry in CATALOG {
        for (scheduling, yields) in [
            (Scheduling::RoundRobin, YieldMode::Contract),
            (Scheduling::Fair, YieldMode::Hint),
        ] {
            let result = check_until(
                machine,
                &config(entry.id, pcpus(machine), 4).with(|run| {
                    run.host.scheduling = scheduling;
                    run.host.yields = yields;
                }),
                got_somewhere,
            );
            let acquisitions = result.outcome.acquisitions;
            assert!(acquisitions > 0, "{} got nowhere", entry.name);
        }
    }
}

#[test]
fn every_lock_survives_every_scheduler() {
    let Some(machine) = machine() else { return };
    for scheduling in [Scheduling::Credit, Scheduling::CoScheduled] {
        for entry in CATALOG {
            check(
                machine,
                &config(entry.id, pcpus(machine), 3).with(|run| {
                    run.host.scheduling = scheduling;
                    run.duration_ns = 30_000_000;
                }),
            );
        }
    }
}

#[test]
fn one_vcpu_alone_makes_no_hypercalls() {
    let Some(machine) = machine() else { return };
    let outcome = check(machine, &config(LockId::Fifo, 1, 1)).outcome;
    let calls = outcome.hypercalls;
    assert_eq!((calls.halt, calls.kick, calls.yield_to), (0, 0, 0));
    assert_eq!((outcome.lhp, outcome.lwp, outcome.wasted_ns), (0, 0, 0));
    assert!((0.9..1.1).contains(&outcome.jain), "{outcome:?}");
}

#[test]
fn every_workload_runs_here_too() {
    let Some(machine) = machine() else { return };
    for entry in WORKLOADS {
        for lock in [LockId::Fifo, LockId::LinuxPv, LockId::UnfairHinted] {
            let works = entry.id != WorkloadId::Halted;
            let result = check_until(
                machine,
                &config(lock, pcpus(machine), 3).with(|run| {
                    run.workload = entry.config(1);
                    run.duration_ns = 30_000_000;
                }),
                |result| !works || got_somewhere(result) && result.outcome.units > 0,
            );
            let outcome = &result.outcome;
            assert_eq!(outcome.acquisitions > 0, works, "{}", entry.name);
            // How many interrupts come over a slow path is up to what else the machine does.
            if works && entry.id != WorkloadId::NestedContexts {
                assert!(outcome.units > 0, "{} on {lock:?}", entry.name);
            }
        }
    }
}

#[test]
fn interrupts_come_over_slow_paths_here_too() {
    let Some(machine) = machine() else { return };
    if machine.cpus.len() < 2 {
        eprintln!("skipped: on one CPU no vCPU need ever wait for a lock");
        return;
    }
    let came = [LockId::Fifo, LockId::TestAndSet].map(|lock| {
        let nested = config(lock, 2, 2)
            .with(|run| run.workload = WorkloadId::NestedContexts.entry().config(1));
        check_until(machine, &nested, |result| result.outcome.units > 0)
            .outcome
            .units
    });
    assert!(came.iter().sum::<u64>() > 0, "{came:?}");
}

#[test]
fn every_point_of_the_slow_path_can_lose_its_pcpu() {
    let Some(machine) = machine() else { return };
    for lock in [
        LockId::Fifo,
        LockId::FifoHalt,
        LockId::FifoHolder,
        LockId::Bounded,
    ] {
        for point in Point::ALL {
            let fault = Fault {
                point,
                vcpu: None,
                passing: Passing::Every(7),
            };
            let everybody_passes =
                matches!(point, Point::Joined | Point::Taken) && machine.cpus.len() > 1;
            let result = check_until(
                machine,
                &config(lock, pcpus(machine), 3).with(|run| {
                    run.faults = Faults(vec![fault]);
                    run.duration_ns = 20_000_000;
                }),
                |result| !everybody_passes || result.faults_fired > 0,
            );
            let fired = result.faults_fired > 0;
            assert!(fired || !everybody_passes, "{lock:?} {point:?}");
        }
    }
}

#[test]
fn the_trace_tells_what_happened() {
    let Some(machine) = machine() else { return };
    let result = check_until(
        machine,
        &config(LockId::FifoHalt, pcpus(machine), 4).with(|run| run.trace = true),
        |result| {
            let seen = |what| result.trace.events.iter().any(|event| event.what == what);
            seen(What::SliceEnd) && result.trace.longest_wait().is_some()
        },
    );
    let events = &result.trace.events;
    assert!(events.is_sorted_by_key(|event| event.at_ns));
    for what in [
        What::Enter,
        What::SliceEnd,
        What::Done,
        What::Holds(0),
        What::Left(0),
    ] {
        assert!(events.iter().any(|event| event.what == what), "no {what:?}");
    }
    let (end, waited) = result.trace.longest_wait().expect("a vCPU waited");
    let joined = (result.trace.between(end.at_ns - waited, end.at_ns))
        .find(|event| event.what == What::Passed(Point::Joined) && event.vcpu == end.vcpu);
    assert!(joined.is_some(), "{end} has not joined {waited} ns before");
}

#[test]
fn a_watcher_sees_the_run_go_on() {
    let Some(machine) = machine() else { return };
    let config = HvConfig::from(config(LockId::Fifo, pcpus(machine), 4));
    let mut seen = Vec::new();
    let result = run_watched(
        machine,
        &config,
        Duration::from_millis(5),
        &mut |snapshot| {
            seen.push(snapshot.clone());
        },
    );
    let outcome = result.expect("a good run").outcome;
    assert!(
        seen.iter()
            .all(|snapshot| snapshot.vcpus.len() == config.run.vcpus)
    );
    assert!(seen.is_sorted_by_key(|snapshot| snapshot.acquisitions));
    assert!(seen.is_sorted_by_key(|snapshot| snapshot.yields));
    let last = seen.last().expect("the run is longer than 5 ms");
    // While it measures, the warm-up is behind it: it has seen more than nothing.
    assert!(last.acquisitions > 0 && outcome.acquisitions > 0);
}

#[test]
fn a_neighbour_is_counted() {
    let Some(machine) = machine() else { return };
    let result = check(
        machine,
        &config(LockId::Fifo, 1, 2).with(|run| {
            run.host.scheduling = Scheduling::Fair;
            run.neighbour = Some(NeighbourVm {
                kind: NeighbourKind::Busy,
                vcpus: 2,
                weight: 1024,
            });
        }),
    );
    let neighbour = result.outcome.neighbour.expect("there is one");
    assert!(neighbour > 0.0 && neighbour.is_finite(), "{neighbour}");
}

#[test]
fn the_watchdog_names_who_waits_for_whom() {
    let Some(machine) = machine() else { return };
    let (endless, short) = (Section::fixed(4_000_000_000), Section::fixed(10));
    let stuck = run(
        machine,
        &config(LockId::Fifo, 1, 3)
            .with(|run| {
                run.workload = WorkloadConfig::hot_lock(endless, short, 1);
                run.stall_after_ns = Some(150_000_000);
                run.duration_ns = 3_000_000_000;
            })
            .into(),
    );
    let Err(RunError::Stuck(stuck)) = stuck else {
        panic!("the watchdog slept: {stuck:?}");
    };
    assert_eq!(stuck.vcpus.len(), 3);
    let waiters = stuck.vcpus.iter().filter(|vcpu| vcpu.waiting_for.is_some());
    assert_eq!(waiters.count(), 2, "{stuck}");
    let text = stuck.to_string();
    assert!(
        text.contains("waits for cpu") && text.contains("pcpu0"),
        "{text}"
    );
    // What was thrown away in the middle of things leaves no trace in the next run.
    check(machine, &config(LockId::Fifo, 1, 3));
}

#[test]
fn a_run_that_makes_no_sense_is_refused() {
    let Some(machine) = machine() else { return };
    let error = run(
        machine,
        &config(LockId::Fifo, machine.cpus.len() + 1, 1).into(),
    );
    let error = error.expect_err("there are not so many CPUs").to_string();
    assert!(error.contains("pCPUs asked for"), "{error}");
    let fault = Fault {
        point: Point::Joined,
        vcpu: Cpu::new(9),
        passing: Passing::Nth(1),
    };
    let config = config(LockId::Fifo, 1, 1).with(|run| run.faults = Faults(vec![fault]));
    assert!(matches!(
        run(machine, &config.into()),
        Err(RunError::Config(_))
    ));
}
