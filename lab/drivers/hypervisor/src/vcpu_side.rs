//! What a vCPU does on its own stack: it starts, calls the hypervisor, and leaves its pCPU.

use core::sync::atomic::{Ordering, Ordering::Relaxed, compiler_fence};

use pvqspin_abi::discovery::{Features, Page, discover, register};
use pvqspin_abi::{Cpu, Hypercall, Status};

use crate::arena;
use crate::context;
use crate::vcb::{ExitReason, Vcb};

impl Vcb {
    /// Calls the hypervisor.
    pub(crate) fn hypercall(&self, call: Hypercall) -> Status {
        Status::from_register(self.call(call.to_registers()))
    }

    pub(crate) fn call(&self, registers: [u64; 3]) -> u64 {
        self.close();
        for (register, value) in self.registers.iter().zip(registers) {
            register.store(value, Relaxed);
        }
        self.leave(ExitReason::Hypercall);
        let answer = self.status.load(Relaxed);
        self.open();
        answer
    }

    /// Asks what the hypervisor offers, and says where the pages are: each vCPU its own, the first one the VM's.
    fn introduce(&self) {
        let offer = discover(|registers| self.call(registers));
        let features = offer.map_or(Features::NONE, |offer| offer.features);
        self.offered.store(features.bits(), Relaxed);
        if !features.has(Features::REGISTRATION) {
            return;
        }
        let tell = |page, address| register(|registers| self.call(registers), page, address);
        let own = core::ptr::from_ref(self.memory.page(self.cpu)) as u64;
        tell(Page::Vcpu(self.cpu), own);
        if self.cpu == Cpu::ZERO {
            tell(Page::Vm, core::ptr::from_ref(self.memory.vm_page()) as u64);
        }
    }

    /// Loses its pCPU here, as if its slice had ended.
    pub(crate) fn lose_pcpu(&self, reason: ExitReason) {
        self.close();
        self.leave(reason);
        self.open();
    }

    /// From here on no signal takes it off.
    fn close(&self) {
        self.in_hypervisor.store(true, Relaxed);
        // Pairs with nothing but the handler on this very stack: the flag is up before anything
        // that must not be interrupted.
        compiler_fence(Ordering::SeqCst);
    }

    /// Ends [`close`](Self::close).
    fn open(&self) {
        compiler_fence(Ordering::SeqCst);
        self.in_hypervisor.store(false, Relaxed);
    }

    fn leave(&self, reason: ExitReason) {
        self.exit.store(reason as u32, Relaxed);
        // SAFETY: each caller runs on the vCPU's stack and has called `close`; a
        // vCPU's stack is in use only between `enter` and `leave`.
        unsafe { context::leave(self) }
    }
}

/// Where every vCPU starts: `context::prepare` puts it on its stack.
///
/// `extern "C"`, so that a panic in guest code ends the process here; it could not unwind past
/// the end of the stack.
pub(crate) extern "C" fn vcpu_main() -> ! {
    // SAFETY: a vCPU's stack is where this function is first, and only, called.
    let vcb = unsafe { arena::current_unchecked() };
    // SAFETY: `session` keeps the body alive until no vCPU is in guest mode any more.
    let body = unsafe { &*vcb.body };
    vcb.open();
    vcb.introduce();
    body(vcb.cpu);
    vcb.close();
    vcb.leave(ExitReason::Done);
    // No pCPU enters a vCPU that has ended.
    std::process::abort()
}
