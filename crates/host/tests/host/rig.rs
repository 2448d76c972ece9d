//! A host with its guests' pages, driven by hand, that checks after every event what must always
//! hold.

use std::sync::Arc;

use pvqspin_abi::{Cpu, Hint, Hypercall, RunState, Status, VcpuPage};
use pvqspin_host::{
    Config, GuestPages, HeapPages, Host, Outcome, Pcpu, Run, Scheduling, VcpuId, VcpuStats,
    VmConfig, VmId, YieldMode,
};

pub(crate) const SLICE: u64 = 3_000_000;
pub(crate) const MIN_LOAN: u64 = 100_000;

pub(crate) fn config(pcpus: usize, scheduling: Scheduling, yields: YieldMode) -> Config {
    Config {
        pcpus,
        scheduling,
        yields,
        slice_ns: SLICE,
        min_loan_ns: MIN_LOAN,
        ..Config::default()
    }
}

pub(crate) fn cpu(index: usize) -> Cpu {
    Cpu::new(index).expect("small")
}

pub(crate) struct Rig {
    pub(crate) host: Host<Arc<HeapPages>>,
    pub(crate) pages: Vec<Arc<HeapPages>>,
    pub(crate) now: u64,
    pub(crate) pcpus: usize,
    /// Pokes that came out and were not delivered yet.
    pub(crate) pokes: Vec<Pcpu>,
    /// Some vCPU is held from outside: it looks preempted, and does not wait.
    pub(crate) held: bool,
    /// Some vCPU has a cap.
    pub(crate) capped: bool,
}

impl Rig {
    /// A host and its VMs, each given by its vCPUs and weight. Nothing has been started.
    pub(crate) fn new(config: Config, vms: &[(usize, u32)]) -> Self {
        let mut host = Host::new(config).expect("a good configuration");
        let mut pages = Vec::new();
        for &(vcpus, weight) in vms {
            let of_vm = Arc::new(HeapPages::new(vcpus));
            host.add_vm(VmConfig { vcpus, weight }, of_vm.clone())
                .expect("a good VM");
            pages.push(of_vm);
        }
        Self {
            host,
            pages,
            now: 1_000,
            pcpus: config.pcpus,
            pokes: Vec::new(),
            held: false,
            capped: false,
        }
    }

    /// The contract, round robin, one VM, all started in order and the pokes delivered.
    pub(crate) fn contract(pcpus: usize, vcpus: usize) -> Self {
        let mut rig = Self::new(
            config(pcpus, Scheduling::RoundRobin, YieldMode::Contract),
            &[(vcpus, 1)],
        );
        rig.start_all();
        rig
    }

    pub(crate) fn start_all(&mut self) {
        for index in 0..self.host.vcpus() {
            self.start(index);
        }
        self.deliver();
    }

    pub(crate) fn start(&mut self, vcpu: usize) {
        self.host.start(self.now, VcpuId::new(vcpu as u32));
        self.check();
    }

    pub(crate) fn pass(&mut self, ns: u64) {
        self.now += ns;
    }

    pub(crate) fn reschedule(&mut self, p: usize) -> Run {
        self.pokes.retain(|poked| poked.index() != p);
        let run = self.host.reschedule(self.now, Pcpu::new(p as u32));
        self.check_run(p, run);
        run
    }

    pub(crate) fn call(&mut self, p: usize, call: Hypercall) -> Outcome {
        let outcome = self.host.hypercall(self.now, Pcpu::new(p as u32), call);
        self.check_run(p, outcome.run);
        outcome
    }

    pub(crate) fn block(&mut self, p: usize) -> Outcome {
        let outcome = self.host.block(self.now, Pcpu::new(p as u32));
        self.check_run(p, outcome.run);
        outcome
    }

    pub(crate) fn exit(&mut self, p: usize) -> Outcome {
        let outcome = self.host.exit(self.now, Pcpu::new(p as u32));
        self.check_run(p, outcome.run);
        outcome
    }

    pub(crate) fn kill(&mut self, vm: u32) {
        self.host.kill_vm(self.now, VmId::new(vm));
        self.check();
    }

