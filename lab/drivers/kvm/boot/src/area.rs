//! What one vCPU and its VMM tell each other, beside the pages of the contract.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pvqspin_abi::{AtomicCpu, Cpu, Hypercall, Status};
use pvqspin_load::own_time::OwnTime;

/// One vCPU's area. Its GS base points here, and the first word is its own address.
///
/// Relaxed everywhere: a vCPU writes while it runs, and the VMM's thread of that vCPU while it does not; entering and leaving a vCPU
/// orders the two.
#[derive(Debug)]
#[repr(C, align(128))]
pub struct CpuArea {
    /// The address of this area, for an access through GS.
    pub this: AtomicU64,
    /// Its number, from 0. Guest only.
    pub number: AtomicCpu,

    /// Its own time. Two of its fields are the VMM's to write.
    pub time: OwnTime,

    call: [AtomicU64; 3],
    status: AtomicU64,
    /// Its counter as it rang [`Ready`](crate::doorbell::Ring::Ready).
    pub ready_ticks: AtomicU64,
}

impl CpuArea {
    /// The area of a vCPU that has not started.
    #[must_use]
    pub const fn new(cpu: Cpu) -> Self {
        Self {
            this: AtomicU64::new(0),
            number: AtomicCpu::new(cpu),
            time: OwnTime::new(),
            call: [const { AtomicU64::new(0) }; 3],
            status: AtomicU64::new(0),
            ready_ticks: AtomicU64::new(0),
        }
    }

    /// Guest side: puts a call where the VMM looks for it.
    #[inline]
    pub fn set_call(&self, call: Hypercall) {
        for (register, value) in self.call.iter().zip(call.to_registers()) {
            register.store(value, Relaxed);
        }
    }

    /// VMM side: the call; `None` if it makes no sense.
    #[must_use]
    pub fn call(&self) -> Option<Hypercall> {
        let [number, cpu, generation] = [0, 1, 2].map(|at| self.call[at].load(Relaxed));
        Hypercall::from_registers(number, cpu, generation)
    }

    /// VMM side: answers the call.
    pub fn set_status(&self, status: Status) {
        self.status.store(status as u64, Relaxed);
    }

    /// Guest side: the answer.
    #[inline]
    pub fn status(&self) -> Status {
        Status::from_register(self.status.load(Relaxed))
    }
}
