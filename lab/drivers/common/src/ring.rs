//! The latest events, and how many were dropped.

use std::collections::VecDeque;

use crate::TraceEvent;

/// Events in the order in which they were pushed: the latest of them, a fixed number at most.
#[derive(Debug)]
pub struct Ring {
    events: VecDeque<TraceEvent>,
    capacity: usize,
    dropped: u64,
}

impl Ring {
    /// An empty ring. Takes its memory as it fills.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            events: VecDeque::new(),
            capacity,
            dropped: 0,
        }
    }

    /// An empty ring that has dropped so many already: for events that were kept elsewhere before.
    #[must_use]
    pub fn with_dropped(capacity: usize, dropped: u64) -> Self {
        Self {
            dropped,
            ..Self::new(capacity)
        }
    }

    /// An empty ring with its memory taken and touched: for drivers in which a page fault would be
    /// seen.
    #[must_use]
    pub fn touched(capacity: usize) -> Self {
        let blank = TraceEvent {
            at_ns: 0,
            pcpu: None,
            vcpu: None,
            what: crate::What::Idle,
        };
        let mut ring = Self::new(capacity);
        ring.events.resize(capacity, blank);
        ring.events.clear();
        ring
    }

    /// Adds an event; the oldest one goes if there is no room.
    pub fn push(&mut self, event: TraceEvent) {
        if self.events.len() >= self.capacity {
            self.dropped += 1;
            if self.events.pop_front().is_none() {
                return;
            }
        }
        self.events.push_back(event);
    }

    /// How many events had to go.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The last so many, oldest first.
    #[must_use]
    pub fn last(&self, count: usize) -> Vec<TraceEvent> {
        let skipped = self.events.len().saturating_sub(count);
        self.events.iter().skip(skipped).copied().collect()
    }

    /// All that are left, oldest first.
    #[must_use]
    pub fn into_events(self) -> Vec<TraceEvent> {
        self.events.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::What;

    fn event(at_ns: u64) -> TraceEvent {
        TraceEvent {
            at_ns,
            pcpu: None,
            vcpu: None,
            what: What::Idle,
        }
    }

    #[test]
    fn a_full_ring_keeps_the_latest_in_order_and_counts_the_rest() {
        let mut ring = Ring::touched(4);
        (0..10).for_each(|at| ring.push(event(at)));
        assert_eq!(ring.dropped(), 6);
        assert_eq!(ring.last(2), [event(8), event(9)]);
        assert_eq!(ring.into_events(), [6, 7, 8, 9].map(event));
    }

    #[test]
    fn a_ring_without_room_drops_everything() {
        let mut ring = Ring::new(0);
        ring.push(event(1));
        assert_eq!((ring.dropped(), ring.into_events().len()), (1, 0));
    }
}
