//! What is counted outside of the guests' own records: by the host, and by the locks.

use pvqspin::{CpuNodes, Event};
use pvqspin_load::{Hypercalls, Outcome};

/// The counts of one VM, summed over its vCPUs.
///
/// Part of it comes out of a guest's memory and may be anything, so sums wrap.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Halts.
    pub halts: u64,
    /// Kicks.
    pub kicks: u64,
    /// By the number of their status.
    yields: [u64; 4],
    wasted_ns: u64,
    events: [u64; Event::ALL.len()],
}

impl Tally {
    /// Adds directed yields, by the number of the status that came back.
    pub fn add_yields(&mut self, yields: [u64; 4]) {
        for (sum, count) in self.yields.iter_mut().zip(yields) {
            *sum = sum.wrapping_add(count);
        }
    }

    /// Adds a vCPU's own time that it wasted.
    pub fn add_wasted_ns(&mut self, ns: u64) {
        self.wasted_ns = self.wasted_ns.wrapping_add(ns);
    }

    /// Adds the events of a CPU.
    pub fn add_events(&mut self, nodes: &CpuNodes) {
        for (sum, event) in self.events.iter_mut().zip(Event::ALL) {
            let count = nodes.events(event);
            *sum = match event.is_sum() {
                true => sum.wrapping_add(count),
                false => (*sum).max(count),
            };
        }
    }

    /// What came to be since `before`. Maxima are those of the whole run.
    #[must_use]
    pub fn since(mut self, before: &Self) -> Self {
        self.halts = self.halts.wrapping_sub(before.halts);
        self.kicks = self.kicks.wrapping_sub(before.kicks);
        for (now, before) in self.yields.iter_mut().zip(before.yields) {
            *now = now.wrapping_sub(before);
        }
        self.wasted_ns = self.wasted_ns.wrapping_sub(before.wasted_ns);
        for ((now, before), event) in self.events.iter_mut().zip(before.events).zip(Event::ALL) {
            if event.is_sum() {
                *now = now.wrapping_sub(before);
            }
        }
        self
    }

    /// Puts the counts into what the guests know by themselves.
    ///
    /// The guests' own account of what they wasted ends when they return, which may be slices after
    /// the end of the measured time; so that is replaced.
    #[must_use]
    pub fn complete(&self, summary: Outcome) -> Outcome {
        let events = (Event::ALL.iter().zip(self.events))
            .filter(|&(_, count)| count > 0)
            .map(|(event, count)| (event.name(), count));
        Outcome {
            hypercalls: Hypercalls {
                halt: self.halts,
                kick: self.kicks,
                yield_to: self.yields.into_iter().fold(0, u64::saturating_add),
            },
            yields: self.yields.into(),
            events: events.collect(),
            wasted_ns: self.wasted_ns,
            ..summary
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_to_be_is_a_difference_and_a_summary_keeps_the_rest() {
        let mut before = Tally {
            halts: 1,
            kicks: 2,
            ..Tally::default()
        };
        before.add_yields([3, 0, 0, 0]);
        let mut now = before;
        now.kicks += 5;
        now.add_wasted_ns(70);
        now.add_yields([1, 0, 2, 0]);
        let outcome = now.since(&before).complete(Outcome {
            acquisitions: 9,
            ..Outcome::default()
        });
        let calls = outcome.hypercalls;
        assert_eq!((calls.halt, calls.kick, calls.yield_to), (0, 5, 3));
        assert_eq!((outcome.yields.ran, outcome.yields.stale), (1, 2));
        assert_eq!((outcome.wasted_ns, outcome.acquisitions), (70, 9));
    }
}