    pub(crate) fn offline(&mut self, p: usize) -> bool {
        let pcpu = Pcpu::new(p as u32);
        let gone = self.host.offline(self.now, pcpu);
        if gone {
            self.pokes.retain(|&poked| poked != pcpu);
            assert_eq!(self.current(p), None);
        }
        self.check();
        gone
    }

    /// A call by the one that was on `p`, whether there is one or not.
    pub(crate) fn yield_to_from_nobody(&mut self, p: usize) -> Outcome {
        let hint = Hint {
            cpu: cpu(0),
            generation: pvqspin_abi::Generation::default(),
        };
        self.call(p, Hypercall::YieldTo(hint))
    }

    /// Gives a VM fresh pages, if there is one of that number.
    pub(crate) fn replace_pages(&mut self, vm: usize) {
        let vcpus = self.pages.get(vm).map_or(1, |pages| pages.vcpus());
        let fresh = Arc::new(HeapPages::new(vcpus));
        let replaced = self.host.replace_pages(VmId::new(vm as u32), fresh.clone());
        assert_eq!(replaced.is_ok(), vm < self.pages.len());
        if replaced.is_ok() {
            self.pages[vm] = fresh;
        }
        self.check();
    }

    pub(crate) fn online(&mut self, p: usize) -> bool {
        let back = self.host.online(self.now, Pcpu::new(p as u32));
        self.check();
        back
    }

    /// A yield by the one on `p` to vCPU `to` of its VM, as it stands now.
    pub(crate) fn yield_to(&mut self, p: usize, to: usize) -> Outcome {
        let hint = self.hint(p, to);
        self.call(p, Hypercall::YieldTo(hint))
    }

    pub(crate) fn halt(&mut self, p: usize, to: Option<usize>) -> Outcome {
        let hint = to.map(|to| self.hint(p, to));
        self.call(p, Hypercall::Halt(hint))
    }

    pub(crate) fn kick(&mut self, p: usize, to: usize) -> Status {
        self.call(p, Hypercall::Kick(cpu(to))).status
    }

    pub(crate) fn hint(&self, p: usize, to: usize) -> Hint {
        let vm = self.vm_on(p);
        let known = self
            .host
            .vcpu_id(VmId::new(vm as u32), cpu(to))
            .map(|_| self.pages[vm].vcpu(cpu(to)).run().generation());
        Hint {
            cpu: cpu(to),
            generation: known.unwrap_or_default(),
        }
    }

    pub(crate) fn vm_on(&self, p: usize) -> usize {
        let current = self.host.current(Pcpu::new(p as u32));
        let located = current.and_then(|vcpu| self.host.locate(vcpu));
        located.map_or(0, |(vm, _)| vm.index())
    }

    /// Delivers all pokes, and those that come of it.
    pub(crate) fn deliver(&mut self) {
        while !self.pokes.is_empty() {
            let p = self.pokes.remove(0);
            let _ = self.reschedule(p.index());
        }
        self.check_nobody_lost();
    }

    pub(crate) fn current(&self, p: usize) -> Option<usize> {
        let current = self.host.current(Pcpu::new(p as u32));
        current.map(VcpuId::index)
    }

    pub(crate) fn on(&self) -> Vec<Option<usize>> {
        (0..self.pcpus).map(|p| self.current(p)).collect()
    }

    pub(crate) fn state(&self, vcpu: usize) -> RunState {
        self.host
            .run_state(VcpuId::new(vcpu as u32))
            .expect("it exists")
    }

    pub(crate) fn stats(&self, vcpu: usize) -> VcpuStats {
        self.host.stats(VcpuId::new(vcpu as u32))
    }

    pub(crate) fn page(&self, vcpu: usize) -> &VcpuPage {
        let (vm, cpu) = self
            .host
            .locate(VcpuId::new(vcpu as u32))
            .expect("it exists");
        self.pages[vm.index()].vcpu(cpu)
    }

    /// Makes vCPU `who` (host-wide) say that it waits for `target` (of its VM).
    pub(crate) fn waits(&self, who: usize, target: Option<usize>) {
        self.page(who).set_waiting_for(target.map(cpu));
    }

