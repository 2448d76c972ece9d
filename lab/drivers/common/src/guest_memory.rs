//! What a VM shares with its host and its CPUs among each other: pages and queue nodes.
//!
//! For drivers that keep guests in their own process: the embedded hypervisor and the simulator.
//! Locks want `&'static` nodes, so this memory is never freed. It is kept and used again: a
//! thousand runs leak as much as the largest one.

use std::sync::{Mutex, PoisonError};

use pvqspin::CpuNodes;
use pvqspin_abi::{Cpu, Generation, RunSample, RunState, VcpuPage, VmPage};
use pvqspin_host::GuestPages;

/// The memory of one VM.
#[derive(Debug)]
pub struct GuestMemory {
    /// Both have the same length, a power of two.
    pages: Box<[VcpuPage]>,
    nodes: Box<[CpuNodes]>,
    vm: VmPage,
}

impl GuestMemory {
    fn new(cpus: usize) -> Self {
        let length = cpus.next_power_of_two();
        Self {
            pages: (0..length).map(|_| VcpuPage::new()).collect(),
            nodes: (0..length).map(|_| CpuNodes::new()).collect(),
            vm: VmPage::new(),
        }
    }

    /// The page of a CPU. A number that does not exist shares the page of another CPU: it comes from a
    /// damaged word, and must not become a panic in guest code.
    #[inline]
    #[must_use]
    pub fn page(&self, cpu: Cpu) -> &VcpuPage {
        &self.pages[cpu.index() & (self.pages.len() - 1)]
    }

    /// Whether the pages lie at all addresses from the first up to the second, exclusively: where a guest may
    /// say that they are.
    #[must_use]
    pub fn has_pages_at(&self, from: u64, to: u64) -> bool {
        let address = |place: *const VcpuPage| place as u64;
        let vcpus = self.pages.as_ptr_range();
        let vm = core::ptr::from_ref(&self.vm) as u64;
        let within = |begin, end| begin <= from && from <= to && to <= end;
        within(address(vcpus.start), address(vcpus.end))
            || within(vm, vm + size_of::<VmPage>() as u64)
    }

    /// The nodes of a CPU.
    #[inline]
    #[must_use]
    pub fn nodes(&self, cpu: Cpu) -> &CpuNodes {
        &self.nodes[cpu.index() & (self.nodes.len() - 1)]
    }

    /// The page of the VM.
    #[inline]
    #[must_use]
    pub fn vm_page(&self) -> &VmPage {
        &self.vm
    }

    fn reset(&self) {
        for page in &self.pages {
            page.set_run(RunSample::new(RunState::Idle, Generation::default()));
            page.set_waiting_for(None);
        }
        self.nodes.iter().for_each(CpuNodes::reset);
        self.vm.set_pressure(false);
    }
}

/// What no VM uses at the moment.
static SPARE: Mutex<Vec<&'static GuestMemory>> = Mutex::new(Vec::new());

/// The memory of one VM, on loan for one run.
#[derive(Debug)]
pub struct Loan(&'static GuestMemory);

impl Loan {
    /// Fresh memory for at least `cpus` CPUs.
    ///
    /// ```
    /// use pvqspin_abi::{Cpu, RunState};
    /// use pvqspin_driver_common::Loan;
    ///
    /// let loan = Loan::new(4);
    /// let memory = loan.get();
    /// assert_eq!(memory.page(Cpu::new(3).unwrap()).run().state(), RunState::Idle);
    /// ```
    #[must_use]
    pub fn new(cpus: usize) -> Self {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = spare.iter().position(|memory| memory.pages.len() >= cpus);
        let memory = match fitting {
            Some(index) => spare.swap_remove(index),
            None => Box::leak(Box::new(GuestMemory::new(cpus.max(1)))),
        };
        memory.reset();
        Self(memory)
    }

    /// The memory. A reference that is kept longer than the loan shares it with the next run.
    #[must_use]
    pub fn get(&self) -> &'static GuestMemory {
        self.0
    }
}

impl Drop for Loan {
    fn drop(&mut self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        spare.push(self.0);
    }
}

impl GuestPages for GuestMemory {
    fn vcpu(&self, cpu: Cpu) -> &VcpuPage {
        self.page(cpu)
    }

    fn vm(&self) -> &VmPage {
        self.vm_page()
    }
}
