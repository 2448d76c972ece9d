//! Groups of pCPUs, from many threads: VMs move, and each vCPU is on one pCPU at most.

mod mutex;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

use pvqspin_abi::{Cpu, Hint, Hypercall, RunState, Status};
use pvqspin_host::groups::{GroupRun, GroupVm, Groups, Shard};
use pvqspin_host::{Cap, Config, ConfigError, GuestPages, HeapPages, Pcpu, Scheduling, VmConfig};

use mutex::Lock;

type Pages = Arc<HeapPages>;
type All = Groups<Lock<Shard<Pages>>>;

const SLICE: u64 = 3_000_000;

fn groups(groups: usize, pcpus: usize, scheduling: Scheduling) -> All {
    let config = Config {
        pcpus,
        scheduling,
        slice_ns: SLICE,
        ..Config::default()
    };
    Groups::new(groups, config, 64).expect("a good configuration")
}

fn cpus(vcpus: usize) -> impl Iterator<Item = Cpu> {
    (0..vcpus).filter_map(Cpu::new)
}

fn add(all: &All, vcpus: usize) -> (GroupVm, Pages) {
    let pages = Arc::new(HeapPages::new(vcpus));
    let vm = all.add_vm(VmConfig { vcpus, weight: 1 }, pages.clone());
    (vm.expect("a good VM"), pages)
}

/// One thread that follows all pCPUs.
struct Machine {
    all: All,
    now: u64,
    runs: Vec<GroupRun>,
}

impl Machine {
    fn new(all: All, pcpus: usize) -> Self {
        let none = GroupRun {
            vcpu: None,
            until: None,
        };
        Self {
            all,
            now: 0,
            runs: vec![none; pcpus],
        }
    }

    fn settle(&mut self, mut poked: Vec<Pcpu>) {
        while let Some(pcpu) = poked.pop() {
            let run = (self.all).reschedule(self.now, pcpu, |other| poked.push(other));
            self.runs[pcpu.index()] = run;
        }
    }

    fn start(&mut self, vm: GroupVm, vcpus: usize) {
        for cpu in cpus(vcpus) {
            let mut poked = Vec::new();
            (self.all).start(self.now, vm, cpu, |pcpu| poked.push(pcpu));
            self.settle(poked);
        }
    }

    fn pass(&mut self, ns: u64) {
        self.now += ns;
        let all = (0..self.runs.len()).map(|p| Pcpu::new(p as u32)).collect();
        self.settle(all);
    }

    fn on(&self) -> Vec<Option<(GroupVm, Cpu)>> {
        self.runs.iter().map(|run| run.vcpu).collect()
    }
}

#[test]
fn an_idle_group_steals_a_vm_with_all_that_belongs_to_it() {
    for scheduling in Scheduling::ALL {
        let mut machine = Machine::new(groups(2, 2, scheduling), 4);
        let vms = [(); 4].map(|()| add(&machine.all, 2));
        let ids = [0, 1, 2, 3].map(|at: usize| vms[at].0);
        let at_home = |all: &All| ids.map(|vm| all.group_of(vm));
        assert_eq!(at_home(&machine.all), [Some(0), Some(1), Some(0), Some(1)]);
        (ids.iter()).for_each(|&vm| machine.start(vm, 2));
        machine.pass(SLICE);
        machine.pass(SLICE);
        let ran = |all: &All, vm| all.look(vm, Cpu::ZERO, |host, vcpu| host.stats(vcpu).ran_ns);
        let before = ids.map(|vm| ran(&machine.all, vm));
        // Two of four VMs go: one group is empty, in the other twice as many wait as there are pCPUs.
        for vm in [ids[1], ids[3]] {
            let mut poked = Vec::new();
            let pages = machine
                .all
                .remove_vm(machine.now, vm, |pcpu| poked.push(pcpu));
            assert!(pages.is_some());
            assert_eq!(machine.all.group_of(vm), None);
            machine.settle(poked);
        }
        machine.pass(SLICE);
        machine.pass(SLICE);
        let mut homes = [ids[0], ids[2]].map(|vm| machine.all.group_of(vm));
        homes.sort_unstable();
        assert_eq!(homes, [Some(0), Some(1)], "{scheduling}");
        for (at, vm) in [(0, ids[0]), (2, ids[2])] {
            assert!(ran(&machine.all, vm) >= before[at]);
            for cpu in cpus(2) {
                assert!(machine.on().contains(&Some((vm, cpu))), "{scheduling}");
                let page = vms[at].1.vcpu(cpu).run();
                assert_eq!(page.state(), RunState::Running);
                let seen = (machine.all).look(vm, cpu, |host, vcpu| host.run_state(vcpu));
                assert_eq!(seen, Some(Some(RunState::Running)));
            }
        }
        assert!(machine.all.group_of(ids[0]) != machine.all.group_of(ids[2]));
    }
}

