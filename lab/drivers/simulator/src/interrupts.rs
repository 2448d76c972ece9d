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

use crate::guest_side::InterruptState;
use crate::shared::Shared;

/// How many handlers can run on top of each other: one more than a CPU has nodes for in the
/// format with the most of them.
pub(crate) const LEVELS: usize = 4;

/// How many interrupts a burst has at most.
const BURST: usize = 2 * LEVELS;

/// For how long a CPU is left alone after a burst, of virtual time.
const PAUSE_NS: u64 = 30_000;

impl Shared {
    /// The running vCPU is interrupted, unless it has been too often already.
    pub(crate) fn interrupt(&self) {
        let (Some(handlers), me) = (&self.handlers, self.me()) else {
            return;
        };
        let InterruptState {
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
        me.wait.aside(|| handlers(me.vm, depth));
        me.polls_word.set(polls_word);
        depth_now.set(depth);
        if depth == 0 {
            burst.set(0);
            quiet_until_ns.set(self.now.get() + PAUSE_NS);
        }
    }
}
