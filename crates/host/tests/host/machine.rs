//! A machine in virtual time: pCPUs that follow the host, vCPUs that behave well or badly.

use crate::rig::{Rig, SLICE, config, cpu};
use pvqspin_abi::{Generation, Hint, Hypercall, RunState};
use pvqspin_host::{GuestPages, Run, Scheduling, VcpuId, YieldMode};

/// What the vCPUs of a VM do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Guest {
    /// Compute, and never call.
    Busy,
    /// Yield to a sibling, all the time.
    Yielder,
    /// Halt for a sibling, kick one, yield to one, all the time, and say so in the pages.
    Locker,
    /// Any call with any argument, and garbage in the pages.
    Hostile,
    /// Block now and then, to be woken by a device.
    Sleeper,
}

pub(crate) const GUESTS: [Guest; 5] = [
    Guest::Busy,
    Guest::Yielder,
    Guest::Locker,
    Guest::Hostile,
    Guest::Sleeper,
];

pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(2) | 1)
    }

    /// SplitMix64: good enough for tests, and the same everywhere.
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// One VM.
#[derive(Clone, Copy, Debug)]
pub(crate) struct VmPlan {
    pub(crate) vcpus: usize,
    pub(crate) weight: u32,
    pub(crate) guest: Guest,
}

pub(crate) struct Machine {
    pub(crate) rig: Rig,
    vms: Vec<VmPlan>,
    random: Random,
    runs: Vec<Run>,
    /// When the vCPU on each pCPU makes its next call.
    next_call: Vec<u64>,
    next_rescue: u64,
    waiting_since: Vec<Option<u64>>,
    /// The longest that each vCPU waited for a pCPU in one go.
    pub(crate) longest_wait: Vec<u64>,
}

impl Machine {
    pub(crate) fn new(
        pcpus: usize,
        scheduling: Scheduling,
        yields: YieldMode,
        vms: &[VmPlan],
        seed: u64,
    ) -> Self {
        let sizes: Vec<_> = vms.iter().map(|vm| (vm.vcpus, vm.weight)).collect();
        let rig = Rig::new(config(pcpus, scheduling, yields), &sizes);
        let vcpus = rig.host.vcpus();
        let mut machine = Self {
            rig,
            vms: vms.to_vec(),
            random: Random::new(seed),
            runs: vec![Run::IDLE; pcpus],
            next_call: vec![u64::MAX; pcpus],
            next_rescue: 0,
            waiting_since: vec![None; vcpus],
            longest_wait: vec![0; vcpus],
        };
        for vcpu in 0..vcpus {
            machine.rig.start(vcpu);
            machine.deliver();
        }
        machine
    }

    /// Runs for so many slices of each pCPU, and charges all at the end.
    pub(crate) fn run_slices(&mut self, slices: u64) {
        let end = self.rig.now + slices * SLICE;
        while self.step(end) {}
        self.rig.now = end;
        for p in 0..self.rig.pcpus {
            self.reschedule(p);
        }
        self.deliver();
    }

    /// Ends a VM, in the middle of whatever it does.
    pub(crate) fn kill(&mut self, vm: u32) {
        self.rig.kill(vm);
        self.deliver();
    }

    /// All that the vCPUs of a VM ran, in nanoseconds.
    pub(crate) fn ran(&self, vm: usize) -> u64 {
        let base: usize = self.vms[..vm].iter().map(|vm| vm.vcpus).sum();
        (base..base + self.vms[vm].vcpus)
            .map(|vcpu| self.rig.stats(vcpu).ran_ns)
            .sum()
    }

    fn step(&mut self, end: u64) -> bool {
        let next = (0..self.rig.pcpus)
            .filter_map(|p| Some((self.runs[p].until?.min(self.next_call[p]), p)))
            .min();
        let at = next.map_or(u64::MAX, |(at, _)| at);
        if at.min(self.next_rescue) >= end {
            return false;
        }
        if self.next_rescue <= at {
            self.rig.now = self.rig.now.max(self.next_rescue);
            self.rescue();
        } else if let Some((at, p)) = next {
            self.rig.now = self.rig.now.max(at);
            if self.runs[p].until <= Some(at) {
                self.reschedule(p);
            } else {
                self.guest_calls(p);
            }
        }
        self.deliver();
        self.note_waits();
        true
    }

