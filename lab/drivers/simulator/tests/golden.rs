//! Exact figures, the same on every machine. `SIM_BLESS=1 cargo test -p pvqspin-simulator --test
//! golden` writes them anew, for a change that is meant to change them.

use core::fmt::Write as _;

use pvqspin_host::Scheduling;
use pvqspin_load::{Distribution, NeighbourKind, NeighbourVm, Section, WorkloadConfig, WorkloadId};
use pvqspin_rivals::catalog::LockId;
use pvqspin_simulator::{Profile, SimConfig, run};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden.txt");

/// The first configuration: one VM on a flat machine.
fn alone(lock: LockId, scheduling: Scheduling) -> SimConfig {
    let section = |mean_ns, distribution| Section {
        mean_ns,
        distribution,
    };
    SimConfig::default().with(|sim| {
        sim.run.lock = lock;
        sim.run.host.scheduling = scheduling;
        sim.run.host.pcpus = 2;
        sim.run.vcpus = 6;
        sim.run.workload = WorkloadConfig {
            id: WorkloadId::HotLock,
            inside: section(1_000, Distribution::Uniform),
            outside: section(2_000, Distribution::Exponential),
            seed: 7,
        };
        sim.run.duration_ns = 20_000_000;
    })
}

/// Three VMs beside a neighbour, on a machine with distances, sleep and ticks.
fn in_company(lock: LockId, scheduling: Scheduling, profile: &str) -> SimConfig {
    let mut config = alone(lock, scheduling).with(|sim| {
        sim.run.host.pcpus = 8;
        sim.vms = 3;
        sim.run.vcpus = 5;
        sim.run.neighbour = Some(NeighbourVm {
            kind: NeighbourKind::default(),
            vcpus: 3,
            weight: 512,
        });
        sim.run.duration_ns = 5_000_000;
    });
    let profile = Profile::named(profile).expect("built in");
    profile.apply(&mut config);
    config
}

fn figures(config: &SimConfig) -> String {
    let (lock, scheduling) = (config.run.lock, config.run.host.scheduling);
    let result = run(config).expect("it runs");
    let outcome = &result.outcome;
    let mut text = String::new();
    let _ = writeln!(
        text,
        "{} {scheduling}: {} acquisitions {:?}, {} events",
        lock.entry().name,
        outcome.acquisitions,
        outcome.per_vcpu,
        result.events
    );
    let _ = writeln!(text, "  wait {:?}", outcome.wait);
    let _ = writeln!(
        text,
        "  lhp {} lwp {} wasted {} ns, {:?}, {:?}",
        outcome.lhp, outcome.lwp, outcome.wasted_ns, outcome.hypercalls, outcome.yields
    );
    for vm in result.vms.iter().filter(|_| config.vms > 1) {
        let _ = writeln!(
            text,
            "  of {:?}, wait {:?}, wasted {} ns",
            vm.per_vcpu, vm.wait, vm.wasted_ns
        );
    }
    text
}

#[test]
fn the_figures_are_what_they_were() {
    let mut now = String::new();
    for lock in [LockId::Fifo, LockId::LinuxPv, LockId::UnfairHinted] {
        for scheduling in [Scheduling::RoundRobin, Scheduling::Fair] {
            now += &figures(&alone(lock, scheduling));
        }
    }
    for profile in Profile::names() {
        for lock in [LockId::Fifo, LockId::FifoHalt, LockId::TestAndSet] {
            now += profile;
            now += " ";
            now += &figures(&in_company(lock, Scheduling::Credit, profile));
        }
    }
    if std::env::var_os("SIM_BLESS").is_some() {
        std::fs::write(PATH, &now).expect("the golden file can be written");
    }
    let before = std::fs::read_to_string(PATH).expect("the golden file is there");
    assert_eq!(before, now, "\nnow:\n{now}");
}
