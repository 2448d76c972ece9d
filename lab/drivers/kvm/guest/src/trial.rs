//! What a VMM tries on itself: what goes wrong on purpose, and what is timed.

use core::arch::asm;

use pvqspin::Sleep;
use pvqspin_kvm_boot::boot::{COMPUTE_TURNS, RINGS, Trial};
use pvqspin_kvm_boot::doorbell::{PORT, Ring};

use crate::clock;
use crate::doorbell::{ring, write_port};
use crate::transport::Transport;
use pvqspin_load::compute;

/// An address of the first page, where no memory is.
const NOWHERE: usize = 0x8;

/// KVM's hypercall that does nothing: "is there an interrupt?", which needs no answer.
const KVM_HC_VAPIC_POLL_IRQ: u64 = 1;

/// Does it. Comes back from those that a guest survives, with the ticks that it took.
pub(crate) fn run<T: Transport>(trial: Trial) -> u64 {
    let began = clock::ticks();
    perform::<T>(trial);
    clock::ticks().wrapping_sub(began)
}

fn perform<T: Transport>(trial: Trial) {
    match trial {
        Trial::Hang => loop {
            core::hint::spin_loop();
        },
        Trial::Undefined => {
            // SAFETY: never comes back.
            unsafe { asm!("ud2", options(noreturn, nomem, nostack)) }
        }
        Trial::NoStack => {
            // SAFETY: never comes back.
            unsafe { asm!("mov rsp, {}", "ud2", in(reg) 1_u64 << 63, options(noreturn)) }
        }
        Trial::Unmapped => {
            // SAFETY: not a read of anything that Rust knows of: the VM ends here.
            unsafe {
                asm!("mov {0}, [{0}]", inout(reg) NOWHERE => _, options(nostack, readonly));
            }
        }
        Trial::BadPort => write_port(PORT + 1, 0),
        Trial::BadRing => write_port(PORT, u32::MAX),
        Trial::Panic => panic!("on purpose"),
        // An area that was never written holds call number 0, which is none.
        Trial::BadCall => ring(Ring::Hypercall),
        Trial::HaltForEver => Sleep::halt::<T>(None),
        Trial::Compute => compute::turns(COMPUTE_TURNS),
        Trial::Rings => (0..RINGS).for_each(|_| ring(Ring::Probe)),
        // SAFETY: the call changes nothing but RAX. `vmcall` is Intel's; KVM on AMD makes `vmmcall`
        // of it in place, which this image's writable pages allow.
        Trial::Hypercall => unsafe {
            asm!("vmcall", inout("rax") KVM_HC_VAPIC_POLL_IRQ => _, options(nostack));
        },
    }
}