#[test]
fn a_vm_that_is_controlled_stays_and_one_with_a_cap_keeps_it() {
    let mut machine = Machine::new(groups(2, 1, Scheduling::Fair), 2);
    let (a, _) = add(&machine.all, 1);
    let (b, _) = add(&machine.all, 1);
    let (c, _) = add(&machine.all, 1);
    let cap = Cap {
        quota_ns: SLICE,
        period_ns: 4 * SLICE,
    };
    for vm in [a, b, c] {
        let capped =
            (machine.all).with_vm(0, vm, |_| {}, |host, id| host.set_cap(0, id, Some(cap)));
        assert_eq!(capped, Some(Ok(())));
    }
    machine.start(a, 1);
    machine.start(c, 1);
    for _ in 0..400 {
        machine.pass(SLICE / 4);
    }
    assert_ne!(
        machine.all.group_of(a),
        machine.all.group_of(c),
        "one moved"
    );
    for vm in [a, c] {
        let ran = machine
            .all
            .look(vm, Cpu::ZERO, |host, vcpu| host.stats(vcpu).ran_ns);
        assert!(
            ran.is_some_and(|ran| (24 * SLICE..=27 * SLICE).contains(&ran)),
            "{ran:?}"
        );
    }
}

#[test]
fn what_does_not_exist_has_no_effect() {
    let all = groups(2, 1, Scheduling::Fair);
    let (vm, _) = add(&all, 1);
    assert!(all.remove_vm(0, vm, |_| {}).is_some());
    assert!(all.remove_vm(0, vm, |_| {}).is_none());
    all.start(0, vm, Cpu::ZERO, |_| {});
    assert_eq!(all.look(vm, Cpu::ZERO, |_, _| ()), None);
    let run = all.reschedule(0, Pcpu::new(77), |_| {});
    assert_eq!((run.vcpu, run.until), (None, None));
    let bad = VmConfig {
        vcpus: 0,
        weight: 1,
    };
    let refused = all.add_vm(bad, Arc::new(HeapPages::new(1)));
    assert_eq!(refused, Err(ConfigError::NoVcpus));
    let (again, _) = add(&all, 1);
    assert_eq!(again, vm, "its number comes again");
    let none: Result<All, _> = Groups::new(0, Config::default(), 1);
    assert_eq!(none.err(), Some(ConfigError::NoPcpus));
    let one: All = Groups::new(1, Config::default(), 1).expect("good");
    let _ = add(&one, 1);
    let size = VmConfig {
        vcpus: 1,
        weight: 1,
    };
    let full = one.add_vm(size, Arc::new(HeapPages::new(1)));
    assert_eq!(full, Err(ConfigError::TooManyVms));
}

/// SplitMix64.
fn random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What the threads share. Time is a counter that all of them push on.
struct Shared {
    all: All,
    vms: Vec<(GroupVm, Pages, usize)>,
    now: AtomicU64,
    poked: Vec<AtomicBool>,
    /// By VM and CPU: on how many pCPUs it is.
    on: Vec<Vec<AtomicU32>>,
    /// Where each VM was seen last, and how often it was seen elsewhere.
    seen: Vec<AtomicUsize>,
    moves: AtomicU64,
}

impl Shared {
    fn time(&self, by: u64) -> u64 {
        self.now.fetch_add(by, SeqCst) + by
    }

    fn slot(&self, (vm, cpu): (GroupVm, Cpu)) -> &AtomicU32 {
        &self.on[vm.index()][cpu.index()]
    }

    fn poke(&self, pcpu: Pcpu) {
        self.poked[pcpu.index()].store(true, SeqCst);
    }

