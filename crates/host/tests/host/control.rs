//! Control from outside: held vCPUs, affinities, caps, weights, pCPUs that come and go, in any order and at any time.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::machine::Random;
use crate::rig::{SLICE, config, cpu};
use pvqspin_abi::{Hint, Hypercall, RunState, Status};
use pvqspin_host::{
    Cap, GuestPages, HeapPages, Host, Pcpu, Scheduling, VcpuId, VmConfig, VmId, YieldMode,
};

const PCPUS: usize = 3;
const VMS: [usize; 3] = [1, 3, 4];
const VCPUS: usize = 8;

struct Controlled {
    host: Host<HeapPages>,
    now: u64,
    random: Random,
    /// Where each vCPU may run; empty: anywhere.
    pcpus: [Vec<usize>; VCPUS],
    held: [bool; VCPUS],
    ended: [bool; VCPUS],
}

fn vcpu_id(vcpu: usize) -> VcpuId {
    VcpuId::new(vcpu as u32)
}

fn pcpu_id(p: usize) -> Pcpu {
    Pcpu::new(p as u32)
}

impl Controlled {
    fn new(scheduling: Scheduling, yields: YieldMode, now: u64, seed: u64) -> Self {
        let mut host = Host::new(config(PCPUS, scheduling, yields)).expect("good");
        for vcpus in VMS {
            let size = VmConfig { vcpus, weight: 1 };
            host.add_vm(size, HeapPages::new(vcpus)).expect("good");
        }
        (0..VCPUS).for_each(|vcpu| host.start(now, vcpu_id(vcpu)));
        Self {
            host,
            now,
            random: Random::new(seed),
            pcpus: Default::default(),
            held: [false; VCPUS],
            ended: [false; VCPUS],
        }
    }

    fn below(&mut self, bound: usize) -> usize {
        self.random.below(bound as u64) as usize
    }

    fn event(&mut self) {
        let passed = self.random.below(SLICE / 2);
        self.now = self.now.saturating_add(passed);
        let (now, p, vcpu) = (self.now, self.below(PCPUS), self.below(VCPUS));
        let (pcpu, id) = (pcpu_id(p), vcpu_id(vcpu));
        match self.below(16) {
            0..5 => self.call(p),
            5 => _ = self.host.block(now, pcpu),
            6 => {
                if let Some(on) = self.host.current(pcpu) {
                    _ = self.host.exit(now, pcpu);
                    // One that ends is held no more.
                    (self.ended[on.index()], self.held[on.index()]) = (true, false);
                }
            }
            7 => {
                assert_eq!(self.host.restart(now, id), self.ended[vcpu]);
                self.ended[vcpu] = false;
            }
            8 | 9 => self.host.start(now, id),
            10 => {
                _ = self.host.hold(now, id);
                self.held[vcpu] = !self.ended[vcpu];
            }
            11 => {
                _ = self.host.release(now, id);
                self.held[vcpu] = false;
            }
            12 => {
                let pcpus: Vec<_> = (0..PCPUS).filter(|_| self.below(2) == 0).collect();
                let ids: Vec<_> = pcpus.iter().map(|&p| pcpu_id(p)).collect();
                assert!(self.host.set_affinity(now, id, &ids));
                self.pcpus[vcpu] = pcpus;
            }
            13 => {
                let quota_ns = 100_000 + self.random.below(SLICE);
                let cap = Cap {
                    quota_ns,
                    period_ns: 4 * SLICE,
                };
                _ = self.host.set_vcpu_cap(now, id, Some(cap));
            }
            14 => _ = self.host.offline(now, pcpu),
            _ => _ = self.host.online(now, pcpu),
        }
        self.deliver();
        self.check();
    }

    fn call(&mut self, p: usize) {
        let pcpu = pcpu_id(p);
        let of = self.host.current(pcpu).and_then(|on| self.host.locate(on));
        let (vm, own) = of.unwrap_or((VmId::new(0), cpu(0)));
        let to = cpu(self.below(VMS[vm.index()]));
        let pages = self.host.pages(vm).expect("none is removed");
        pages.vcpu(own).set_waiting_for(Some(to));
        let generation = pages.vcpu(to).run().generation();
        let hint = Hint {
            cpu: to,
            generation,
        };
        let call = match self.below(4) {
            0 => Hypercall::Halt(Some(hint)),
            1 => Hypercall::Kick(to),
            _ => Hypercall::YieldTo(hint),
        };
        let outcome = self.host.hypercall(self.now, pcpu, call);
        assert!(of.is_some() || outcome.status == Status::Refused);
    }

    fn deliver(&mut self) {
        for _ in 0..200 {
            let Some(pcpu) = self.host.next_poke() else {
                return;
            };
            _ = self.host.reschedule(self.now, pcpu);
        }
        panic!("pCPUs are poked for ever");
    }

    fn check(&self) {
        let gangs = self.host.config().scheduling == Scheduling::CoScheduled;
        for p in 0..PCPUS {
            let Some(on) = self.host.current(pcpu_id(p)).map(VcpuId::index) else {
                continue;
            };
            assert!(self.host.is_online(pcpu_id(p)), "pCPU {p} is offline");
            assert!(!self.held[on], "vCPU {on} is held");
            let may = &self.pcpus[on];
            assert!(
                gangs || may.is_empty() || may.contains(&p),
                "vCPU {on} on {p}"
            );
        }
    }

