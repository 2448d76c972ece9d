//! The way out: a panic leaves its message in the result area, and the VM ends.

use core::fmt::{Arguments, Write};
use core::panic::PanicInfo;

use pvqspin_kvm_boot::doorbell::Ring;
use pvqspin_kvm_boot::{Layout, Results};

use crate::cpu;
use crate::doorbell::ring;

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    end(format_args!("{info}"))
}

/// Ends the VM with a message.
pub(crate) fn end(why: Arguments<'_>) -> ! {
    // The result area comes first, whatever the number of vCPUs.
    let results: &Results = cpu::place(Layout::new(1).results, 0);
    // Nothing can be done about a message that does not get through.
    let _ = results.message_writer().write_fmt(why);
    loop {
        ring(Ring::Panic);
    }
}
