//! A greedy VM beside one that computes: its programs run, and both end, whatever their vCPUs wait for.

mod guests;

use guests::rig;
use pvqspin_driver_common::Run;
use pvqspin_kvm::{Cpl, Guest, Probe, Tried, greedy};
use pvqspin_kvm_boot::Transport;
use pvqspin_kvm_boot::greedy::{Action, Programs, Step, Target};
use pvqspin_load::{NeighbourKind, NeighbourVm};
use pvqspin_real_time::skipped::skipped;

#[test]
fn programs_run_and_vcpus_that_halt_for_good_are_ended() {
    let Some(rig) = rig() else { return };
    let missing = rig.host.missing_for_stock();
    let probe = Probe::run(&rig.host, &rig.guest.image);
    if missing.is_some() || matches!(probe.hypercall, Tried::Fails(_)) {
        skipped("greedy VMs", &format!("{missing:?}, {probe}"));
        return;
    }
    let guest = Guest {
        transport: Transport::Stock,
        cpl: Cpl::Zero,
        ..rig.guest.clone()
    };
    let run = Run::default().with(|run| {
        run.vcpus = 3;
        run.neighbour = Some(NeighbourVm {
            kind: NeighbourKind::Busy,
            vcpus: 1,
            weight: run.weight,
        });
        run.duration_ns = 50_000_000;
        // Machines that test are busy with other things.
        run.stall_after_ns = Some(20_000_000_000);
    });
    let step = |action| Step {
        compute_ns: 10_000,
        action,
    };
    let timer = [
        step(Action::Halt(Some(100_000))),
        step(Action::Spin(1_000)),
        step(Action::Until {
            phase_ns: 0,
            period_ns: 1_000_000,
        }),
    ];
    let calls = [
        step(Action::Yield(Target::Next)),
        step(Action::Kick(Target::Halted)),
        step(Action::Go),
    ];
    let programs: [&[Step]; 3] = [&timer, &calls, &[step(Action::Halt(None))]];
    let programs = Programs::new(programs).expect("possible");
    let shares = greedy(&rig.host, &guest, &run, &programs).expect("it runs");
    println!("{shares:?}");
    assert!(shares.neighbour > 0.0 && shares.greedy > 0.0);
    assert!(shares.yields > 0 && shares.kicks > 0 && shares.halts > 0);
}
