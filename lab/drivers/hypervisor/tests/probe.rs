//! What `pvq doctor` prints.

use pvqspin_hypervisor::{Machine, Unsupported};

#[test]
fn probing_finds_sane_figures_and_prints_them() {
    let machine = match Machine::probe() {
        Ok(machine) => machine,
        Err(reason @ Unsupported::Trial(_)) => panic!("{reason}"),
        Err(reason) => return eprintln!("skipped: {reason}"),
    };
    println!("{machine}");
    assert!(!machine.cpus.is_empty());
    for cost in [
        machine.compute_turn_ns,
        machine.switch_ns,
        machine.hypercall_ns,
        machine.preemption_ns,
    ] {
        assert!(cost.is_finite() && cost > 0.0, "{machine}");
    }
    assert!(machine.switch_ns < machine.hypercall_ns, "{machine}");
    assert!(machine.hypercall_ns < machine.preemption_ns, "{machine}");
}