    /// A pCPU's event: what ran here is off before it is reported.
    fn step(&self, p: usize, run: GroupRun, state: &mut u64) -> GroupRun {
        let (pcpu, now) = (Pcpu::new(p as u32), self.time(random(state) % 200_000));
        if let Some(vcpu) = run.vcpu {
            assert_eq!(self.slot(vcpu).fetch_sub(1, SeqCst), 1);
        }
        let poked = self.poked[p].swap(false, SeqCst);
        let due = run.until.is_some_and(|until| until <= now);
        let poke = |pcpu| self.poke(pcpu);
        let next = match run.vcpu {
            Some((vm, _)) if !poked && !due => {
                let (_, pages, vcpus) = &self.vms[vm.index()];
                let to = Cpu::new(random(state) as usize % vcpus).expect("small");
                let hint = Hint {
                    cpu: to,
                    generation: pages.vcpu(to).run().generation(),
                };
                let call = match random(state) % 8 {
                    0 => Hypercall::Halt(Some(hint)),
                    1 => Hypercall::Halt(None),
                    2..=4 => Hypercall::Kick(to),
                    _ => Hypercall::YieldTo(hint),
                };
                if random(state).is_multiple_of(8) {
                    self.all.block(now, pcpu, poke)
                } else {
                    let answered = AtomicBool::new(false);
                    let answer = |_: Status| answered.store(true, SeqCst);
                    let run = self.all.hypercall(now, pcpu, call, poke, answer);
                    assert!(answered.load(SeqCst));
                    run
                }
            }
            _ => self.all.reschedule(now, pcpu, poke),
        };
        if let Some(vcpu) = next.vcpu {
            assert_eq!(
                self.slot(vcpu).fetch_add(1, SeqCst),
                0,
                "{vcpu:?} on two pCPUs"
            );
        }
        next
    }

    /// Devices: they wake any vCPU, and see where it is.
    fn devices(&self, state: &mut u64) {
        let at = random(state) as usize % self.vms.len();
        let (vm, _, vcpus) = &self.vms[at];
        let cpu = Cpu::new(random(state) as usize % vcpus).expect("small");
        self.all
            .start(self.time(1), *vm, cpu, |pcpu| self.poke(pcpu));
        if random(state).is_multiple_of(64) {
            let weight = 1 + (random(state) % 3) as u32;
            let now = self.time(1);
            let set = (self.all).with_vm(
                now,
                *vm,
                |pcpu| self.poke(pcpu),
                |host, id| host.set_weight(now, id, weight),
            );
            assert_eq!(set, Some(Ok(())));
        }
        if let Some(group) = self.all.group_of(*vm) {
            let before = self.seen[vm.index()].swap(group, SeqCst);
            self.moves.fetch_add(u64::from(before != group), SeqCst);
        }
    }
}

#[test]
fn threads_never_run_a_vcpu_twice_and_lose_none() {
    const GROUPS: usize = 2;
    const PCPUS: usize = 2;
    const STEPS: usize = 30_000;
    // Another one by `SEED=N`. What threads do in between differs from run to run.
    let seed: u64 = std::env::var("SEED").map_or(1, |seed| seed.parse().expect("a number"));
    println!("SEED={seed}");
    for scheduling in [Scheduling::Fair, Scheduling::RoundRobin] {
        let all = groups(GROUPS, PCPUS, scheduling);
        let vms: Vec<_> = ([1, 2, 3, 1, 2, 3, 4].into_iter())
            .map(|vcpus| {
                let (vm, pages) = add(&all, vcpus);
                (vm, pages, vcpus)
            })
            .collect();
        let homes: Vec<_> = (vms.iter())
            .map(|(vm, ..)| all.group_of(*vm).expect("it is somewhere"))
            .collect();
        let shared = Shared {
            on: (vms.iter())
                .map(|(_, _, vcpus)| (0..*vcpus).map(|_| AtomicU32::new(0)).collect())
                .collect(),
            all,
            vms,
            now: AtomicU64::new(0),
            poked: (0..GROUPS * PCPUS)
                .map(|_| AtomicBool::new(false))
                .collect(),
            seen: homes.into_iter().map(AtomicUsize::new).collect(),
            moves: AtomicU64::new(0),
        };
        std::thread::scope(|scope| {
            for p in 0..GROUPS * PCPUS {
                let shared = &shared;
                scope.spawn(move || {
                    let mut state = seed + p as u64;
                    let mut run = GroupRun {
                        vcpu: None,
                        until: None,
                    };
                    for _ in 0..STEPS {
                        run = shared.step(p, run, &mut state);
                        shared.devices(&mut state);
                    }
                    if let Some(vcpu) = run.vcpu {
                        shared.slot(vcpu).fetch_sub(1, SeqCst);
                    }
                });
            }
        });
        let (mut ran, mut charged) = (0, 0);
        for (vm, _, vcpus) in &shared.vms {
            for cpu in cpus(*vcpus) {
                let stats = (shared.all).look(*vm, cpu, |host, vcpu| host.stats(vcpu));
                let stats = stats.expect("no VM is lost");
                assert!(stats.ran_ns > 0, "{vm:?} {cpu} never ran");
                ran += stats.ran_ns;
                charged += stats.charged_ns;
            }
        }
        assert_eq!(ran, charged, "time is moved, never made");
        let moves = shared.moves.load(SeqCst);
        println!("{scheduling}: {moves} moves");
        assert!(moves > 0, "{scheduling}: none moved");
    }
}
