//! Once a host has its VMs, no event allocates, whatever the policy.

use std::sync::Arc;

use allocation_counter::measure;
use proptest::prelude::Rng as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use pvqspin_abi::{Cpu, Hint, Hypercall};
use pvqspin_host::{
    Cap, Config, GuestPages as _, HeapPages, Host, Pcpu, Scheduling, VcpuId, VmConfig, VmId,
    YieldMode,
};

const PCPUS: usize = 4;
const EVENTS: usize = 10_000;

/// vCPUs and weights.
const VMS: [(usize, u32); 3] = [(6, 1), (3, 100), (5, 7)];

struct Random(TestRng);

impl Random {
    fn below(&mut self, n: usize) -> usize {
        (self.0.next_u32() as usize) % n
    }

    fn pcpu(&mut self) -> Pcpu {
        Pcpu::new(self.below(PCPUS) as u32)
    }

    fn vm(&mut self) -> VmId {
        VmId::new(self.below(VMS.len()) as u32)
    }

    fn vcpu(&mut self) -> VcpuId {
        VcpuId::new(self.below(VMS.iter().map(|(vcpus, _)| vcpus).sum()) as u32)
    }
}

/// A host with its VMs; the last vCPU may run on two pCPUs only.
fn set_up(
    scheduling: Scheduling,
    yields: YieldMode,
) -> (Host<Arc<HeapPages>>, Vec<Arc<HeapPages>>) {
    let config = Config {
        pcpus: PCPUS,
        scheduling,
        yields,
        ..Config::default()
    };
    let mut host = Host::new(config).expect("a good configuration");
    let pages = VMS.map(|(vcpus, weight)| {
        let pages = Arc::new(HeapPages::new(vcpus));
        (host.add_vm(VmConfig { vcpus, weight }, pages.clone())).expect("a good VM");
        pages
    });
    let last = VcpuId::new(host.vcpus() as u32 - 1);
    host.set_affinity(0, last, &[Pcpu::new(0), Pcpu::new(1)]);
    (host, pages.into())
}

/// One event of any kind but those that add a VM, give it other pages, or change an affinity.
fn event(host: &mut Host<Arc<HeapPages>>, pages: &[Arc<HeapPages>], now: u64, random: &mut Random) {
    let (pcpu, vcpu, vm) = (random.pcpu(), random.vcpu(), random.vm());
    let cpu = Cpu::new(random.below(8)).expect("small");
    let on = host.current(pcpu).and_then(|on| host.locate(on));
    let generation = (on.map(|(vm, _)| vm.index()))
        .filter(|&vm| cpu.index() < VMS[vm].0)
        .map(|vm| pages[vm].vcpu(cpu).run().generation());
    let hint = Hint {
        cpu,
        generation: generation.unwrap_or_default(),
    };
    match random.below(25) {
        0..4 => _ = host.reschedule(now, pcpu),
        4..8 => _ = host.hypercall(now, pcpu, Hypercall::YieldTo(hint)),
        8..10 => _ = host.hypercall(now, pcpu, Hypercall::Halt(Some(hint))),
        10 => _ = host.hypercall(now, pcpu, Hypercall::Halt(None)),
        11..13 => _ = host.hypercall(now, pcpu, Hypercall::Kick(cpu)),
        13 => _ = host.block(now, pcpu),
        14 => _ = host.preempt(now, pcpu),
        15..18 => host.start(now, vcpu),
        18 => _ = host.halt_timeout(now, vcpu),
        19 => {
            _ = host.exit(now, pcpu);
            host.restart(now, vcpu);
        }
        20 => {
            host.hold(now, vcpu);
            host.release(now, random.vcpu());
        }
        21 => {
            host.pause_vm(now, vm);
            host.resume_vm(now, vm);
        }
        22 => _ = host.set_weight(now, vm, 1 + random.below(100) as u32),
        23 => {
            let cap = (random.below(2) == 0).then(|| Cap {
                quota_ns: 100_000 + random.below(5_000_000) as u64,
                period_ns: 6_000_000,
            });
            _ = host.set_vcpu_cap(now, vcpu, cap);
        }
        _ => {
            host.offline(now, pcpu);
            host.online(now, random.pcpu());
        }
    }
    if let Some((vm, own)) = on {
        let other = Cpu::new(random.below(VMS[vm.index()].0));
        pages[vm.index()].vcpu(own).set_waiting_for(other);
    }
    // Each event may make a few others necessary, and no more.
    for _ in 0..8 * PCPUS {
        match host.next_poke() {
            Some(poked) => _ = host.reschedule(now, poked),
            None => return,
        }
    }
    panic!("pCPUs are poked for ever");
}

#[test]
fn no_event_allocates() {
    for scheduling in Scheduling::ALL {
        for yields in YieldMode::ALL {
            let (mut host, pages) = set_up(scheduling, yields);
            let mut random = Random(TestRng::deterministic_rng(RngAlgorithm::ChaCha));
            let mut now = 0;
            for at in 0..EVENTS {
                now += random.below(500_000) as u64;
                let counted = measure(|| event(&mut host, &pages, now, &mut random));
                assert_eq!(counted.count_total, 0, "{scheduling} {yields}, event {at}");
            }
        }
    }
}

/// Or the test above would show nothing.
#[test]
fn what_allocates_is_counted() {
    let (mut host, _) = set_up(Scheduling::Fair, YieldMode::Contract);
    (0..PCPUS + 2).for_each(|vcpu| host.start(0, VcpuId::new(vcpu as u32)));
    let counted = measure(|| drop(host.waiting()));
    assert!(
        counted.count_total > 0,
        "the queue is copied to be looked at"
    );
}
