//! Every policy in a virtual machine with more vCPUs than CPUs: it excludes, no vCPU is lost,
//! all get on.

mod guests;

use guests::{Rig, rig};
use pvqspin_driver_common::Run;
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_kvm::{ConfigProblem, RunError, RunResult, run};
use pvqspin_load::{Fault, Faults, NeighbourKind, NeighbourVm, Passing, WorkloadId};
use pvqspin_rivals::catalog::{CATALOG, LockId};

fn config(lock: LockId, vcpus: usize) -> Run {
    Run::default().with(|run| {
        run.lock = lock;
        run.host.pcpus = pcpus();
        run.vcpus = vcpus;
        run.host.scheduling = Scheduling::RoundRobin;
        run.duration_ns = 100_000_000;
        // Machines that test are busy with other things.
        run.stall_after_ns = Some(20_000_000_000);
    })
}

fn pcpus() -> usize {
    std::thread::available_parallelism().map_or(1, |cpus| cpus.get().min(2))
}

/// Ten times as long, and once more so, if the machine had no time for it.
fn run_until_it_gets_on(rig: &Rig, config: &Run) -> Result<RunResult, RunError> {
    let mut longer = config.clone();
    for _ in 0..2 {
        let result = run(&rig.host, &rig.guest, &longer)?;
        if result.outcome.acquisitions > 0 {
            return Ok(result);
        }
        longer.duration_ns *= 10;
    }
    run(&rig.host, &rig.guest, &longer)
}

/// What must hold of every run, whatever the machine is busy with.
fn check(name: &str, vcpus: usize, result: &RunResult) {
    let outcome = &result.outcome;
    assert_eq!(outcome.exclusion_violations, 0, "{name}");
    assert_eq!(outcome.halt_timeouts, 0, "{name} lost a wake-up");
    assert!(outcome.acquisitions > 0, "{name}");
    assert_eq!(outcome.per_vcpu.len(), vcpus);
    assert_eq!(outcome.per_vcpu.iter().sum::<u64>(), outcome.acquisitions);
}

#[test]
fn ours_exclude_and_get_on_at_overcommit_2_and_4() {
    let Some(rig) = rig() else { return };
    for entry in CATALOG.iter().filter(|entry| entry.policy.is_some()) {
        for overcommit in [2, 4] {
            let vcpus = overcommit * pcpus();
            let result = run_until_it_gets_on(rig, &config(entry.id, vcpus));
            let result = result.unwrap_or_else(|error| panic!("{}: {error}", entry.name));
            check(entry.name, vcpus, &result);
        }
    }
}

#[test]
fn rivals_that_halt_and_that_tell_nothing_exclude_too() {
    let Some(rig) = rig() else { return };
    for lock in [
        LockId::LinuxPv,
        LockId::PvTicket,
        LockId::UnfairHinted,
        LockId::TestAndSet,
    ] {
        let vcpus = 2 * pcpus();
        let result = run_until_it_gets_on(rig, &config(lock, vcpus)).expect("runs");
        check(lock.entry().name, vcpus, &result);
    }
}

#[test]
fn every_host_policy_and_every_workload_runs() {
    let Some(rig) = rig() else { return };
    let vcpus = 2 * pcpus();
    for (scheduling, yields) in [
        (Scheduling::Fair, YieldMode::Hint),
        (Scheduling::Credit, YieldMode::Contract),
        (Scheduling::CoScheduled, YieldMode::Contract),
    ] {
        let config = config(LockId::Fifo, vcpus).with(|run| {
            run.host.scheduling = scheduling;
            run.host.yields = yields;
        });
        let result = run_until_it_gets_on(rig, &config).expect("runs");
        check(scheduling.name(), vcpus, &result);
    }
    for entry in pvqspin_load::catalog::CATALOG {
        let config = config(LockId::Fifo, vcpus).with(|run| run.workload.id = entry.id);
        if entry.id == WorkloadId::Halted {
            continue; // It does nothing, so nothing is acquired.
        }
        let result = run_until_it_gets_on(rig, &config);
        let result = result.unwrap_or_else(|error| panic!("{}: {error}", entry.name));
        check(entry.name, vcpus, &result);
        assert_eq!(result.outcome.unit, entry.unit);
    }
}

#[test]
fn a_neighbour_runs_beside_it_in_a_vm_of_its_own() {
    let Some(rig) = rig() else { return };
    let vcpus = 2 * pcpus();
    let config = config(LockId::Fifo, vcpus).with(|run| {
        run.neighbour = Some(NeighbourVm {
            kind: NeighbourKind::Busy,
            vcpus: pcpus(),
            weight: 1024,
        });
    });
    let result = run_until_it_gets_on(rig, &config).expect("runs");
    check("fifo", vcpus, &result);
    assert!(result.outcome.neighbour.is_some_and(|share| share > 0.0));
}

#[test]
fn what_cannot_be_is_refused_before_anything_runs() {
    let Some(rig) = rig() else { return };
    let refused = |config: &Run| match run(&rig.host, &rig.guest, config) {
        Err(RunError::Config(problem)) => problem,
        other => panic!("{other:?}"),
    };
    let most = rig.host.max_vcpus();
    let many = refused(&config(LockId::Fifo, most + 1));
    assert!(
        matches!(
            many,
            ConfigProblem::TooManyVcpus { .. } | ConfigProblem::Run(_)
        ),
        "{many}"
    );
    let short = refused(&config(LockId::Fifo, 1).with(|run| {
        (run.host.slice_ns, run.host.min_loan_ns) = (60_000, 30_000);
    }));
    assert!(short.to_string().contains("slice of 60000 ns"), "{short}");
    let armed = refused(&config(LockId::Fifo, 1).with(|run| {
        run.faults = Faults(vec![Fault {
            point: pvqspin::Point::Joined,
            vcpu: None,
            passing: Passing::Nth(1),
        }]);
    }));
    assert!(matches!(armed, ConfigProblem::EmbeddedOnly), "{armed}");
}
