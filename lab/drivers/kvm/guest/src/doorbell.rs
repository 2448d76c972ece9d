//! The transport that rings the VMM: a write to its port leaves the guest, and comes back when
//! this vCPU runs again.

use core::arch::asm;

use pvqspin_abi::{Cpu, Hint, Hypercall, RunSample, Status};
use pvqspin_kvm_boot::doorbell::{PORT, Ring};

use crate::cpu;
use crate::transport::Transport;

/// Rings.
#[inline]
pub(crate) fn ring(ring: Ring) {
    write_port(PORT, ring as u32);
}

/// Writes a word to a port.
#[inline]
pub(crate) fn write_port(port: u16, word: u32) {
    // SAFETY: the VMM grants port access at every CPL. What it does with the word may read and
    // write the rooms and pages, so this is no `nomem`.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") word, options(nostack, preserves_flags));
    }
}

/// The contract of `pvqspin-abi`, kept by the VMM.
pub(crate) enum Doorbell {}

impl Doorbell {
    fn call(call: Hypercall) -> Status {
        let room = cpu::room();
        room.set_call(call);
        ring(Ring::Hypercall);
        room.status()
    }
}

impl Transport for Doorbell {
    #[inline]
    fn run_sample(cpu: Cpu) -> RunSample {
        cpu::page(cpu).run()
    }

    #[inline]
    fn pressure() -> bool {
        cpu::vm_page().pressure()
    }

    fn halt(hint: Option<Hint>) {
        Self::call(Hypercall::Halt(hint));
    }

    fn kick(cpu: Cpu) {
        Self::call(Hypercall::Kick(cpu));
    }

    fn yield_to(hint: Hint) -> Status {
        Self::call(Hypercall::YieldTo(hint))
    }
}
