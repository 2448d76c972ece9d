//! What `pvq doctor` prints.

use pvqspin_hypervisor::{Probe, Unsupported};

#[test]
fn probing_finds_sane_figures_and_prints_them() {
    let machine = match Probe::run() {
        Ok(machine) => machine,
        Err(reason @ Unsupported::Trial(_)) => panic!("{reason}"),
        Err(reason) => return eprintln!("skipped: {reason}"),
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
    assert!(
        machine.costs.switch_ns < machine.costs.hypercall_ns,
        "{machine}"
    );
    assert!(
        machine.costs.hypercall_ns < machine.costs.preemption_ns,
        "{machine}"
    );
}
