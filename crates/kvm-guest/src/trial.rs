//! What goes wrong on purpose, so that the VMM can show that it does no harm.

use core::arch::asm;

use pvqspin_kvm_boot::boot::Trial;
use pvqspin_kvm_boot::doorbell::{PORT, Ring};

use crate::doorbell::{ring, write_port};
use crate::transport::Transport;

/// An address of the first page, where no memory is.
const NOWHERE: usize = 0x8;

/// Does it. Comes back from those that a guest survives.
pub(crate) fn run<T: Transport>(trial: Trial) {
    match trial {
        Trial::Hang => loop {
            core::hint::spin_loop();
        },
        Trial::Undefined => {
            // SAFETY: never comes back.
            unsafe { asm!("ud2", options(noreturn, nomem, nostack)) }
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
        // A room that was never written holds call number 0, which is none.
        Trial::BadCall => ring(Ring::Hypercall),
        Trial::HaltForEver => T::halt(None),
    }
}
