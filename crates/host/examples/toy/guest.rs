//! The toy's guest: a test-and-set lock whose waiters yield to a preempted holder. Its registers are a few
//! numbers, and what it does between two exits is to let time pass.

use pvqspin_abi::{Cpu, Hint, Hypercall, Status};
use pvqspin_host::{GuestPages, HeapPages};

pub(crate) const VCPUS: usize = 8;
pub(crate) const SECTIONS: u32 = 10_000;
pub(crate) const INSIDE_NS: u64 = 1_000;
const OUTSIDE_NS: u64 = 2_000;
const LOOK_NS: u64 = 100;
const HYPERCALL_NS: u64 = 1_000;
const RETRY_NS: u64 = 15_000;

/// What a vCPU would have in registers: how long it still computes, and how often it had the lock.
#[derive(Clone, Copy)]
struct Vcpu {
    left_ns: u64,
    sections: u32,
}

/// All of a VM: its vCPUs, the lock in its memory, the pages that it shares with the host.
pub(crate) struct Guest<'a> {
    vcpus: [Vcpu; VCPUS],
    holder: Option<Cpu>,
    pages: &'a HeapPages,
    /// Whether waiters ask for a preempted holder.
    asks: bool,
}

/// Why a vCPU stopped computing.
pub(crate) enum Exit {
    Looks,
    Calls(Hypercall),
    Ends,
}

impl<'a> Guest<'a> {
    pub(crate) fn new(pages: &'a HeapPages, asks: bool) -> Self {
        let vcpu = Vcpu {
            left_ns: OUTSIDE_NS,
            sections: 0,
        };
        Self {
            vcpus: [vcpu; VCPUS],
            holder: None,
            pages,
            asks,
        }
    }

    /// How long a vCPU computes before it does something.
    pub(crate) fn left_ns(&self, index: usize) -> u64 {
        self.vcpus[index].left_ns
    }

    pub(crate) fn compute(&mut self, index: usize, ns: u64) {
        self.vcpus[index].left_ns -= ns;
    }

    /// What came back from a hypercall; the vCPU reads it when it runs again.
    pub(crate) fn returned(&mut self, index: usize, status: Status) {
        self.vcpus[index].left_ns = match status {
            Status::Ran | Status::Stale => HYPERCALL_NS,
            Status::AlreadyRunning | Status::Refused => RETRY_NS,
        };
    }

    pub(crate) fn is_done(&self) -> bool {
        self.vcpus.iter().all(|vcpu| vcpu.sections == SECTIONS)
    }

    // excerpt: guest
    /// One step of guest code: release, take, or look at the lock holder.
    pub(crate) fn step(&mut self, index: usize) -> Exit {
        let me = Cpu::new(index).expect("the host knows it by this number");
        let vcpu = &mut self.vcpus[index];
        let Some(holder) = self.holder else {
            self.pages.vcpu(me).set_waiting_for(None);
            self.holder = Some(me);
            vcpu.left_ns = INSIDE_NS;
            return Exit::Looks;
        };
        if holder == me {
            self.holder = None;
            vcpu.sections += 1;
            vcpu.left_ns = OUTSIDE_NS;
            return match vcpu.sections {
                SECTIONS => Exit::Ends,
                _ => Exit::Looks,
            };
        }
        // For the host, which follows these edges from the vCPU that a hint names.
        self.pages.vcpu(me).set_waiting_for(Some(holder));
        vcpu.left_ns = LOOK_NS;
        let seen = self.pages.vcpu(holder).run();
        if !self.asks || !seen.is_preempted() {
            return Exit::Looks;
        }
        let generation = seen.generation();
        Exit::Calls(Hypercall::YieldTo(Hint {
            cpu: holder,
            generation,
        }))
    }
    // end: guest
}
