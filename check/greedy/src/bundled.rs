//! `pvqspin-host` under the search.

use std::sync::Arc;

use pvqspin_abi::{Cpu, Hint, Hypercall, RunState};
use pvqspin_host::{Cap, Config, GuestPages, HeapPages, Host, Pcpu, Run, VcpuId, VmConfig};

use crate::subject::{Placed, Setup, Subject};

/// [`Host`], with pages on the heap.
#[derive(Debug)]
pub struct Bundled(Host<Arc<HeapPages>>);

impl Bundled {
    fn hint(&self, to: u32) -> Option<Hint> {
        let (vm, cpu) = self.0.locate(VcpuId::new(to))?;
        let generation = self.0.pages(vm)?.vcpu(cpu).run().generation();
        Some(Hint { cpu, generation })
    }

    fn call(&mut self, now: u64, pcpu: usize, call: Hypercall) -> Placed {
        placed(self.0.hypercall(now, id(pcpu), call).run)
    }
}

const fn id(pcpu: usize) -> Pcpu {
    Pcpu::new(pcpu as u32)
}

fn placed(run: Run) -> Placed {
    Placed {
        vcpu: run.vcpu.map(|vcpu| vcpu.index() as u32),
        until: run.until,
    }
}

impl Subject for Bundled {
    fn new(setup: &Setup) -> Self {
        let host = Host::new(Config {
            pcpus: setup.pcpus,
            scheduling: setup.scheduling,
            yields: setup.yields,
            slice_ns: setup.slice_ns,
            min_loan_ns: setup.min_loan_ns,
            ..Config::default()
        });
        Self(host.unwrap_or_else(|error| unreachable!("{setup:?} is a good one: {error}")))
    }

    fn add_vm(&mut self, _now: u64, vcpus: usize, weight: u32) -> Vec<u32> {
        let pages = Arc::new(HeapPages::new(vcpus));
        let vm = self.0.add_vm(VmConfig { vcpus, weight }, pages);
        let vm = vm.unwrap_or_else(|error| unreachable!("a good VM: {error}"));
        let cpus = (0..vcpus).filter_map(Cpu::new);
        cpus.filter_map(|cpu| self.0.vcpu_id(vm, cpu))
            .map(|vcpu| vcpu.index() as u32)
            .collect()
    }

    fn cap(&mut self, now: u64, vcpus: &[u32], cap: Cap) {
        for &vcpu in vcpus {
            let capped = self.0.set_vcpu_cap(now, VcpuId::new(vcpu), Some(cap));
            capped.unwrap_or_else(|error| unreachable!("{cap:?} is a good one: {error}"));
        }
    }

    fn remove_vm(&mut self, now: u64, vcpus: &[u32]) {
        if let Some((vm, _)) = self.0.locate(VcpuId::new(vcpus[0])) {
            drop(self.0.remove_vm(now, vm));
        }
    }

    fn start(&mut self, now: u64, vcpu: u32) {
        self.0.start(now, VcpuId::new(vcpu));
    }

    fn reschedule(&mut self, now: u64, pcpu: usize) -> Placed {
        placed(self.0.reschedule(now, id(pcpu)))
    }

    fn yield_to(&mut self, now: u64, pcpu: usize, to: u32) -> Placed {
        match self.hint(to) {
            Some(hint) => self.call(now, pcpu, Hypercall::YieldTo(hint)),
            None => self.reschedule(now, pcpu),
        }
    }

    fn halt(&mut self, now: u64, pcpu: usize, to: Option<u32>) -> Placed {
        let hint = to.and_then(|to| self.hint(to));
        self.call(now, pcpu, Hypercall::Halt(hint))
    }

    fn kick(&mut self, now: u64, pcpu: usize, to: u32) -> Placed {
        match self.0.locate(VcpuId::new(to)) {
            Some((_, cpu)) => self.call(now, pcpu, Hypercall::Kick(cpu)),
            None => self.reschedule(now, pcpu),
        }
    }

    fn block(&mut self, now: u64, pcpu: usize) -> Placed {
        placed(self.0.block(now, id(pcpu)).run)
    }

    fn set_edge(&mut self, vcpu: u32, to: Option<u32>) {
        let to = to.and_then(|to| self.0.locate(VcpuId::new(to)));
        if let Some((vm, cpu)) = self.0.locate(VcpuId::new(vcpu))
            && let Some(pages) = self.0.pages(vm)
        {
            pages.vcpu(cpu).set_waiting_for(to.map(|(_, cpu)| cpu));
        }
    }

    fn state(&self, vcpu: u32) -> RunState {
        (self.0.run_state(VcpuId::new(vcpu))).unwrap_or(RunState::Idle)
    }

    fn next_poke(&mut self) -> Option<usize> {
        self.0.next_poke().map(Pcpu::index)
    }
}
