//! The transport that rings the VMM: a write to its port leaves the guest, and comes back when
//! this vCPU runs again.

use core::arch::asm;

use pvqspin::{Budget, CpuNodes, Env, Sleep};
use pvqspin_abi::{Cpu, Hint, Hypercall, RunSample, Status};
use pvqspin_kvm_boot::doorbell::{PORT, Ring};
use pvqspin_load::own_time::OwnTime;

use crate::env::GuestEnv;
use crate::transport::Transport;
use crate::{clock, cpu};

/// Rings.
#[inline]
pub(crate) fn ring(ring: Ring) {
    write_port(PORT, ring as u32);
}

/// Writes a word to a port.
#[inline]
pub(crate) fn write_port(port: u16, word: u32) {
    // SAFETY: the VMM grants port access at every CPL. What it does with the word may read and
    // write the areas and pages, so this is no `nomem`.
    unsafe {
        asm!("out dx, eax", in("dx") port, in("eax") word, options(nostack, preserves_flags));
    }
}

/// The contract of `pvqspin-abi`, kept by the VMM.
pub(crate) enum Doorbell {}

impl Doorbell {
    fn call(call: Hypercall) -> Status {
        let area = cpu::area();
        area.set_call(call);
        ring(Ring::Hypercall);
        area.status()
    }
}

impl Env for Doorbell {
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    #[inline(always)]
    fn cpu() -> Cpu {
        cpu::area().number.load()
    }

    #[inline]
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        cpu::nodes(cpu)
    }

    fn spin_until(condition: impl FnMut() -> bool, budget: Budget) -> bool {
        // SAFETY: the area of the vCPU that runs this.
        unsafe { Self::spin_measured(&cpu::area().time, condition, budget) }
    }

    #[inline]
    fn run_sample(cpu: Cpu) -> RunSample {
        cpu::page(cpu).run()
    }

    #[inline]
    fn pressure() -> bool {
        cpu::vm_page().pressure()
    }

    #[inline]
    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        let page = cpu::page(Self::cpu());
        let former = page.waiting_for();
        page.set_waiting_for(cpu);
        former
    }

    #[inline]
    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        cpu::page(cpu).waiting_for()
    }

    #[inline]
    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        cpu::page(cpu).set_waiting_for(to);
    }

    fn yield_to(hint: Hint) -> Status {
        Self::call(Hypercall::YieldTo(hint))
    }

    #[inline]
    fn now_ns() -> u64 {
        clock::now_ns()
    }
}

impl Doorbell {
    fn halt(hint: Option<Hint>) {
        Self::call(Hypercall::Halt(hint));
    }

    fn kick(cpu: Cpu) {
        Self::call(Hypercall::Kick(cpu));
    }
}

impl Transport for Doorbell {
    #[inline]
    unsafe fn spin_measured(
        time: &OwnTime,
        condition: impl FnMut() -> bool,
        budget: Budget,
    ) -> bool {
        // SAFETY: the caller's promise.
        unsafe { time.spin_until::<GuestEnv<Self>>(condition, budget) }
    }
}