    fn reschedule(&mut self, p: usize) {
        let run = self.rig.reschedule(p);
        self.follow(p, run);
    }

    fn follow(&mut self, p: usize, run: Run) {
        self.runs[p] = run;
        let vm = self.rig.vm_on(p);
        self.next_call[p] = match self.vms[vm].guest {
            _ if run.vcpu.is_none() => u64::MAX,
            Guest::Busy => u64::MAX,
            Guest::Sleeper => self.rig.now + 1 + self.random.below(2 * SLICE),
            _ => self.rig.now + 1 + self.random.below(SLICE / 10),
        };
    }

    fn deliver(&mut self) {
        while !self.rig.pokes.is_empty() {
            let p = self.rig.pokes[0].index();
            self.reschedule(p);
        }
        self.rig.check_nobody_lost();
    }

    /// Devices, and the safety net: sleepers are woken.
    fn rescue(&mut self) {
        self.next_rescue = self.rig.now + SLICE / 3;
        for index in 0..self.rig.host.vcpus() {
            let vcpu = VcpuId::new(index as u32);
            match self.rig.state(index) {
                RunState::Idle if self.random.below(2) == 0 => self.rig.start(index),
                RunState::Halted if self.random.below(2) == 0 => {
                    assert!(self.rig.host.halt_timeout(self.rig.now, vcpu));
                    self.rig.check();
                }
                _ => {}
            }
            self.deliver();
        }
    }

    fn note_waits(&mut self) {
        let now = self.rig.now;
        for vcpu in 0..self.waiting_since.len() {
            if self.rig.state(vcpu) != RunState::Preempted {
                self.waiting_since[vcpu] = None;
                continue;
            }
            let since = *self.waiting_since[vcpu].get_or_insert(now);
            self.longest_wait[vcpu] = self.longest_wait[vcpu].max(now - since);
        }
    }

    // --- guests --------------------------------------------------------------------------------

    fn guest_calls(&mut self, p: usize) {
        let vm = self.rig.vm_on(p);
        let plan = self.vms[vm];
        let sibling = self.random.below(plan.vcpus as u64) as usize;
        let call = match plan.guest {
            Guest::Busy | Guest::Sleeper => {
                let outcome = self.rig.block(p);
                return self.follow(p, outcome.run);
            }
            Guest::Yielder => Hypercall::YieldTo(self.rig.hint(p, sibling)),
            Guest::Locker => self.locker_call(p, sibling),
            Guest::Hostile => self.hostile_call(p, vm),
        };
        let outcome = self.rig.call(p, call);
        self.follow(p, outcome.run);
    }

    fn locker_call(&mut self, p: usize, sibling: usize) -> Hypercall {
        let me = self.rig.current(p).expect("a vCPU calls");
        let waits = (self.random.below(2) == 0).then_some(sibling);
        self.rig.waits(me, waits);
        match self.random.below(3) {
            0 => Hypercall::Halt(Some(self.rig.hint(p, sibling))),
            1 => Hypercall::Kick(cpu(sibling)),
            _ => Hypercall::YieldTo(self.rig.hint(p, sibling)),
        }
    }

    fn hostile_call(&mut self, p: usize, vm: usize) -> Hypercall {
        let vcpus = self.vms[vm].vcpus as u64;
        for index in 0..vcpus {
            let raw = match self.random.below(4) {
                0 => 0,
                1 => self.random.next() as u32,
                _ => self.random.below(vcpus + 3) as u32,
            };
            self.rig.pages[vm]
                .vcpu(cpu(index as usize))
                .set_waiting_for_raw(raw);
        }
        let target = self.random.below(vcpus + 3) as usize;
        let mut hint = self.rig.hint(p, target);
        if self.random.below(8) == 0 {
            hint = Hint {
                cpu: cpu(self.random.below(16_000) as usize),
                generation: Generation::new(self.random.next() as u32),
            };
        }
        match self.random.below(4) {
            0 => Hypercall::Halt((self.random.below(2) == 0).then_some(hint)),
            1 => Hypercall::Kick(hint.cpu),
            _ => Hypercall::YieldTo(hint),
        }
    }
}
