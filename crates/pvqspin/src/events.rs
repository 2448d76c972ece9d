//! What the slow path did, counted per CPU.
//!
//! The counters stand in the CPU's own cache lines and are written by that CPU alone, so counting
//! shares nothing. Without the feature `counters` they take no room and no time. Names follow
//! Linux's `lock_event_counts` where it has one; it has none for yields, nor for bypass.

/// Something that the slow path does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(usize)]
pub enum Event {
    /// Entered the slow path.
    SlowPath,
    /// Took the lock through the pending bit, without a node (native only).
    Pending,
    /// Joined the queue.
    Queued,
    /// Halted as a waiter in the queue.
    HaltInQueue,
    /// Halted as the head of the queue.
    HaltAtHead,
    /// Woke from a halt and had to wait on.
    SpuriousWake,
    /// Kicked the head: at a release, or earlier so that it stands ready.
    Kick,
    /// Yielded to the predecessor in the queue.
    YieldToPredecessor,
    /// Yielded to the holder.
    YieldToHolder,
    /// Yielded to the head of the queue after a release.
    YieldToHead,
    /// Yielded to a waiter that had not linked itself yet.
    YieldToUnlinked,
    /// Yielded to a reader of a reader-writer lock.
    YieldToReader,
    /// A yield put its target on a pCPU.
    YieldRan,
    /// A yield came too late: the target had run since.
    YieldStale,
    /// A yield was not needed: the target, or the CPU that it waited for, was running.
    YieldAlreadyRunning,
    /// A yield that the host refused.
    YieldRefused,
    /// Took the lock past a preempted head.
    PassedOver,
    /// Of those: past its bound. The host refused to run the head, or could not be asked.
    PassedOverRefused,
    /// Kept from passing over, because the oldest wait had reached its bound.
    Closed,
    /// How long the oldest wait was that was passed over within its bound, in microseconds: a maximum. What
    /// the host refused to run may be older: see [`PassedOverRefused`](Self::PassedOverRefused).
    LongestBypassUs,
    /// All nodes of this CPU were in use: took the lock through the fallback.
    NodeExhausted,
    /// A reader-writer lock had so many readers that there was no room for another: guards were
    /// forgotten, most likely.
    ReadersExhausted,
}

impl Event {
    /// Every event, in the order of their declaration.
    pub const ALL: [Self; 22] = [
        Self::SlowPath,
        Self::Pending,
        Self::Queued,
        Self::HaltInQueue,
        Self::HaltAtHead,
        Self::SpuriousWake,
        Self::Kick,
        Self::YieldToPredecessor,
        Self::YieldToHolder,
        Self::YieldToHead,
        Self::YieldToUnlinked,
        Self::YieldToReader,
        Self::YieldRan,
        Self::YieldStale,
        Self::YieldAlreadyRunning,
        Self::YieldRefused,
        Self::PassedOver,
        Self::PassedOverRefused,
        Self::Closed,
        Self::LongestBypassUs,
        Self::NodeExhausted,
        Self::ReadersExhausted,
    ];

    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::SlowPath => "slow_path",
            Self::Pending => "pending",
            Self::Queued => "queued",
            Self::HaltInQueue => "halt_in_queue",
            Self::HaltAtHead => "halt_at_head",
            Self::SpuriousWake => "spurious_wake",
            Self::Kick => "kick",
            Self::YieldToPredecessor => "yield_to_predecessor",
            Self::YieldToHolder => "yield_to_holder",
            Self::YieldToHead => "yield_to_head",
            Self::YieldToUnlinked => "yield_to_unlinked",
            Self::YieldToReader => "yield_to_reader",
            Self::YieldRan => "yield_ran",
            Self::YieldStale => "yield_stale",
            Self::YieldAlreadyRunning => "yield_already_running",
            Self::YieldRefused => "yield_refused",
            Self::PassedOver => "passed_over",
            Self::PassedOverRefused => "passed_over_refused",
            Self::Closed => "closed",
            Self::LongestBypassUs => "longest_bypass_us",
            Self::NodeExhausted => "node_exhausted",
            Self::ReadersExhausted => "readers_exhausted",
        }
    }

    /// Whether the counts of several CPUs add up; if not, their maximum is what counts.
    #[must_use]
    pub const fn is_sum(self) -> bool {
        !matches!(self, Self::LongestBypassUs)
    }
}

#[cfg(feature = "counters")]
mod counters {
    use super::Event;
    // Counters tell loom nothing, and would cost it states: always the real atomics.
    // As wide as the target has them: on 32-bit ones a count wraps at 2^32.
    use core::sync::atomic::{AtomicUsize, Ordering::Relaxed};

    #[derive(Debug)]
    #[repr(transparent)]
    pub(crate) struct Counters([AtomicUsize; Event::ALL.len()]);

    impl Counters {
        pub(crate) const fn new() -> Self {
            Self([const { AtomicUsize::new(0) }; Event::ALL.len()])
        }

        pub(crate) fn reset(&self) {
            self.0.iter().for_each(|count| count.store(0, Relaxed));
        }

        pub(crate) fn reset_maxima(&self) {
            for (event, count) in Event::ALL.iter().zip(&self.0) {
                if !event.is_sum() {
                    count.store(0, Relaxed);
                }
            }
        }

        pub(crate) fn get(&self, event: Event) -> u64 {
            self.0[event as usize].load(Relaxed) as u64
        }

        // Load and store instead of one atomic step: a single CPU writes. An interrupt between
        // the two may lose a count, which a counter can bear and a fast path could not.
        pub(crate) fn add(&self, event: Event) {
            let count = &self.0[event as usize];
            count.store(count.load(Relaxed).wrapping_add(1), Relaxed);
        }

        pub(crate) fn max(&self, event: Event, value: u32) {
            let count = &self.0[event as usize];
            if count.load(Relaxed) < value as usize {
                count.store(value as usize, Relaxed);
            }
        }
    }
}

#[cfg(not(feature = "counters"))]
mod counters {
    use super::Event;

    #[derive(Debug)]
    pub(crate) struct Counters;

    impl Counters {
        pub(crate) const fn new() -> Self {
            Self
        }
        pub(crate) fn reset(&self) {}
        pub(crate) fn reset_maxima(&self) {}
        pub(crate) fn get(&self, _event: Event) -> u64 {
            0
        }
        pub(crate) fn add(&self, _event: Event) {}
        pub(crate) fn max(&self, _event: Event, _value: u32) {}
    }
}

pub(crate) use counters::Counters;
