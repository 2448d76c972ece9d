//! What things cost in virtual time.
//!
//! The model is coarse on purpose: a cost for each thing that an environment can see, and none for
//! what happens between. What two vCPUs do between two such things happens at one instant, in the
//! order of virtual time.
//!
//! ```text
//!   compute(ns)      ns + atomic           the atomic that takes or releases the lock ends it;
//!                    + transfer            of the lock's word to it, where words travel
//!   spin_until       until the store       + transfer, before the waiter sees it
//!                                          + each poller, for every other one of the same word
//!   Joining, Linked  transfer              the word's line, the predecessor's line
//!   Joined, Taken    atomic                the few instructions up to the link, the promotion
//!   a hypercall      half before the host, half before the next vCPU
//!   another vCPU     switch
//!   a poke           poke latency, and wake-up latency if the pCPU was idle;
//!                    + sending, on the pCPU that pokes
//!   an interruption  by a poke or a slice's end: + interrupt, before any vCPU runs there again
//!   a slice          up to the next tick, where there are ticks
//! ```
//!
//! A transfer costs what the [distance](crate::Topology) between the two pCPUs costs. Profiles
//! ([`Profile`](crate::Profile)) give all of it a name; the defaults here are those of `flat`,
//! where there is one distance and no contention.

use serde::{Deserialize, Serialize};

use crate::topology::{Distance, Topology};

/// The cost of everything, in nanoseconds of virtual time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Costs {
    /// One atomic on a line that this pCPU has: lock or unlock, uncontended. Default 10 ns: a
    /// locked instruction takes 18 to 25 cycles (Agner Fog's instruction tables), and some plain
    /// ones stand around it.
    pub atomic_ns: u32,
    /// Putting another vCPU on a pCPU. Default 2 µs: a switch between threads takes 1.4 µs (3,000
    /// cycles at 2.2 GHz; Laforet and others, FlexGuard, SOSP 2025), and a vCPU
    /// has more state to load.
    pub switch_ns: u32,
    /// A hypercall, there and back, without a switch. Default 1 µs: 1,344 to 1,376 cycles in the
    /// processor alone (AMD, measured by Michael Roth for KVM in December 2020), about 2,500
    /// with KVM's work.
    pub hypercall_ns: u32,
    /// From one pCPU's poke until another stops what it does. Default 2 µs: an inter-processor
    /// interrupt and the exit that it causes, 1 to 3 µs on current x86 servers.
    pub poke_ns: u32,
    /// What a poke costs the pCPU that sends it, before its own guest goes on. Default 0: it writes
    /// to its interrupt controller and goes on. Where a poke is a signal to a thread, the sender is
    /// in the kernel for longer than the receiver (`pvq calibrate` measures it).
    #[serde(default)]
    pub poke_send_ns: u32,
    /// What an interruption costs the pCPU that runs a guest, by a poke or at the end of a slice,
    /// on top of the switch. Default 0: `switch_ns` has it. Where the interruption is a signal,
    /// there is a frame to make and to return from (`pvq calibrate` measures it).
    #[serde(default)]
    pub interrupt_ns: u32,
    /// What comes on top of a poke if the pCPU was idle: leaving its sleep state. Default 0: an
    /// idle pCPU polls. Linux measured 63.6 to 67.6 µs from a kick until the halted vCPU ran, all
    /// in all (commit 45e898b735620); polling for a while saves 5 to 7 µs of it at least
    /// (commit aca6ff29c4063).
    pub wake_ns: u32,
    /// How often a pCPU looks whether a slice is over; 0: it has a timer for that. Default 0.
    /// Without high-resolution preemption Linux rounds a slice up to its tick, 1 or 4 ms.
    pub tick_ns: u32,
    /// What it costs that several pCPUs share a cache line.
    pub line: LineCosts,
}

/// What it costs that several pCPUs share a cache line, in nanoseconds of virtual time.
///
/// The source of the defaults and of the profiles is David, Guerraoui and Trigonakis, "Everything
/// you always wanted to know about synchronization" (SOSP 2013), table 2: a line that another core
/// of the same die has written takes 109 cycles on a Xeon of 2.13 GHz (51 ns) and 81 on an Opteron
/// of 2.1 GHz (39 ns); on the next socket 289 cycles (136 ns) and 172 (82 ns).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LineCosts {
    /// Until a store is seen by the other hardware thread of the same core, or by the same one.
    pub same_core_ns: u32,
    /// By another core of the same socket. Default 60 ns. Without a topology, by any core.
    pub same_socket_ns: u32,
    /// By a core of another socket.
    pub other_socket_ns: u32,
    /// What every *other* pCPU that polls the same word adds to a hand-over. Default 0. Which of
    /// them comes first is drawn by lot: each sees the word up to one such time later.
    ///
    /// All of them fetch the line that the release wrote, and the next owner's atomic waits among
    /// them. 35 ns explain what Linux measured on 80 hardware threads: 3.8 times less with a
    /// test-and-set lock than with a queue, whose waiters poll lines of their own (AIM7 disk on
    /// ext4, Waiman Long, May 2014): 79 pollers make a section of 1 µs 3.8 times as long.
    pub each_poller_ns: u32,
    /// Whether an uncontended lock or unlock waits for the word, too, if another pCPU has touched
    /// it since. Default no.
    pub word_travels: bool,
}

