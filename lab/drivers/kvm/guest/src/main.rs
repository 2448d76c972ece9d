//! The KVM guest: a freestanding image that runs the workloads on the locks, in a virtual machine.
//!
//! ```text
//!   VMM sets registers, tables, GS base       entry
//!     vCPU 0: heap, workload ─ Ready ─┐
//!     others:                 start ──┴─► work ─► the last one writes the account ─► Done
//! ```
//!
//! The same image runs at CPL 0 and at CPL 3, and on both transports: the boot block says what the
//! hypervisor is. It takes no interrupts but that of a timer that ends a halt, and an exception ends the VM,
//! with its name.
//!
//! | module | what it holds |
//! | --- | --- |
//! | `entry` | the first instructions, and the header of the image |
//! | `start` | from the boot block to the end of the work |
//! | `env` | the environment of locks and workloads, whatever the transport |
//! | `transport` | what a transport is |
//! | `doorbell` | the transport that rings the VMM |
//! | `stock` | the transport that is KVM's own |
//! | `greedy` | a VM that takes what it can |
//! | `timer` | the timer that ends a halt |
//! | `exception` | what must not happen, by its name |
//! | `cpu` | who am I |
//! | `clock` | the time |
//! | `heap` | memory that is never given back |
//! | `memory` | copying and filling, which the compiler expects to be there |
//! | `panic` | the way out |
//! | `trial` | what a VMM tries on itself |

#![cfg_attr(pvq_guest, no_std, no_main)]

#[cfg(pvq_guest)]
mod clock;
#[cfg(pvq_guest)]
mod cpu;
#[cfg(pvq_guest)]
mod doorbell;
#[cfg(pvq_guest)]
mod entry;
#[cfg(pvq_guest)]
mod env;
#[cfg(pvq_guest)]
mod exception;
#[cfg(pvq_guest)]
mod greedy;
#[cfg(pvq_guest)]
mod heap;
#[cfg(pvq_guest)]
mod memory;
#[cfg(pvq_guest)]
mod panic;
#[cfg(pvq_guest)]
mod start;
#[cfg(pvq_guest)]
mod stock;
#[cfg(pvq_guest)]
mod timer;
#[cfg(pvq_guest)]
mod transport;
#[cfg(pvq_guest)]
mod trial;

/// Not built as an image: there is nothing to do.
#[cfg(not(pvq_guest))]
fn main() {
    eprintln!(
        "this is no program for Linux; `cargo xtask guest` builds the image of the KVM guest"
    );
    std::process::exit(2);
}
