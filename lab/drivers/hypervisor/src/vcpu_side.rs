//! What a vCPU does on its own stack: it starts, calls the hypervisor, and leaves its pCPU.

use core::sync::atomic::{Ordering, Ordering::Relaxed, compiler_fence};

use pvqspin_abi::{Hypercall, Status};

use crate::arena;
use crate::context;
use crate::vcb::{ExitReason, Vcb};

impl Vcb {
    /// Calls the hypervisor.
    pub(crate) fn hypercall(&self, call: Hypercall) -> Status {
        self.close();
        for (register, value) in self.registers.iter().zip(call.to_registers()) {
            register.store(value, Relaxed);
        }
        self.leave(ExitReason::Hypercall);
        let status = Status::from_register(self.status.load(Relaxed));
        self.open();
        status
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
        // SAFETY: everybody who calls this runs on the vCPU's stack and has called `close`; a
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
    body(vcb.cpu);
    vcb.close();
    vcb.leave(ExitReason::Done);
    // No pCPU enters a vCPU that has ended.
    std::process::abort()
}