impl LineCosts {
    /// The same between any two pCPUs, and nothing else.
    #[must_use]
    pub const fn flat(ns: u32) -> Self {
        Self {
            same_core_ns: ns,
            same_socket_ns: ns,
            other_socket_ns: ns,
            each_poller_ns: 0,
            word_travels: false,
        }
    }

    /// How long a line takes from one pCPU to another.
    pub(crate) fn transfer(&self, topology: Option<&Topology>, from: usize, to: usize) -> u32 {
        match topology.map(|topology| topology.distance(from, to)) {
            Some(Distance::SameCore) => self.same_core_ns,
            None | Some(Distance::SameSocket) => self.same_socket_ns,
            Some(Distance::OtherSocket) => self.other_socket_ns,
        }
    }
}

impl Costs {
    /// Everything is free: for exact arithmetic in tests.
    pub const NONE: Self = Self {
        atomic_ns: 0,
        switch_ns: 0,
        hypercall_ns: 0,
        poke_ns: 0,
        poke_send_ns: 0,
        interrupt_ns: 0,
        wake_ns: 0,
        tick_ns: 0,
        line: LineCosts::flat(0),
    };

    /// Each cost, by the name that it has in a profile.
    #[must_use]
    pub const fn named(&self) -> [(&'static str, u32); 12] {
        let LineCosts {
            same_core_ns,
            same_socket_ns,
            other_socket_ns,
            each_poller_ns,
            word_travels: _,
        } = self.line;
        [
            ("atomic_ns", self.atomic_ns),
            ("switch_ns", self.switch_ns),
            ("hypercall_ns", self.hypercall_ns),
            ("poke_ns", self.poke_ns),
            ("poke_send_ns", self.poke_send_ns),
            ("interrupt_ns", self.interrupt_ns),
            ("wake_ns", self.wake_ns),
            ("tick_ns", self.tick_ns),
            ("line.same_core_ns", same_core_ns),
            ("line.same_socket_ns", same_socket_ns),
            ("line.other_socket_ns", other_socket_ns),
            ("line.each_poller_ns", each_poller_ns),
        ]
    }

    /// All costs together.
    pub(crate) fn sum_ns(&self) -> u64 {
        self.named().iter().map(|(_, ns)| u64::from(*ns)).sum()
    }

    /// The first instant, from `at` on, at which a pCPU notices that a slice is over.
    pub(crate) fn noticed(&self, at: u64) -> u64 {
        match u64::from(self.tick_ns) {
            0 => at,
            tick => at.checked_next_multiple_of(tick).unwrap_or(at),
        }
    }
}

impl Default for Costs {
    fn default() -> Self {
        Self {
            atomic_ns: 10,
            switch_ns: 2_000,
            hypercall_ns: 1_000,
            poke_ns: 2_000,
            poke_send_ns: 0,
            interrupt_ns: 0,
            wake_ns: 0,
            tick_ns: 0,
            line: LineCosts::flat(60),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn farther_is_dearer_and_without_a_topology_nothing_is_far() {
        let line = LineCosts {
            same_core_ns: 1,
            same_socket_ns: 2,
            other_socket_ns: 3,
            ..LineCosts::flat(0)
        };
        let topology = Topology {
            sockets: 2,
            cores: 2,
            threads: 2,
        };
        let from_3 = |to| line.transfer(Some(&topology), 3, to);
        assert_eq!(
            (0..8).map(from_3).collect::<Vec<_>>(),
            [2, 2, 1, 1, 3, 3, 3, 3]
        );
        assert_eq!(line.transfer(None, 0, 1_000), 2);
    }

    #[test]
    fn a_slice_ends_at_a_tick() {
        let costs = Costs {
            tick_ns: 1_000,
            ..Costs::NONE
        };
        assert_eq!(
            [0, 1, 1_000, 1_001].map(|at| costs.noticed(at)),
            [0, 1_000, 1_000, 2_000]
        );
        assert_eq!(Costs::NONE.noticed(7), 7);
    }
}
