//! VMs that come and go, are held and released, and change what they are entitled to; interrupts before a
//! halt; a machine that stood still.

use core::cell::Cell;

use crate::rig::{MIN_LOAN, Rig, SLICE, config, cpu};
use pvqspin_abi::{Cpu, Hypercall, RunState, Status, VcpuPage, VmPage};
use pvqspin_host::{
    ConfigError, GuestPages, HeapPages, Host, Pcpu, Scheduling, VcpuId, VmConfig, VmId, YieldMode,
};

struct Counted<'a>(HeapPages, &'a Cell<u64>);

impl GuestPages for Counted<'_> {
    fn vcpu(&self, cpu: Cpu) -> &VcpuPage {
        self.1.set(self.1.get() + 1);
        self.0.vcpu(cpu)
    }
    fn vm(&self) -> &VmPage {
        self.1.set(self.1.get() + 1);
        self.0.vm()
    }
}

fn fair(pcpus: usize) -> pvqspin_host::Config {
    config(pcpus, Scheduling::Fair, YieldMode::Contract)
}

#[test]
fn pages_of_a_removed_vm_are_not_touched_and_its_numbers_come_again() {
    for scheduling in Scheduling::ALL {
        let (dead, other) = (Cell::new(0), Cell::new(0));
        let mut host = Host::new(config(1, scheduling, YieldMode::Contract)).expect("good");
        let size = VmConfig {
            vcpus: 2,
            weight: 1,
        };
        let first = host
            .add_vm(size, Counted(HeapPages::new(2), &dead))
            .expect("good");
        host.add_vm(size, Counted(HeapPages::new(2), &other))
            .expect("good");
        (0..4).for_each(|vcpu| host.start(0, VcpuId::new(vcpu)));
        while let Some(pcpu) = host.next_poke() {
            let _ = host.reschedule(0, pcpu);
        }
        let pcpu = Pcpu::new(0);
        assert_eq!(host.current(pcpu), Some(VcpuId::new(0)));
        let pages = host.remove_vm(10, first).expect("it is there");
        let touched = dead.get();
        assert!(!host.is_gone(first), "a pCPU still runs it");
        assert!(host.remove_vm(10, first).is_none());
        assert_eq!(host.vcpu_id(first, cpu(0)), None);
        // Its guest still calls, and is refused.
        let call = host.hypercall(11, pcpu, Hypercall::Halt(None));
        assert_eq!(call.status, Status::Refused);
        assert!(host.is_gone(first));
        for at in 1..20 {
            let _ = host.block(at * SLICE, pcpu);
            host.start(at * SLICE, VcpuId::new(2));
            host.start(at * SLICE, VcpuId::new(3));
            while let Some(pcpu) = host.next_poke() {
                let _ = host.reschedule(at * SLICE, pcpu);
            }
        }
        assert_eq!(dead.get(), touched, "{scheduling}");
        let again = host.add_vm(size, pages).expect("good");
        assert_eq!(again, first);
        assert_eq!(host.vcpu_id(again, cpu(1)), Some(VcpuId::new(1)));
        assert_eq!(host.vcpus(), 4);
    }
}

#[test]
fn what_one_vm_does_touches_no_page_of_another() {
    let (quiet, noisy) = (Cell::new(0), Cell::new(0));
    let mut host = Host::new(fair(2)).expect("good");
    let size = VmConfig {
        vcpus: 2,
        weight: 1,
    };
    for count in [&noisy, &quiet] {
        host.add_vm(size, Counted(HeapPages::new(2), count))
            .expect("good");
    }
    // The other VM sleeps. One halts and is kicked, which toggles pressure.
    (0..2).for_each(|vcpu| host.start(0, VcpuId::new(vcpu)));
    while let Some(pcpu) = host.next_poke() {
        let _ = host.reschedule(0, pcpu);
    }
    let before = quiet.get();
    for now in 1..100 {
        let _ = host.hypercall(now * 1_000, Pcpu::new(1), Hypercall::Halt(None));
        let _ = host.hypercall(now * 1_000, Pcpu::new(0), Hypercall::Kick(cpu(1)));
        while let Some(pcpu) = host.next_poke() {
            let _ = host.reschedule(now * 1_000, pcpu);
        }
    }
    assert_eq!(quiet.get(), before);
}

#[test]
fn an_interrupt_before_a_halt_or_block_ends_it() {
    for block in [false, true] {
        let mut rig = Rig::contract(1, 1);
        rig.start(0); // between the guest's last look and its halt
        for expected in [
            RunState::Running,
            if block {
                RunState::Idle
            } else {
                RunState::Halted
            },
        ] {
            let _ = if block {
                rig.block(0)
            } else {
                rig.halt(0, None)
            };
            assert_eq!(rig.state(0), expected);
        }
    }
}

#[test]
fn one_that_ended_can_be_restarted() {
    let mut rig = Rig::contract(1, 1);
    let vcpu = VcpuId::new(0);
    assert!(!rig.host.restart(rig.now, vcpu), "it runs");
    let _ = rig.exit(0);
    assert!(rig.host.restart(rig.now, vcpu));
    rig.check();
    rig.deliver();
    assert_eq!(rig.on(), [Some(0)]);
    rig.kill(0);
    rig.deliver();
    assert!(!rig.host.restart(rig.now, VcpuId::new(9)));
}

