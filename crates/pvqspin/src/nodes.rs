//! Queue nodes: one for each CPU and context.
//!
//! A waiter occupies a node only while it waits, so a CPU needs as many as it has contexts that
//! can interrupt each other inside a slow path: task, softirq, hardirq. (A fourth, the NMI, may
//! wait too in the [`SpareBit`](crate::SpareBit) word; in [`Idx3`](crate::Idx3) it falls back.)
//! Linux's queued spinlock lays its nodes out in the same way.
//!
//! ```text
//! CpuNodes, 128-byte aligned
//!   depth                      nodes in use, written by the own CPU only
//!   nodes[0..4]  state         waiting, halted, head
//!                next          who queued behind (the tail bits of its word), or 0
//!                pred          who queued before, a waiter or the sole holder, kept exact by
//!                              those who leave early
//!   -- next line --
//!   waiting_since_us, _s       when the oldest wait began, in microseconds modulo 2^32 and in units
//!                              of 2^20 µs, or 0; it counts for as long as a node is in use
//!   long_holds                 a score: were locks held for long while this CPU was next?
//!   refusals                   a score: has the host lately refused to run the CPU that this one named?
//!   reading                    marks of the reader-writer locks that this CPU reads under
//!   counters                   with the feature of that name
//! ```

use crate::atomic::{AtomicU32, Ordering};
use crate::events::{Counters, Event};
#[cfg(feature = "lockdep")]
use crate::lockdep::held::HeldLocks;
use crate::node::{Node, NodeLook, NodeState, state};
use core::sync::atomic::Ordering::Relaxed;
use pvqspin_abi::Status;

/// The most contexts that a word format may name.
pub(crate) const MAX_CONTEXTS: usize = 4;

/// All that the lock keeps for one CPU. A kernel has an array of them; see [`Env::nodes`].
///
/// [`Env::nodes`]: crate::Env::nodes
///
/// ```
/// use pvqspin::CpuNodes;
///
/// static NODES: [CpuNodes; 64] = [const { CpuNodes::new() }; 64];
/// assert_eq!(NODES[0].in_use(), 0);
/// ```
#[derive(Debug)]
#[repr(C, align(128))]
pub struct CpuNodes {
    /// Always a real atomic: only its CPU writes it, other CPUs read it as advice.
    depth: core::sync::atomic::AtomicU32,
    nodes: [Node; MAX_CONTEXTS],
    /// Keeps what other CPUs poll (above) apart from what only the owner writes often (below).
    own: OwnLine,
}

#[derive(Debug)]
#[repr(C, align(128))]
struct OwnLine {
    waiting_since_us: AtomicU32,
    /// As for the counters, always a real one: the high part would cost loom states and tell it nothing.
    waiting_since_s: core::sync::atomic::AtomicU32,
    long_holds: AtomicU32,
    refusals: AtomicU32,
    reading: AtomicU32,
    counters: Counters,
    #[cfg(feature = "lockdep")]
    held: HeldLocks,
}

impl CpuNodes {
    const_unless_loom! {
        /// The nodes of a CPU that takes part in no queue.
        #[must_use]
        pub fn new() -> Self {
            Self {
                depth: core::sync::atomic::AtomicU32::new(0),
                nodes: [Node::new(), Node::new(), Node::new(), Node::new()],
                own: OwnLine {
                    waiting_since_us: AtomicU32::new(0),
                    waiting_since_s: core::sync::atomic::AtomicU32::new(0),
                    long_holds: AtomicU32::new(0),
                    refusals: AtomicU32::new(0),
                    reading: AtomicU32::new(0),
                    counters: Counters::new(),
                    #[cfg(feature = "lockdep")]
                    held: HeldLocks::new(),
                },
            }
        }
    }

    /// Nodes that are all in use, for ever: a CPU that has them takes locks past every queue.
    #[cfg(all(feature = "std", not(loom)))]
    pub(crate) const fn exhausted() -> Self {
        Self {
            depth: core::sync::atomic::AtomicU32::new(MAX_CONTEXTS as u32),
            ..Self::new()
        }
    }

