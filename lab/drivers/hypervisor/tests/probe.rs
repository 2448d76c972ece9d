//! What `pvq doctor` prints.

use pvqspin_hypervisor::{Probe, Unsupported};
use pvqspin_real_time::skipped::skipped;

#[test]
fn probing_finds_sane_figures_and_prints_them() {
    let machine = match Probe::run() {
        Ok(machine) => machine,
        Err(reason @ Unsupported::Trial(_)) => panic!("{reason}"),
        Err(reason) => return skipped("hypervisor", &reason),
    };
    println!("{machine}");
    assert!(!machine.cpus.is_empty());
    for cost in [
        machine.costs.compute_turn_ns,
        machine.costs.switch_ns,
        machine.costs.hypercall_ns,
        machine.costs.preemption_ns,
    ] {
        assert!(cost.is_finite() && cost > 0.0, "{machine}");
    }
}
