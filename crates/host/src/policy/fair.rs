//! The least virtual time first: [`crate::fair`] as a policy. The default.

use super::{Entry, Policy, whole_slice};
use crate::fair::{Clock, Rules};
use crate::heap::Key;
use crate::loan::{Terms, Waits};
use crate::state::account::Account;

#[derive(Debug)]
pub(crate) struct Fair {
    rules: Rules,
    clock: Clock,
}

impl Fair {
    pub(crate) fn new(rules: Rules) -> Self {
        Self {
            rules,
            clock: Clock::default(),
        }
    }

    /// Settles the account of a vCPU that enters the queue.
    pub(super) fn settle(&mut self, account: &mut Account, entry: &Entry<'_>) {
        let first = !core::mem::replace(&mut account.started, true);
        let (rules, clock, account) = (&self.rules, &self.clock, &mut account.fair);
        match entry.how {
            Waits::Woken if first => rules.start(clock, entry.wanted_ns, account),
            Waits::Woken => rules.wake(clock.vtime, account),
            _ => rules.requeue(clock, account),
        }
    }
}

impl Policy for Fair {
    fn enters(&mut self, account: &mut Account, entry: &Entry<'_>) {
        self.settle(account, entry);
        account.turn = entry.turn;
    }

    fn key(&self, account: &Account) -> Key {
        Key {
            time: account.fair.vtime,
            turn: account.turn,
        }
    }

    fn picked(&mut self, account: &mut Account, wanted_ns: u64) {
        self.clock.picked(&account.fair, wanted_ns);
    }

    fn terms(&mut self, _now: u64, _account: &mut Account) -> Terms {
        whole_slice(&self.rules)
    }

    fn preempts(&self, waiting: &Account, owner: &Account, _ran_ns: u64) -> bool {
        self.rules.preempts(&waiting.fair, &owner.fair)
    }

    fn knows_preemption(&self) -> bool {
        true
    }

    fn clock(&self) -> Option<u64> {
        Some(self.clock.vtime)
    }
}
