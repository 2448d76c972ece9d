//! What a vCPU may use at most, what it has used, and those that have used it up: data of `cap`.

use crate::heap::Heap;
use crate::ids::VcpuId;

/// At most `quota_ns` of pCPU time in `period_ns`.
///
/// Periods follow each other from the instant at which the cap was set, so that in any stretch of time a vCPU is
/// charged at most `quota_ns * (stretch / period_ns + 2)`, and one shortest loan. What a loan that began late,
/// or a late timer, makes it use too much, it lacks later. Nothing is saved up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Cap {
    /// pCPU time, in nanoseconds: at least 10 µs and the shortest loan, at most a period.
    pub quota_ns: u64,
    /// In nanoseconds, at most [`MAX_SLICE_NS`](crate::MAX_SLICE_NS).
    pub period_ns: u64,
}

/// What a vCPU has used of its cap.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Budget {
    cap: Option<Cap>,
    /// When the present period began.
    since: u64,
    used_ns: u64,
    /// How much of the present slice is in that.
    of_slice_ns: u64,
}

impl Budget {
    /// Nothing of this cap is used.
    pub(crate) const fn new(cap: Option<Cap>, now: u64) -> Self {
        Self {
            cap,
            since: now,
            used_ns: 0,
            of_slice_ns: 0,
        }
    }

    /// The cap, and what is used of its quota.
    #[cfg(debug_assertions)]
    pub(crate) fn used(&self) -> Option<(Cap, u64)> {
        Some((self.cap?, self.used_ns))
    }

    /// Whether there is a cap.
    #[inline]
    pub(crate) const fn is_limited(&self) -> bool {
        self.cap.is_some()
    }

    /// Counts for the cap, if there is one: at most so much of one slice, as on a machine that stood still.
    #[inline]
    pub(crate) fn charge(&mut self, ns: u64, most_ns: u64) {
        if self.is_limited() {
            let counts = ns.min(most_ns.saturating_sub(self.of_slice_ns));
            self.of_slice_ns += counts;
            self.used_ns = self.used_ns.saturating_add(counts);
        }
    }

    /// A slice begins.
    pub(crate) const fn begin(&mut self) {
        self.of_slice_ns = 0;
    }

    /// What is left now, in nanoseconds; `None`: no cap.
    pub(crate) fn left_ns(&mut self, now: u64) -> Option<u64> {
        let cap = self.cap?;
        let periods = now.saturating_sub(self.since) / cap.period_ns;
        if periods > 0 {
            self.used_ns = (self.used_ns).saturating_sub(periods.saturating_mul(cap.quota_ns));
            self.since += periods * cap.period_ns;
        }
        Some(cap.quota_ns.saturating_sub(self.used_ns))
    }

    /// When so much is left again, if it is not now.
    pub(crate) fn lacks_until(&mut self, now: u64, need_ns: u64) -> Option<u64> {
        if self.left_ns(now)? >= need_ns {
            return None;
        }
        let cap = self.cap?;
        let too_much = (self.used_ns.saturating_add(need_ns)).saturating_sub(cap.quota_ns);
        let periods = too_much.div_ceil(cap.quota_ns);
        Some(
            self.since
                .saturating_add(periods.saturating_mul(cap.period_ns)),
        )
    }
}

/// The pCPU that has an event before the first of those that are held back may go on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keeper {
    pub(crate) pcpu: usize,
    pub(crate) at: u64,
}

/// The vCPUs that are held back.
#[derive(Debug, Default)]
pub(crate) struct HeldBack {
    pub(crate) heap: Heap,
    pub(crate) keeper: Option<Keeper>,
}

impl HeldBack {
    pub(crate) fn make_room(&mut self, size: usize) {
        self.heap.make_room(size);
    }

    /// Whether none is held back.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.heap.len() == 0
    }

    pub(crate) fn first(&self) -> Option<(u64, VcpuId)> {
        let (key, vcpu) = self.heap.first()?;
        Some((key.time, VcpuId::new(vcpu as u32)))
    }

    /// Whether the keeper's next event comes too late.
    pub(crate) fn needs_keeper(&self) -> bool {
        self.first()
            .is_some_and(|(due, _)| self.keeper.is_none_or(|keeper| keeper.at > due))
    }

    /// A pCPU goes away, and keeps no time.
    pub(crate) fn forget(&mut self, p: usize) {
        self.keeper = self.keeper.filter(|keeper| keeper.pcpu != p);
    }

    #[cfg(debug_assertions)]
    pub(crate) fn contains(&self, vcpu: usize) -> bool {
        self.heap.contains(vcpu)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_too_much_is_lacking_later() {
        let cap = Cap {
            quota_ns: 30,
            period_ns: 100,
        };
        let mut budget = Budget::new(Some(cap), 0);
        assert_eq!(budget.left_ns(1_000), Some(30));
        budget.charge(20, 1_000);
        assert_eq!(budget.left_ns(1_050), Some(10));
        assert_eq!(budget.lacks_until(1_050, 10), None);
        assert_eq!(budget.lacks_until(1_050, 11), Some(1_100));
        budget.charge(75, 1_000);
        assert_eq!(budget.left_ns(1_060), Some(0));
        assert_eq!(budget.lacks_until(1_060, 10), Some(1_300));
        assert_eq!(budget.lacks_until(1_299, 10), Some(1_300));
        assert_eq!(budget.lacks_until(1_300, 10), None);
        assert_eq!(budget.left_ns(1_300), Some(25));
        // Nothing is saved up.
        assert_eq!(budget.left_ns(5_055), Some(30));
        budget.charge(30, 1_000);
        assert_eq!(budget.lacks_until(5_056, 10), Some(5_100));
    }
}
