//! Interrupt handlers with locks of their own: one lock for each level in each VM.

use core::cell::Cell;

use pvqspin_load::Guest;
use pvqspin_rivals::Lock;

use crate::guest_env::SimEnv;
use crate::interrupts::LEVELS;
use crate::shared::{Handlers, shared};

/// How long a handler holds its lock.
const HANDLER_NS: u32 = 2_000;

/// Handlers with locks of one type, for so many VMs of so many vCPUs.
pub(crate) fn handlers<L: Lock<SimEnv>>(vms: usize, vcpus: usize) -> Handlers {
    let level = |_| Level {
        lock: L::new(vcpus),
        inside: Cell::new(false),
    };
    let levels: Vec<Level<L>> = (0..vms * LEVELS).map(level).collect();
    Box::new(move |vm, depth| levels[vm * LEVELS + depth].handle())
}

/// The lock of one level.
struct Level<L> {
    lock: L,
    inside: Cell<bool>,
}

impl<L: Lock<SimEnv>> Level<L> {
    fn handle(&self) {
        let token = self.lock.lock();
        if self.inside.replace(true) {
            let crowded = &shared().crowded;
            crowded.set(crowded.get() + 1);
        }
        SimEnv::compute(HANDLER_NS);
        self.inside.set(false);
        // SAFETY: this vCPU took the lock above, and the token is what it got.
        unsafe { self.lock.unlock(token) };
    }
}
