//! The events of a run, sorted by time.

use core::fmt;

use crate::ring::Ring;
use crate::{TraceEvent, What};

/// The events of a run, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// The events, sorted by time.
    pub events: Vec<TraceEvent>,
    /// How many there was no room for: the oldest of each ring.
    pub dropped: u64,
    /// From when on nothing is missing. 0 if nothing was dropped.
    pub complete_from_ns: u64,
}

impl Trace {
    /// Puts the rings of a run together. Of events at the same time, those of earlier rings come
    /// first.
    #[must_use]
    pub fn collect(rings: impl IntoIterator<Item = Ring>) -> Self {
        let mut trace = Self::default();
        for ring in rings {
            let dropped = ring.dropped();
            let events = ring.into_events();
            if let Some(first) = events.first().filter(|_| dropped > 0) {
                trace.complete_from_ns = trace.complete_from_ns.max(first.at_ns);
            }
            trace.dropped += dropped;
            trace.events.extend(events);
        }
        trace.events.sort_by_key(|event| event.at_ns);
        trace
    }

    /// The end of the longest wait in the trace, and how long it was in nanoseconds. `None` if
    /// tracing was off, or no vCPU waited.
    #[must_use]
    pub fn longest_wait(&self) -> Option<(&TraceEvent, u64)> {
        let waited = |event: &TraceEvent| match event.what {
            What::LongWait(ns) => Some(ns),
            _ => None,
        };
        (self.events.iter())
            .filter_map(|event| Some((event, waited(event)?)))
            .max_by_key(|&(_, ns)| ns)
    }

    /// What happened from one time to another, both included.
    pub fn between(&self, from_ns: u64, to_ns: u64) -> impl Iterator<Item = &TraceEvent> {
        let start = self.events.partition_point(|event| event.at_ns < from_ns);
        self.events[start..]
            .iter()
            .take_while(move |event| event.at_ns <= to_ns)
    }

    /// The last `count` events.
    #[must_use]
    pub fn last(&self, count: usize) -> Self {
        let skipped = self.events.len().saturating_sub(count);
        Self {
            events: self.events[skipped..].to_vec(),
            dropped: self.dropped + skipped as u64,
            complete_from_ns: self.events.get(skipped).map_or(0, |event| event.at_ns),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events
            .iter()
            .try_for_each(|event| writeln!(f, "{event}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(capacity: usize, events: &[(u64, What)]) -> Ring {
        let mut ring = Ring::new(capacity);
        for &(at_ns, what) in events {
            ring.push(TraceEvent {
                at_ns,
                pcpu: None,
                vcpu: Some(0),
                what,
            });
        }
        ring
    }

    #[test]
    fn rings_are_merged_by_time_and_what_is_missing_is_known() {
        let whole = ring(9, &[(10, What::Enter), (40, What::SliceEnd)]);
        let short = ring(2, &[(5, What::Idle), (20, What::Idle), (30, What::Idle)]);
        let trace = Trace::collect([whole, short]);
        let times: Vec<u64> = trace.events.iter().map(|event| event.at_ns).collect();
        assert_eq!(times, [10, 20, 30, 40]);
        assert_eq!((trace.dropped, trace.complete_from_ns), (1, 20));
        assert_eq!(trace.between(20, 30).count(), 2);
        assert_eq!(trace.last(1).events[0].at_ns, 40);
    }

    #[test]
    fn the_longest_wait_is_found() {
        let waits = [(100, 50), (300, 200), (400, 70)];
        let events = waits.map(|(at, ns)| (at, What::LongWait(ns)));
        let trace = Trace::collect([ring(9, &events)]);
        let (end, ns) = trace.longest_wait().expect("there are waits");
        assert_eq!((end.at_ns, ns), (300, 200));
        assert_eq!(Trace::default().longest_wait(), None);
    }
}
