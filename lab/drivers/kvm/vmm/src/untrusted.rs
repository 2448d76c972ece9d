//! What the VMM reads of its guests, for tests that hand it garbage (`pvqspin-hostile`). It is no
//! part of the interface, and hidden from its documentation.

use core::time::Duration;
use std::io;
use std::sync::Arc;

use pvqspin_abi::Cpu;
use pvqspin_driver_common::Run;
use pvqspin_kvm_boot::layout::SHARED_AT;
use pvqspin_load::{NeighbourKind, NeighbourVm, Outcome};
use vm_memory::{Bytes, GuestAddress};

use crate::error::{RunError, Stuck};
use crate::memory::GuestMemory;
use crate::phases::{Counts, RunningVcpus};
use crate::stock::{Crowd, Vcpu};
use crate::summary::summarise;

pub use kvm_ioctls::VcpuExit;
pub use pvqspin_kvm_boot::doorbell::PORT;
pub use vmm_sys_util::errno;

pub use crate::exit::{Exit, decode};

/// The memory of a guest that has written there what it liked.
#[derive(Debug)]
pub struct Leavings {
    memory: Arc<GuestMemory>,
}

impl Leavings {
    /// Of a guest that has not run yet.
    ///
    /// # Errors
    ///
    /// If there is no memory for it.
    pub fn new(vcpus: usize) -> io::Result<Self> {
        let memory = Arc::new(GuestMemory::new(vcpus)?);
        Ok(Self { memory })
    }

    /// How many bytes of it the VMM reads.
    #[must_use]
    pub fn read_bytes(&self) -> u64 {
        self.memory.layout().stacks - SHARED_AT
    }

    /// Writes there as the guest does, from byte `at` of what the VMM reads.
    ///
    /// # Errors
    ///
    /// If that is no memory any more.
    pub fn write(&self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let at = GuestAddress(SHARED_AT.saturating_add(at));
        let written = self.memory.mapping().write_slice(bytes, at);
        written.map_err(io::Error::other)
    }

    /// Reads all that the VMM reads, as the end of a run does, and as the end of one that is stuck.
    /// The same memory is that of the neighbour.
    ///
    /// # Errors
    ///
    /// That it cannot be true.
    pub fn read_back(&self, duration_ns: u64) -> Result<Outcome, RunError> {
        let memory = &self.memory;
        let vcpus = memory.layout().vcpus();
        let cpus = || (0..vcpus).filter_map(Cpu::new);
        let members = cpus().map(|cpu| Vcpu::new(0, cpu, memory, None));
        let crowd = Crowd::new(&[], members.collect(), 1);
        let stuck = Stuck {
            patience: Duration::ZERO,
            vcpus: crowd.stuck_vcpus(&[]),
        };
        let (_, _) = (stuck.to_string(), memory.message());
        for cpu in cpus() {
            let _ = memory.cpu_area(cpu).call();
        }
        let counts = crowd.counts(memory).since(&Counts::default());
        let config = Run::default().with(|run| {
            run.vcpus = vcpus;
            run.neighbour = Some(NeighbourVm {
                kind: NeighbourKind::Busy,
                vcpus,
                weight: 1,
            });
        });
        let memories = [Arc::clone(memory), Arc::clone(memory)];
        summarise(&config, &memories, duration_ns, &counts)
    }
}