    /// How many nodes are in use: the slow paths that this CPU is in, one inside the other.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.depth.load(Relaxed) as usize
    }

    /// Forgets every wait and every count.
    ///
    /// For drivers that throw a guest away in the middle of whatever it does, and start another.
    /// No CPU may be in a slow path, nor hold a lock that will be released.
    pub fn reset(&self) {
        self.depth.store(0, Relaxed);
        self.nodes.iter().for_each(Node::reset);
        self.set_waiting_since(None);
        self.own.long_holds.store(0, Ordering::Relaxed);
        self.own.refusals.store(0, Ordering::Relaxed);
        self.own.reading.store(0, Ordering::Relaxed);
        self.own.counters.reset();
        #[cfg(feature = "lockdep")]
        self.own.held.reset();
    }

    /// What this CPU holds.
    #[cfg(feature = "lockdep")]
    pub(crate) fn held(&self) -> &HeldLocks {
        &self.own.held
    }

    /// How often an event happened on this CPU. Always 0 without the feature `counters`.
    #[must_use]
    pub fn events(&self, event: Event) -> u64 {
        self.own.counters.get(event)
    }

    /// Sets the events that are maxima ([`Event::is_sum`] is false) back to 0, for a report of what
    /// happens from now on. Sums need no reset: their values before and after are subtracted.
    ///
    /// If this CPU records a maximum at the same instant, either may win.
    pub fn reset_maxima(&self) {
        self.own.counters.reset_maxima();
    }

    #[inline]
    pub(crate) fn count(&self, event: Event) {
        self.own.counters.add(event);
    }

    #[inline]
    pub(crate) fn record_max(&self, event: Event, value: u32) {
        self.own.counters.max(event, value);
    }

    pub(crate) fn node(&self, context: usize) -> &Node {
        // The mask keeps an index that came out of a damaged word from being a panic.
        &self.nodes[context & (MAX_CONTEXTS - 1)]
    }

    /// Looks at the node of one context from outside, for debuggers and traces. May be stale.
    #[must_use]
    pub fn look(&self, context: usize) -> NodeLook {
        // Relaxed: nothing is done with what is seen but to show it.
        let node = self.node(context);
        NodeLook {
            in_use: context < self.in_use(),
            state: match node.state.load(Ordering::Relaxed) {
                state::HALTED => NodeState::Halted,
                state::HEAD => NodeState::Head,
                _ => NodeState::Waiting,
            },
            next: node.next.load(Ordering::Relaxed),
            pred: node.pred.load(Ordering::Relaxed),
        }
    }

    /// Claims the next free node of this CPU; `None` if `contexts` are in use already.
    pub(crate) fn claim(&self, contexts: usize) -> Option<usize> {
        // Plain load and store: only this CPU writes the depth, and an interrupt between the two
        // puts back what it found. The compiler fence keeps the claim before the node's
        // initialisation, or an interrupt could use the same node while it is half built.
        let context = self.depth.load(Relaxed) as usize;
        if context >= contexts {
            return None;
        }
        self.depth.store(context as u32 + 1, Relaxed);
        crate::atomic::compiler_fence(Ordering::SeqCst);
        self.node(context).reset();
        Some(context)
    }

    /// Gives back the node that was claimed last.
    pub(crate) fn release(&self) {
        crate::atomic::compiler_fence(Ordering::SeqCst);
        let depth = self.depth.load(Relaxed);
        self.depth.store(depth.saturating_sub(1), Relaxed);
    }

    /// How long the oldest wait of this CPU has lasted at `now_ns`, in µs, or `None` while it waits
    /// for nothing. Saturates at `u32::MAX`, after 71 minutes.
    pub(crate) fn waited_us(&self, now_ns: u64) -> Option<u32> {
        let began_us = match self.own.waiting_since_us.load(Ordering::Relaxed) {
            0 => return None,
            began_us => began_us,
        };
        let began_s = self.own.waiting_since_s.load(Relaxed);
        let now_us = now_ns / 1_000;
        let seconds = seconds_of(now_us).wrapping_sub(began_s);
        let micros = (now_us as u32).wrapping_sub(began_us);
        Some(match seconds {
            // The clocks of two CPUs may differ a little: what lies in the future is just
            // beginning.
            _ if seconds > u32::MAX / 2 => 0,
            0 | 1 if micros > u32::MAX / 2 => 0,
            // The low part has not come round.
            0..4_000 => micros,
            4_000.. => u32::MAX,
        })
    }

    /// Whether it is noted when the oldest wait of this CPU began.
    pub(crate) fn knows_waiting_since(&self) -> bool {
        self.own.waiting_since_us.load(Ordering::Relaxed) != 0
    }

    /// What is noted is of a wait that is over.
    pub(crate) fn forget_waiting_since(&self) {
        self.own.waiting_since_us.store(0, Ordering::Relaxed);
    }

    /// Notes when a wait began, on the clock of [`now_ns`](crate::Env::now_ns), or that it is over.
    /// An inner wait changes nothing.
    pub(crate) fn set_waiting_since(&self, began_ns: Option<u64>) {
        let us = began_ns.map(|ns| ns / 1_000);
        // Two parts, for targets without 64-bit atomics. A look between the two stores may find any
        // age, for a moment: it is advice.
        let seconds = us.map_or(0, seconds_of);
        self.own.waiting_since_s.store(seconds, Relaxed);
        let low = us.map_or(0, |us| (us as u32).max(1));
        self.own.waiting_since_us.store(low, Ordering::Relaxed);
    }

    /// Adds a mark to the reader-writer locks that this CPU reads under. Returns what
    /// [`stop_reading`](Self::stop_reading) has to take away: nothing, if the mark was there.
    #[inline]
    pub(crate) fn start_reading(&self, mark: u32) -> u32 {
        // Plain loads and stores, here and below: only this CPU writes, and an interrupt between
        // the two puts back what it found. Relaxed: marks are advice.
        let marks = self.own.reading.load(Ordering::Relaxed);
        self.own.reading.store(marks | mark, Ordering::Relaxed);
        mark & !marks
    }

    /// Takes a mark away.
    #[inline]
    pub(crate) fn stop_reading(&self, mark: u32) {
        let marks = self.own.reading.load(Ordering::Relaxed);
        self.own.reading.store(marks & !mark, Ordering::Relaxed);
    }

    /// Whether this CPU reads under a lock with this mark.
    pub(crate) fn is_reading(&self, mark: u32) -> bool {
        self.own.reading.load(Ordering::Relaxed) & mark != 0
    }

    /// Whether locks were lately held for long while this CPU was next in line.
    pub(crate) fn holds_are_long(&self) -> bool {
        self.own.long_holds.load(Ordering::Relaxed) >= LONG_HOLDS_TO_BELIEVE
    }

    /// Notes whether the head's spin budget ran out under a *running* holder.
    ///
    /// The score climbs by two and falls by one, between 0 and 8: two long holds in a row turn
    /// it, and a handful of short ones turn it back. In the common case (short, score 0) it
    /// writes nothing.
    pub(crate) fn observe_hold(&self, long: bool) {
        let old = self.own.long_holds.load(Ordering::Relaxed);
        let new = if long {
            (old + 2).min(LONG_HOLDS_MAX)
        } else {
            old.saturating_sub(1)
        };
        if new != old {
            self.own.long_holds.store(new, Ordering::Relaxed);
        }
    }

    /// Whether the host has lately refused to run a CPU that this one named.
    pub(crate) fn host_refuses(&self) -> bool {
        self.own.refusals.load(Ordering::Relaxed) != 0
    }

    /// Notes what became of a directed yield.
    ///
    /// One refusal is believed for the next 64 yields that are granted. A host that keeps the
    /// contract never refuses, and there this writes nothing; one that takes hints refuses two
    /// thirds of them at least (round robin 71 %, credit 96 %, fair 99.7 %, in virtual time).
    pub(crate) fn observe_yield(&self, status: Status) {
        let old = self.own.refusals.load(Ordering::Relaxed);
        let new = match status {
            Status::Refused => REFUSAL_BELIEVED_FOR,
            Status::Ran => old.saturating_sub(1),
            Status::AlreadyRunning | Status::Stale => old,
        };
        if new != old {
            self.own.refusals.store(new, Ordering::Relaxed);
        }
    }
}

