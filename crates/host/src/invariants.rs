//! What holds after every event, checked in debug builds.
//!
//! 1. A vCPU is in the queue if and only if it could run, has no pCPU, and owns no slice.
//! 2. A vCPU is on one pCPU at most, and that pCPU's slice names it.
//! 3. A vCPU owns one slice at most, and that slice names it as its owner.
//! 4. A pCPU on whose slice a borrower runs while the lender waits is known, so that an idle pCPU finds it; not if
//!    the borrower is over its cap.
//! 5. No pCPU idles without a poke while a vCPU waits in the queue (strict co-scheduling and affinity apart).
//! 6. Under fair and credit no vCPU owes more than five slices: [`LATE_SLICES`](crate::fair::LATE_SLICES) of
//!    one slice, and what it paid in advance.
//!
//! 7. A vCPU is held back by its cap if and only if it could run and is neither queued nor the owner of a slice,
//!    and some pCPU has an event before the first of them may go on. None has used more of its quota than
//!    late timers explain.
//!
//! Large hosts are checked at every thousandth event: a check looks at every vCPU.

use crate::fair::{LATE_SLICES, is_before, span};
use crate::host::Host;
use crate::ids::VcpuId;
use crate::pages::GuestPages;
use crate::state::vcpu::State;

/// Hosts with more vCPUs and pCPUs than this are checked now and then.
const SMALL: usize = 96;

impl<P: GuestPages> Host<P> {
    pub(crate) fn check_invariants(&self) {
        if self.vcpus.len() + self.pcpus.len() > SMALL && !self.events.is_multiple_of(1_000) {
            return;
        }
        let ready = self
            .vcpus
            .iter()
            .filter(|vcpu| vcpu.state == State::Waiting)
            .count();
        debug_assert_eq!(self.ready, ready, "vCPUs that wait");
        self.check_caps();
        (0..self.vcpus.len()).for_each(|vcpu| self.check_vcpu(vcpu));
        (0..self.pcpus.len()).for_each(|p| self.check_pcpu(p));
        if !self.policy.is_strict() && self.queues.restricted().next().is_none() {
            debug_assert!(
                self.queues.len() == 0
                    || self.idle_unpoked.is_empty()
                    || self.poked_idle() >= self.queues.len(),
                "a pCPU idles while vCPUs wait"
            );
        }
    }

    fn poked_idle(&self) -> usize {
        self.idle.len() - self.idle_unpoked.len()
    }

    fn check_vcpu(&self, number: usize) {
        self.check_cap_of(number);
        let vcpu = &self.vcpus[number];
        let id = VcpuId::new(number as u32);
        debug_assert_eq!(
            self.queues.contains(vcpu.class, number),
            self.is_queued(id),
            "{id:?} in the queue: {vcpu:?}"
        );
        if let State::Running(pcpu) = vcpu.state {
            let current = self.pcpus[pcpu.index()].current();
            debug_assert_eq!(current, Some(id), "on {pcpu:?}");
        }
        if let Some(p) = vcpu.owns {
            let owner = self.pcpus[p].slice.map(|slice| slice.owner());
            debug_assert_eq!(owner, Some(id), "the slice on pCPU {p}");
        }
        if let (Some(clock), true) = (self.policy.clock(), vcpu.state.is_active()) {
            let most = span(
                (LATE_SLICES + 2) * self.config.slice_ns,
                vcpu.account.fair.weight,
            );
            let latest = clock.wrapping_add(most);
            debug_assert!(
                !is_before(latest, vcpu.account.fair.vtime),
                "{id:?} owes too much"
            );
        }
    }

    fn check_pcpu(&self, p: usize) {
        let pcpu = &self.pcpus[p];
        debug_assert_eq!(pcpu.shown, pcpu.current(), "pCPU {p}");
        debug_assert_eq!(
            self.idle.contains(p),
            pcpu.slice.is_none() && !pcpu.offline,
            "pCPU {p} idle"
        );
        let Some(slice) = pcpu.slice else {
            debug_assert!(!self.lent.contains(p), "pCPU {p} lends");
            return;
        };
        let owner = &self.vcpus[slice.owner().index()];
        debug_assert_eq!(owner.owns, Some(p), "{:?} owns", slice.owner());
        debug_assert_eq!(
            self.lent.contains(p),
            slice.loan().is_some() && owner.state == State::Waiting && self.may_convert(p),
            "pCPU {p} lends"
        );
    }
}