#[test]
fn a_vcpu_runs_only_where_it_may() {
    let mut rig = Rig::new(fair(2), &[(3, 1)]);
    rig.start_all();
    let vcpu = VcpuId::new(2);
    // Not `deliver`: a pCPU may idle here while vCPUs wait that may not run on it.
    let poked = |rig: &mut Rig| {
        while !rig.pokes.is_empty() {
            let p = rig.pokes.remove(0);
            let _ = rig.reschedule(p.index());
        }
    };
    assert!(
        !rig.host.set_affinity(rig.now, vcpu, &[Pcpu::new(2)]),
        "no such pCPU"
    );
    for pinned in 0..3 {
        assert!(
            rig.host
                .set_affinity(rig.now, VcpuId::new(pinned), &[Pcpu::new(1)])
        );
    }
    rig.check();
    poked(&mut rig);
    for _ in 0..30 {
        assert_eq!(rig.current(0), None);
        rig.pass(SLICE);
        let _ = rig.reschedule(1);
        poked(&mut rig);
    }
    assert!((0..3).all(|vcpu| rig.stats(vcpu).ran_ns > 8 * SLICE));
    assert!(rig.host.set_affinity(rig.now, vcpu, &[]));
    rig.check();
    poked(&mut rig);
    for _ in 0..3 {
        rig.pass(SLICE);
        let _ = rig.reschedule(1);
        rig.check();
        poked(&mut rig);
    }
    assert_eq!(rig.current(0), Some(2), "it may run anywhere again");
}

#[test]
fn a_weight_can_change() {
    let mut rig = Rig::new(fair(1), &[(1, 1), (1, 1)]);
    rig.start_all();
    let turns = |rig: &mut Rig| {
        let before = [0, 1].map(|vcpu| rig.stats(vcpu).ran_ns);
        for _ in 0..100 {
            rig.pass(SLICE);
            let _ = rig.reschedule(0);
        }
        [0, 1].map(|vcpu| (rig.stats(vcpu).ran_ns - before[vcpu]) / SLICE)
    };
    assert_eq!(turns(&mut rig), [50, 50]);
    rig.host.set_weight(rig.now, VmId::new(1), 3).expect("good");
    let ran = turns(&mut rig);
    assert!(ran[1].abs_diff(75) <= 2, "{ran:?}");
    let heavy = rig.host.set_weight(rig.now, VmId::new(1), 1 << 30);
    assert_eq!(heavy, Err(ConfigError::TooHeavy { asked: 1 << 30 }));
}

#[test]
fn a_machine_that_stood_still_makes_no_vcpu_wait_as_long_again() {
    for scheduling in Scheduling::ALL {
        let mut rig = Rig::new(
            config(1, scheduling, YieldMode::Contract),
            &[(1, 1), (1, 1)],
        );
        rig.start_all();
        let late = rig.current(0).expect("busy");
        rig.pass(1_200_000 * SLICE); // an hour
        let _ = rig.reschedule(0);
        let mut slices = 0;
        while rig.current(0) != Some(late) {
            rig.pass(SLICE);
            let _ = rig.reschedule(0);
            slices += 1;
        }
        assert!(slices <= 6, "{scheduling}: {slices}");
    }
}

#[test]
fn a_loan_delays_a_more_urgent_vcpu_by_a_shortest_loan_only() {
    let mut rig = Rig::new(fair(1), &[(2, 1), (1, 1)]);
    rig.start_all();
    (0..9).for_each(|_| {
        rig.pass(SLICE);
        let _ = rig.reschedule(0);
    });
    while rig.current(0) != Some(2) {
        rig.pass(SLICE);
        let _ = rig.reschedule(0);
    }
    let _ = rig.block(0);
    (0..3).for_each(|_| {
        rig.pass(SLICE);
        let _ = rig.reschedule(0);
    });
    rig.pass(SLICE * 9 / 10);
    let lender = rig.current(0).expect("busy");
    assert_eq!(rig.yield_to(0, 1 - lender).status, Status::Ran);
    rig.start(2);
    let _ = rig.reschedule(0);
    assert_eq!(rig.current(0), Some(1 - lender), "the loan has just begun");
    rig.pass(MIN_LOAN);
    let _ = rig.reschedule(0);
    assert_eq!(rig.current(0), Some(2));
}

#[test]
fn a_lender_that_wakes_takes_its_slice_back() {
    let mut rig = Rig::new(fair(2), &[(3, 1), (1, 1)]);
    rig.start_all(); // 0 and 1 run, 2 and 3 wait
    rig.pass(1_000);
    let end = rig.reschedule(0).until;
    assert_eq!(rig.halt(0, Some(2)).status, Status::Ran);
    let loan = rig.host.loan(Pcpu::new(0)).expect("a loan");
    assert_eq!(
        (loan.lender, loan.borrower),
        (VcpuId::new(0), VcpuId::new(2))
    );
    rig.pass(1_000);
    rig.start(0);
    rig.deliver();
    assert_eq!(rig.on(), [Some(0), Some(1)]);
    assert_eq!(rig.reschedule(0).until, end, "what is left, and no more");
    assert_eq!(rig.stats(0).charged_ns, 2_000);
}

#[test]
fn time_waited_is_counted() {
    let mut rig = Rig::contract(1, 2);
    rig.pass(SLICE);
    let _ = rig.reschedule(0);
    assert_eq!([0, 1].map(|vcpu| rig.stats(vcpu).waited_ns), [0, SLICE]);
}
