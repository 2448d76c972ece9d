//! Interrupts of interrupts: handlers that take locks, on top of whatever their CPU was doing.
//!
//! ```text
//!   task       lock 0: waits ....                                  takes it
//!   interrupt        |   lock 1: waits ....            releases it  |
//!   another          |         |   lock 2: ....  releases it  |
//! ```
//!
//! Each level has a lock of its own in each VM, so handlers never wait for what they interrupted.
//! Enough levels use up the queue nodes of a CPU, and what comes next has to do without one.
//!
//! They come in bursts of so many at most, with a pause in between: a CPU that is interrupted in
//! every handler would never get back to its task.

use core::cell::Cell;

use pvqspin_load::Guest;
use pvqspin_rivals::Lock;

use crate::guest_env::SimEnv;
use crate::stage::{Stage, stage};

/// How many handlers can run on top of each other: one more than a CPU has nodes for in the
/// format with the most of them.
const LEVELS: usize = 4;

/// How long a handler holds its lock.
const HANDLER_NS: u32 = 2_000;

/// How many interrupts a burst has at most.
const BURST: usize = 2 * LEVELS;

/// For how long a CPU is left alone after a burst, of virtual time.
const PAUSE_NS: u64 = 30_000;

/// Where the interrupts of a vCPU stand.
#[derive(Default)]
pub(crate) struct Interrupts {
    /// How many handlers run on top of each other.
    pub(crate) depth: Cell<usize>,
    /// How many came in this burst.
    burst: Cell<usize>,
    /// No earlier than then begins the next one.
    quiet_until_ns: Cell<u64>,
}

/// The handlers of all VMs.
pub(crate) struct Storm {
    handle: Box<dyn Fn(usize, usize)>,
}

/// The lock of one level.
struct Level<L> {
    lock: L,
    inside: Cell<bool>,
}

impl Storm {
    /// Handlers with locks of one type, for so many VMs of so many vCPUs.
    pub(crate) fn new<L: Lock<SimEnv>>(vms: usize, vcpus: usize) -> Self {
        let level = |_| Level {
            lock: L::new(vcpus),
            inside: Cell::new(false),
        };
        let levels: Vec<Level<L>> = (0..vms * LEVELS).map(level).collect();
        Self {
            handle: Box::new(move |vm, depth| levels[vm * LEVELS + depth].handle()),
        }
    }
}

impl<L: Lock<SimEnv>> Level<L> {
    fn handle(&self) {
        let token = self.lock.lock();
        if self.inside.replace(true) {
            let crowded = &stage().crowded;
            crowded.set(crowded.get() + 1);
        }
        SimEnv::compute(HANDLER_NS);
        self.inside.set(false);
        // SAFETY: this vCPU took the lock above, and the token is what it got.
        unsafe { self.lock.unlock(token) };
    }
}

impl Stage {
    /// The running vCPU is interrupted, unless it has been too often already.
    pub(crate) fn interrupt(&self) {
        let (Some(storm), me) = (&self.storm, self.me()) else {
            return;
        };
        let Interrupts {
            depth: depth_now,
            burst,
            quiet_until_ns,
        } = &me.interrupts;
        let depth = depth_now.get();
        let may_come = if depth == 0 {
            self.vms[me.vm].locks && self.now.get() >= quiet_until_ns.get()
        } else {
            depth < LEVELS && burst.get() < BURST
        };
        if !may_come {
            return;
        }
        burst.set(burst.get() + 1);
        depth_now.set(depth + 1);
        let polls_word = me.polls_word.get();
        me.wait.aside(|| (storm.handle)(me.vm, depth));
        me.polls_word.set(polls_word);
        depth_now.set(depth);
        if depth == 0 {
            burst.set(0);
            quiet_until_ns.set(self.now.get() + PAUSE_NS);
        }
    }
}
