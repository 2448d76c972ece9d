//! Loans of the host: what may be lent, given back, or go on at the borrower's own cost.

use crate::config::YieldMode;
use crate::host::Host;
use crate::ids::{Pcpu, VcpuId};
use crate::loan::{self, Next};
use crate::pages::GuestPages;
use crate::state::vcpu::State;
use crate::switch::Queue;

impl<P: GuestPages> Host<P> {
    /// Whether the slice of a pCPU can still be lent from.
    pub(crate) fn can_lend(&self, p: usize) -> bool {
        self.config.yields == YieldMode::Contract
            && self.pcpus[p].epoch == self.policy.epoch()
            && (self.pcpus[p].slice).is_some_and(|slice| slice.can_lend(self.clock))
    }

    /// Runs a waiting vCPU on what is left of the slice on a pCPU. `stays`: whether the current one can
    /// still run. False, and nothing done, if there is nothing left to lend.
    pub(crate) fn lend(&mut self, p: usize, target: VcpuId, stays: bool) -> bool {
        if !self.can_lend(p) || !self.may_run_on(target, p) || !self.may_borrow(target, p) {
            return false;
        }
        let now = self.clock;
        let lent = loan::lend(&mut Queue(self), now, p, target, stays).is_some();
        if lent {
            let is_loan = self.loan(Pcpu::new(p as u32)).is_some();
            self.vcpus[target.index()].stats.loans += u64::from(is_loan);
            self.run_current(p);
        }
        lent
    }

    /// Whether a loan leaves each vCPU that runs over its cap on the slice of one that has no other pCPU: in a
    /// chain of loans it would have to go on at its own cost when another loan of the chain is converted.
    fn may_borrow(&self, target: VcpuId, p: usize) -> bool {
        let state = &self.vcpus[target.index()];
        let mut owner = (self.pcpus[p].slice).map(|slice| slice.owner());
        owner = owner.filter(|owner| {
            let state = self.vcpus[owner.index()].state;
            matches!(state, State::Running(pcpu) if pcpu.index() != p)
        });
        (state.state != State::HeldBack || owner.is_none())
            && state.owns.is_none_or(|q| self.may_convert(q))
    }

    /// The current one has left. If it was on a loan and the owner of the slice waits, the owner
    /// has the rest of it back; otherwise one is picked.
    pub(crate) fn give_back(&mut self, p: usize) {
        let now = self.clock;
        let back = self.config.ordered
            && self.pcpus[p].epoch == self.policy.epoch()
            && (self.pcpus[p].slice).is_some_and(|slice| {
                slice.loan().is_some()
                    && !slice.is_over(now)
                    && self.vcpus[slice.owner().index()].state == State::Waiting
                    && self.may_run_on(slice.owner(), p)
            });
        if back && loan::leave(&mut Queue(self), now, p) != Next::Pick {
            self.run_current(p);
        } else {
            self.fresh_pick(p, None);
        }
    }

    // --- conversion ----------------------------------------------------------------------------

    /// Nothing is queued: a lender that waits for its own slice may as well run here.
    pub(crate) fn free_a_lender(&mut self, p: usize) -> Option<VcpuId> {
        if self.policy.is_strict() {
            return None;
        }
        let lender_on = |q: usize| Some(self.pcpus[q].slice?.owner());
        let (q, lender) = (self.lent.iter())
            .filter_map(|q| Some((q, lender_on(q)?)))
            .find(|&(_, lender)| self.may_run_on(lender, p))?;
        self.convert(q);
        self.is_queued(lender).then_some(lender)
    }

    /// Whether the borrower on a pCPU may go on at its own cost.
    pub(crate) fn may_convert(&self, q: usize) -> bool {
        let borrower = self.pcpus[q].current();
        borrower.is_some_and(|borrower| !self.vcpus[borrower.index()].over_cap)
    }

    /// A borrower goes on at its own cost, as if it were picked; so do the borrowers on slices that those own.
    pub(crate) fn convert(&mut self, q: usize) {
        let Some(borrower) = self.pcpus[q].current() else {
            return;
        };
        let (now, wanted_ns) = (self.clock, self.wanted_ns);
        let mut terms =
            self.with_account(borrower, |policy, _, account| policy.terms(now, account));
        let mut next = Some(borrower);
        while let Some(borrower) = next {
            terms = self.within_cap(borrower, terms);
            self.with_account(borrower, |policy, _, account| {
                policy.picked(account, wanted_ns);
            });
            let owns = self.vcpus[borrower.index()].owns.filter(|&p| p != q);
            next = owns.and_then(|p| self.pcpus[p].current());
        }
        loan::convert(&mut Queue(self), now, q, &terms);
        self.note_lent(q);
    }
}