/// The high part of a time: units of 2^20 µs, about a second, modulo 2^32.
const fn seconds_of(us: u64) -> u32 {
    (us >> 20) as u32
}

const REFUSAL_BELIEVED_FOR: u32 = 64;

const LONG_HOLDS_TO_BELIEVE: u32 = 3;
const LONG_HOLDS_MAX: u32 = 8;

impl Default for CpuNodes {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_wait_has_its_age_however_long_it_lasts() {
        const SECOND: u64 = 1_000_000_000;
        // Whether the low part of the clock is about to come round when it begins, or not.
        for began in [SECOND, 4_294 * SECOND, 1_000_000 * SECOND, u64::MAX / 4] {
            let nodes = CpuNodes::new();
            assert_eq!(nodes.waited_us(began), None);
            nodes.set_waiting_since(Some(began));
            let after = |seconds| nodes.waited_us(began + seconds * SECOND);
            for seconds in [0, 1, 2, 60, 35 * 60, 36 * 60, 4_000] {
                assert_eq!(
                    after(seconds),
                    Some(seconds as u32 * 1_000_000),
                    "{seconds}"
                );
            }
            for seconds in [4_300, 7_200, 86_400, 50 * 365 * 86_400] {
                assert_eq!(after(seconds), Some(u32::MAX), "{seconds}");
            }
            // The clock of another CPU may lag behind.
            for late in [1_000, 1_000_000, SECOND] {
                assert_eq!(nodes.waited_us(began - late), Some(0), "{late}");
            }
            nodes.set_waiting_since(None);
            assert_eq!(nodes.waited_us(began), None);
        }
    }

    #[cfg(feature = "counters")]
    #[test]
    fn maxima_begin_anew_and_sums_go_on() {
        let nodes = CpuNodes::new();
        nodes.count(Event::PassedOver);
        nodes.record_max(Event::LongestBypassUs, 900);
        nodes.reset_maxima();
        assert_eq!(nodes.events(Event::LongestBypassUs), 0);
        nodes.record_max(Event::LongestBypassUs, 300);
        assert_eq!(nodes.events(Event::LongestBypassUs), 300);
        assert_eq!(nodes.events(Event::PassedOver), 1);
    }
}