    fn check_run(&mut self, p: usize, run: Run) {
        assert_eq!(run.vcpu, self.host.current(Pcpu::new(p as u32)));
        assert!(run.until.is_some() || run.vcpu.is_none());
        assert!(run.vcpu.is_some() || run.until.is_none() || self.anyone_held_back());
        self.check_pressure(p);
        self.check();
    }

    pub(crate) fn is_held_back(&self, vcpu: usize) -> bool {
        self.host.is_held_back(VcpuId::new(vcpu as u32))
    }

    fn anyone_held_back(&self) -> bool {
        (0..self.host.vcpus()).any(|vcpu| self.is_held_back(vcpu))
    }

    /// Those that want a pCPU and may have one.
    pub(crate) fn waiting(&self) -> Vec<usize> {
        (0..self.host.vcpus())
            .filter(|&vcpu| self.state(vcpu) == RunState::Preempted && !self.is_held_back(vcpu))
            .collect()
    }

    /// What holds after every event.
    pub(crate) fn check(&mut self) {
        while let Some(p) = self.host.next_poke() {
            assert!(self.host.is_online(p), "{p:?} is offline");
            assert!(!self.pokes.contains(&p), "{p:?} was poked twice");
            self.pokes.push(p);
        }
        let mut on_pcpu = vec![0; self.host.vcpus()];
        for p in 0..self.pcpus {
            let Some(vcpu) = self.current(p) else {
                continue;
            };
            on_pcpu[vcpu] += 1;
            let killed = self.state(vcpu) == RunState::Idle;
            assert!(killed || self.state(vcpu) == RunState::Running, "{vcpu}");
        }
        for (vcpu, &pcpus) in on_pcpu.iter().enumerate() {
            let state = self.state(vcpu);
            assert!(pcpus <= 1, "vCPU {vcpu} is on {pcpus} pCPUs");
            assert!(state != RunState::Running || pcpus == 1, "vCPU {vcpu}");
            assert_eq!(self.page(vcpu).run().state(), state, "page of vCPU {vcpu}");
        }
    }

    /// The page of the VM on a pCPU that has just had an event says whether vCPUs wait in vain.
    fn check_pressure(&self, p: usize) {
        if self.held
            || self.current(p).is_none()
            || self.host.config().scheduling == Scheduling::CoScheduled
        {
            return;
        }
        let online = |p: &usize| self.host.is_online(Pcpu::new(*p as u32));
        let idle = (0..self.pcpus)
            .filter(online)
            .filter(|&p| self.current(p).is_none())
            .count();
        let (waiting, vm) = (self.waiting().len(), self.vm_on(p));
        let of_vm = |vcpu: &usize| {
            let located = self.host.locate(VcpuId::new(*vcpu as u32));
            located.is_some_and(|(of, _)| of.index() == vm)
        };
        let held_back = (0..self.host.vcpus()).any(|vcpu| of_vm(&vcpu) && self.is_held_back(vcpu));
        let told = self.pages[vm].vm().pressure();
        let expected = waiting > idle || held_back;
        assert_eq!(told, expected, "{waiting} wait, {idle} pCPUs idle");
    }

    /// What holds once all pokes are delivered, co-scheduling apart.
    pub(crate) fn check_nobody_lost(&self) {
        if self.host.config().scheduling == Scheduling::CoScheduled {
            return;
        }
        let idle = (self.on().into_iter().enumerate())
            .any(|(p, vcpu)| vcpu.is_none() && self.host.is_online(Pcpu::new(p as u32)));
        // A lender whose borrower is over its cap waits for its own slice.
        let lends = |vcpu: usize| {
            let lender = |p| self.host.loan(Pcpu::new(p as u32)).map(|loan| loan.lender);
            self.capped && (0..self.pcpus).any(|p| lender(p) == Some(VcpuId::new(vcpu as u32)))
        };
        let mut waiting = self.waiting();
        waiting.retain(|&vcpu| !lends(vcpu));
        assert!(
            !idle || waiting.is_empty(),
            "{waiting:?} wait and a pCPU idles"
        );
    }
}
