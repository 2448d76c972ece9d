//! Starting, blocking, ending, and pCPUs or vCPUs that do not exist.

use crate::rig::{Rig, SLICE};
use pvqspin_abi::{Cpu, Hypercall, RunState, Status};
use pvqspin_host::{Pcpu, Run, Scheduling, VcpuId, VcpuStats, VmId, YieldMode};

#[test]
fn nobody_runs_before_it_is_started() {
    let mut rig = Rig::new(*Rig::contract(1, 1).host.config(), &[(2, 1)]);
    assert_eq!(rig.reschedule(0), Run::IDLE);
    rig.start(1);
    rig.deliver();
    assert_eq!(rig.on(), [Some(1)]);
    assert_eq!(rig.state(0), RunState::Idle);
}

#[test]
fn idle_pcpus_are_poked_as_far_as_there_is_work() {
    let mut rig = Rig::new(
        crate::rig::config(4, Scheduling::Fair, YieldMode::Contract),
        &[(8, 1)],
    );
    rig.start(0);
    assert_eq!(rig.pokes.len(), 1);
    rig.start(1);
    assert_eq!(rig.pokes.len(), 2);
    for vcpu in 2..8 {
        rig.start(vcpu);
    }
    assert_eq!(rig.pokes.len(), 4);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0), Some(1), Some(2), Some(3)]);
}

#[test]
fn a_blocked_one_runs_again_when_started() {
    let mut rig = Rig::contract(1, 1);
    assert_eq!(rig.block(0).run, Run::IDLE);
    assert_eq!(rig.state(0), RunState::Idle);
    rig.start(0);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0)]);
    rig.start(0); // running: no effect
    assert_eq!(rig.on(), [Some(0)]);
}

#[test]
fn pressure_tells_whether_somebody_has_to_wait() {
    let mut rig = Rig::contract(2, 3);
    assert!(rig.pages[0].vm_pressure());
    let _ = rig.block(0);
    assert!(!rig.pages[0].vm_pressure());
    rig.start(0);
    assert!(rig.pages[0].vm_pressure());
}

trait Pressure {
    fn vm_pressure(&self) -> bool;
}

impl Pressure for std::sync::Arc<pvqspin_host::HeapPages> {
    fn vm_pressure(&self) -> bool {
        pvqspin_host::GuestPages::vm(self).pressure()
    }
}

#[test]
fn one_that_ended_never_runs_again() {
    let mut rig = Rig::contract(1, 2);
    let _ = rig.exit(0);
    assert_eq!(rig.on(), [Some(1)]);
    rig.start(0);
    for _ in 0..4 {
        rig.pass(SLICE);
        let _ = rig.reschedule(0);
        assert_eq!(rig.on(), [Some(1)]);
    }
    assert_eq!(rig.state(0), RunState::Idle);
}

#[test]
fn a_killed_vm_leaves_its_pcpus() {
    for scheduling in Scheduling::ALL {
        let config = crate::rig::config(2, scheduling, YieldMode::Contract);
        let mut rig = Rig::new(config, &[(3, 1), (3, 1)]);
        rig.start_all();
        let _ = rig.halt(0, None);
        rig.pass(SLICE);
        for p in 0..2 {
            let _ = rig.reschedule(p);
        }
        let on_vm0 = rig.on().iter().flatten().filter(|&&v| v < 3).count();
        rig.kill(0);
        assert!(rig.pokes.len() >= on_vm0, "{scheduling}");
        rig.deliver();
        for vcpu in 0..3 {
            assert_eq!(rig.state(vcpu), RunState::Idle);
            rig.start(vcpu);
        }
        for _ in 0..10 {
            rig.deliver();
            let on: Vec<_> = rig.on().into_iter().flatten().collect();
            assert!(!on.is_empty() && on.iter().all(|&v| v >= 3), "{scheduling}");
            rig.pass(SLICE);
            for p in 0..2 {
                let _ = rig.reschedule(p);
            }
        }
        rig.kill(1);
        rig.deliver();
        assert_eq!(rig.on(), [None, None], "{scheduling}");
    }
}

#[test]
fn a_killed_vcpu_that_still_calls_is_refused() {
    for call in 0..3 {
        let mut rig = Rig::new(*Rig::contract(1, 1).host.config(), &[(1, 1), (1, 1)]);
        rig.start_all();
        rig.kill(0);
        assert_eq!(rig.current(0), Some(0));
        let outcome = match call {
            0 => rig.halt(0, None),
            1 => rig.block(0),
            _ => rig.exit(0),
        };
        assert_eq!(outcome.status, Status::Refused);
        assert_eq!(rig.on(), [Some(1)]);
    }
}

#[test]
fn the_safety_net_wakes_and_counts() {
    let mut rig = Rig::contract(1, 1);
    let vcpu = VcpuId::new(0);
    assert!(!rig.host.halt_timeout(rig.now, vcpu));
    let _ = rig.halt(0, None);
    assert!(rig.host.halt_timeout(rig.now, vcpu));
    rig.check();
    rig.deliver();
    assert_eq!(rig.on(), [Some(0)]);
    assert_eq!(rig.stats(0).halt_timeouts, 1);
    assert!(!rig.host.halt_timeout(rig.now, VcpuId::new(9)));
}

#[test]
fn numbers_that_do_not_exist_have_no_effect() {
    let mut rig = Rig::contract(1, 1);
    let nowhere = Pcpu::new(7);
    let now = rig.now;
    assert_eq!(rig.host.reschedule(now, nowhere), Run::IDLE);
    let call = Hypercall::Halt(None);
    let outcome = rig.host.hypercall(now, nowhere, call);
    assert_eq!((outcome.status, outcome.run), (Status::Refused, Run::IDLE));
    rig.host.start(now, VcpuId::new(7));
    rig.host.kill_vm(now, VmId::new(7));
    assert_eq!(rig.host.locate(VcpuId::new(7)), None);
    assert_eq!(rig.host.vcpu_id(VmId::new(7), crate::rig::cpu(0)), None);
    assert_eq!(rig.host.stats(VcpuId::new(7)), VcpuStats::default());
    assert_eq!(rig.host.current(nowhere), None);
    assert_eq!(rig.on(), [Some(0)]);
}

#[test]
fn an_idle_pcpu_that_calls_is_refused() {
    let mut rig = Rig::contract(2, 1);
    let outcome = rig.call(1, Hypercall::Halt(None));
    assert_eq!((outcome.status, outcome.run), (Status::Refused, Run::IDLE));
}

#[test]
fn vcpus_are_numbered_through_the_host() {
    let rig = Rig::new(*Rig::contract(1, 1).host.config(), &[(3, 1), (2, 1)]);
    let vm = VmId::new(1);
    let vcpu = rig.host.vcpu_id(vm, crate::rig::cpu(1)).expect("exists");
    assert_eq!(vcpu, VcpuId::new(4));
    assert_eq!(rig.host.locate(vcpu), Cpu::new(1).map(|cpu| (vm, cpu)));
    assert_eq!(rig.host.vcpu_id(vm, crate::rig::cpu(2)), None);
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut rig = Rig::contract(1, 2);
    rig.pass(1_000);
    let _ = rig.reschedule(0);
    rig.now = 0;
    let _ = rig.reschedule(0);
    assert_eq!(rig.stats(0).ran_ns, 1_000);
    rig.now = u64::MAX;
    let _ = rig.reschedule(0);
    let _ = rig.yield_to(0, 0);
    rig.deliver();
}
