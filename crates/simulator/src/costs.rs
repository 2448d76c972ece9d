//! What things cost in virtual time.
//!
//! The model is coarse on purpose: a cost for each thing that an environment can see, and none for
//! what happens between. What two vCPUs do between two such things happens at one instant, in the
//! order of virtual time.
//!
//! ```text
//!   compute(ns)      ns + lock_step        the atomic that takes or releases the lock ends it
//!   spin_until       until the store       + line_transfer, before the waiter sees it
//!   Joining, Linked  line_transfer         the word's line, the predecessor's line
//!   Joined, Taken    lock_step             the few instructions up to the link, the promotion
//!   a hypercall      half before the host, half before whoever runs next
//!   another vCPU     switch
//!   a poke           poke latency
//! ```
//!
//! There is no topology yet: a line travels as fast between any two pCPUs.

use pvqspin::Point;

/// The cost of everything, in nanoseconds of virtual time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Costs {
    /// One atomic on a line that this pCPU has: lock or unlock, uncontended. Default 10 ns: a
    /// locked instruction takes 18 to 25 cycles (Agner Fog's instruction tables), and some plain
    /// ones stand around it.
    pub lock_step_ns: u32,
    /// Until a store of one pCPU is seen by another that polls the line. Default 60 ns: within
    /// a socket 40 to 100 ns between cores (David, Guerraoui and Trigonakis, 2013, table 2).
    pub line_transfer_ns: u32,
    /// Putting another vCPU on a pCPU. Default 2 µs: what the throw-away models behind the
    /// design assume; KVM's own, with its state to load, is of this order.
    pub switch_ns: u32,
    /// A hypercall, there and back, without a switch. Default 1 µs: 1,344 to 1,376 cycles in the
    /// processor alone (AMD, measured by Michael Roth for KVM in December 2020), about 2,500
    /// with KVM's work.
    pub hypercall_ns: u32,
    /// From one pCPU's poke until another stops what it does. Default 2 µs: an inter-processor
    /// interrupt and the exit that it causes, 1 to 3 µs on current x86 servers.
    pub poke_ns: u32,
}

impl Costs {
    /// Everything is free: for exact arithmetic in tests.
    pub const NONE: Self = Self {
        lock_step_ns: 0,
        line_transfer_ns: 0,
        switch_ns: 0,
        hypercall_ns: 0,
        poke_ns: 0,
    };

    /// What passing a point costs.
    pub(crate) fn of(&self, point: Point) -> u32 {
        match point {
            Point::Joining | Point::Linked => self.line_transfer_ns,
            Point::Joined | Point::Taken => self.lock_step_ns,
            Point::Halting | Point::Released | Point::Fallback => 0,
        }
    }
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            lock_step_ns: 10,
            line_transfer_ns: 60,
            switch_ns: 2_000,
            hypercall_ns: 1_000,
            poke_ns: 2_000,
        }
    }
}
