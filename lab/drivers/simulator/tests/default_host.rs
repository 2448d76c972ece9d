//! The default host, fair with the contract, beside plain round robin: strict order loses nothing.

use pvqspin_host::{Config, Scheduling};
use pvqspin_load::{NeighbourKind, NeighbourVm, Outcome, Section};
use pvqspin_rivals::catalog::LockId;
use pvqspin_simulator::{SimConfig, run};

/// Inside and outside, in nanoseconds.
const SECTIONS: [(u32, u32); 2] = [(1_000, 2_000), (20_000, 20_000)];

fn fifo(pcpus: usize, vcpus: usize, section: (u32, u32)) -> SimConfig {
    SimConfig::default().with(|sim| {
        sim.run.lock = LockId::Fifo;
        sim.run.host.pcpus = pcpus;
        sim.run.vcpus = vcpus;
        sim.run.workload.inside = Section::uniform(section.0);
        sim.run.workload.outside = Section::uniform(section.1);
    })
}

/// Under fair, and under round robin.
fn both(config: &SimConfig) -> (Outcome, Outcome) {
    let under = |scheduling| {
        let config = (config.clone()).with(|sim| sim.run.host.scheduling = scheduling);
        run(&config).expect("it runs").outcome
    };
    (under(Scheduling::Fair), under(Scheduling::RoundRobin))
}

#[test]
fn the_default_host_is_fair() {
    assert_eq!(SimConfig::default().run.host, Config::default());
    assert_eq!(Config::default().scheduling, Scheduling::Fair);
}

#[test]
fn strict_order_is_as_fast_under_fair_as_under_round_robin() {
    for pcpus in [2, 8] {
        for overcommit in [2, 8] {
            for section in SECTIONS {
                let (fair, turns) = both(&fifo(pcpus, pcpus * overcommit, section));
                let ratio = fair.acquisitions as f64 / turns.acquisitions as f64;
                let (wait, before) = (fair.wait.max, turns.wait.max);
                println!(
                    "{pcpus} pCPUs, {overcommit}:1, {section:?}: {ratio:.4}, {wait} ns, {before} ns"
                );
                assert!(ratio > 0.99);
                assert!(wait < before * 3 / 2);
            }
        }
    }
}

/// Beside eight busy vCPUs. A VM that gives pCPUs up has them back from a fair host.
#[test]
fn strict_order_beside_a_busy_vm_gets_no_less_from_fair_than_from_round_robin() {
    for pcpus in [2, 8] {
        for section in SECTIONS.into_iter().chain([(100_000, 100_000)]) {
            let config = fifo(pcpus, 4 * pcpus, section).with(|sim| {
                sim.run.neighbour = Some(NeighbourVm {
                    kind: NeighbourKind::Busy,
                    vcpus: 8,
                    weight: sim.run.weight,
                });
            });
            let (fair, turns) = both(&config);
            let ratio = fair.acquisitions as f64 / turns.acquisitions as f64;
            println!("{pcpus} pCPUs, {section:?}: {ratio:.4}");
            assert!(ratio > 0.97);
        }
    }
}
