//! Credit with boost, as Xen's schedulers are described.
//!
//! Credit burns as a vCPU is charged, the faster the lighter it is; the one with the most credit is next.
//! That is virtual time with the sign reversed, so the rules of [`crate::fair`] are used, and cost a
//! logarithm of the queue where handing out credit in periods would cost a look at every vCPU. What makes
//! it another policy is the *boost*: a vCPU that wakes without debt goes before all others, and takes a pCPU
//! at once from one that has had more, but no sooner than a third of a slice after that one began: as in
//! Xen, a rate limit.

use super::{Entry, Policy, fair::Fair, whole_slice};
use crate::fair::Rules;
use crate::heap::Key;
use crate::loan::{Terms, Waits};
use crate::state::account::Account;

/// A slice is not preempted before so many parts of it have passed.
const RATE_LIMIT: u64 = 3;

#[derive(Debug)]
pub(crate) struct Credit {
    rules: Rules,
    time: Fair,
}

impl Credit {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            time: Fair::new(rules),
        }
    }
}

impl Policy for Credit {
    fn enters(&mut self, account: &mut Account, entry: &Entry<'_>) {
        self.time.settle(account, entry);
        account.boosted =
            entry.how == Waits::Woken && Some(account.fair.vtime) == self.time.clock();
        account.turn = entry.turn;
    }

    fn key(&self, account: &Account) -> Key {
        Key {
            time: account.fair.vtime,
            // Of equals the boosted ones go first, each in its turn.
            turn: account.turn | u64::from(!account.boosted) << 63,
        }
    }

    fn picked(&mut self, account: &mut Account, wanted_ns: u64) {
        account.boosted = false;
        self.time.picked(account, wanted_ns);
    }

    fn terms(&mut self, _now: u64, _account: &mut Account) -> Terms {
        whole_slice(&self.rules)
    }

    fn preempts(&self, waiting: &Account, owner: &Account, ran_ns: u64) -> bool {
        waiting.boosted
            && ran_ns >= self.rules.slice_ns / RATE_LIMIT
            && waiting.fair.is_before(&owner.fair)
    }

    fn knows_preemption(&self) -> bool {
        true
    }

    fn clock(&self) -> Option<u64> {
        self.time.clock()
    }
}