    /// All is as at first, and every vCPU that could run does, sooner or later.
    fn let_all_run(&mut self) {
        for vcpu in 0..VCPUS {
            let id = vcpu_id(vcpu);
            _ = self.host.release(self.now, id);
            assert!(self.host.set_affinity(self.now, id, &[]));
            _ = self.host.set_vcpu_cap(self.now, id, None);
            self.deliver();
        }
        for p in 0..PCPUS {
            self.host.online(self.now, pcpu_id(p));
            self.deliver();
        }
        let state = |host: &Host<_>, vcpu| host.run_state(vcpu_id(vcpu));
        let mut waiting: Vec<_> = (0..VCPUS).collect();
        for _ in 0..4_000 {
            waiting.retain(|&vcpu| state(&self.host, vcpu) == Some(RunState::Preempted));
            if waiting.is_empty() {
                return;
            }
            self.now += SLICE;
            for p in 0..PCPUS {
                _ = self.host.reschedule(self.now, pcpu_id(p));
            }
            self.deliver();
        }
        panic!("{waiting:?} never run");
    }
}

/// Calls the test with seeds, and says which one failed.
fn with_seeds(seeds: core::ops::Range<u64>, test: impl Fn(Scheduling, YieldMode, u64)) {
    for seed in seeds {
        let scheduling = Scheduling::ALL[seed as usize % 4];
        let yields = YieldMode::ALL[seed as usize / 4 % 2];
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| test(scheduling, yields, seed))) {
            eprintln!("seed {seed}: {scheduling}, {yields}");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn whatever_is_controlled_each_runs_where_it_may_and_none_is_lost() {
    with_seeds(0..400, |scheduling, yields, seed| {
        let mut controlled = Controlled::new(scheduling, yields, 0, seed);
        controlled.deliver();
        (0..300).for_each(|_| controlled.event());
        controlled.let_all_run();
    });
}

#[test]
fn at_the_end_of_time_nothing_overflows() {
    with_seeds(0..80, |scheduling, yields, seed| {
        let now = u64::MAX - 20 * SLICE;
        let mut controlled = Controlled::new(scheduling, yields, now, seed);
        controlled.deliver();
        (0..300).for_each(|_| controlled.event());
        assert_eq!(controlled.now, u64::MAX);
    });
}

#[test]
fn a_paused_vm_runs_nowhere_and_goes_on_where_it_was() {
    for scheduling in Scheduling::ALL {
        let mut controlled = Controlled::new(scheduling, YieldMode::Contract, 0, 1);
        controlled.deliver();
        let (vm, first, last) = (VmId::new(1), 1, 3);
        // One of its vCPUs has halted, and is kicked while it is held.
        let p = (0..50).find_map(|_| {
            controlled.now += SLICE;
            (0..PCPUS).for_each(|p| {
                _ = controlled.host.reschedule(controlled.now, pcpu_id(p));
            });
            controlled.deliver();
            (0..PCPUS).find(|&p| controlled.host.current(pcpu_id(p)) == Some(vcpu_id(first)))
        });
        let p = pcpu_id(p.expect("it runs in its turn"));
        _ = (controlled.host).hypercall(controlled.now, p, Hypercall::Halt(None));
        controlled.deliver();
        controlled.host.pause_vm(controlled.now, vm);
        controlled.deliver();
        assert!(controlled.host.pause_vm(controlled.now, vm), "all are off");
        let ran = |host: &Host<HeapPages>| -> u64 {
            (first..=last)
                .map(|vcpu| host.stats(vcpu_id(vcpu)).ran_ns)
                .sum()
        };
        let before = ran(&controlled.host);
        controlled.host.start(controlled.now, vcpu_id(first));
        for _ in 0..20 {
            controlled.now += SLICE;
            for p in 0..PCPUS {
                let run = controlled.host.reschedule(controlled.now, pcpu_id(p));
                assert!(
                    run.vcpu
                        .is_none_or(|on| !(first..=last).contains(&on.index()))
                );
            }
            controlled.deliver();
        }
        assert_eq!(ran(&controlled.host), before, "{scheduling}");
        controlled.host.resume_vm(controlled.now, vm);
        controlled.deliver();
        for vcpu in first..=last {
            let state = controlled.host.run_state(vcpu_id(vcpu));
            assert_ne!(
                state,
                Some(RunState::Halted),
                "the interrupt was remembered"
            );
        }
        controlled.let_all_run();
    }
}

#[test]
fn credit_lets_one_that_wakes_often_preempt_three_times_a_slice_at_most() {
    let mut host = Host::new(config(1, Scheduling::Credit, YieldMode::Contract)).expect("good");
    for _ in 0..2 {
        let size = VmConfig {
            vcpus: 1,
            weight: 1,
        };
        host.add_vm(size, HeapPages::new(1)).expect("good");
    }
    let (busy, naps, pcpu) = (vcpu_id(0), vcpu_id(1), pcpu_id(0));
    host.start(0, busy);
    host.start(0, naps);
    let (mut now, mut run) = (0, host.reschedule(0, pcpu));
    // One microsecond of work, and awake again a microsecond later.
    while now < 1_000 * SLICE {
        now += 1_000;
        if host.current(pcpu) == Some(naps) {
            run = host.block(now, pcpu).run;
            now += 1_000;
            host.start(now, naps);
        }
        if run.until.is_some_and(|until| until <= now) || host.next_poke().is_some() {
            run = host.reschedule(now, pcpu);
        }
    }
    let runs = host.stats(naps).runs;
    assert!(
        (500..=3_001).contains(&runs),
        "{runs} times in 1,000 slices"
    );
    assert!(host.stats(busy).ran_ns > 998 * SLICE);
}
