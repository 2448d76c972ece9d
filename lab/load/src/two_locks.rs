//! Two locks at once, always in the same order.
//!
//! Definition: 16 accounts with a lock each; a transfer picks two of them, takes the lower one's lock, then
//! the higher one's, and moves a unit of money. A holder may wait here, so waits propagate: a vCPU that
//! waits for the first lock may be held up by a preempted holder of the second.

use alloc::vec::Vec;

use crate::control::Control;
use crate::guest::Guest;
use crate::line::Line;
use crate::record::Record;
use crate::section::Lengths;
use crate::setup::{AnyLock, Setup};
use crate::worker::Worker;
use crate::workload::{Account, Workload, WorkloadId};

/// Accounts.
pub const ACCOUNTS: usize = 16;
/// What is in each of them at first: enough to owe.
pub const BALANCE: u64 = 1 << 32;

/// Accounts, each behind its lock.
#[derive(Debug)]
pub struct TwoLocks<E> {
    accounts: Vec<(AnyLock<E>, Line)>,
    inside: Lengths,
    outside: Lengths,
    seed: u64,
}

impl<E: Guest> TwoLocks<E> {
    pub(crate) fn new(setup: &Setup<'_, E>) -> Self {
        Self {
            accounts: (0..ACCOUNTS)
                .map(|_| (setup.lock(), Line::new(BALANCE)))
                .collect(),
            inside: Lengths::new(setup.config.inside),
            outside: Lengths::new(setup.config.outside),
            seed: setup.config.seed,
        }
    }

    /// All the money that there is.
    #[must_use]
    pub fn money(&self) -> u64 {
        self.accounts.iter().map(|(_, line)| line.value()).sum()
    }
}

impl<E: Guest> Workload for TwoLocks<E> {
    fn run_vcpu(&self, control: &Control, record: &Record) {
        Worker::<E>::measuring_all(self.seed, control, record).work(|worker| {
            let random = worker.random();
            worker.outside(self.outside.draw(random >> Lengths::BITS));
            let from = worker.random_below(ACCOUNTS);
            // Any other one.
            let to = (from + 1 + worker.random_below(ACCOUNTS - 1)) % ACCOUNTS;
            let [(first, _), (second, _)] =
                [from.min(to), from.max(to)].map(|account| &self.accounts[account]);
            let half_ns = self.inside.draw(random) / 2;
            worker.section(first, 0, half_ns, |worker| {
                worker.section(second, 0, half_ns, |worker| {
                    let me = worker.cpu();
                    self.accounts[from].1.change::<E>(me, |money| money - 1);
                    self.accounts[to].1.change::<E>(me, |money| money + 1);
                });
            });
            worker.unit_done();
        });
    }

    fn account(&self) -> Account {
        let locks = self.accounts.iter().map(|(lock, _)| lock);
        Account::new(WorkloadId::TwoLocks, locks, [ACCOUNTS])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_env::{make, run};

    #[test]
    fn a_transfer_takes_two_locks_and_no_money() {
        let accounts = make(WorkloadId::TwoLocks, (1_000, 1_000), TwoLocks::new);
        let record = run(&accounts, 1, 10_000_000);
        assert!(record.units() > 4_000);
        assert_eq!(record.acquisitions(), 2 * record.units());
        assert_eq!(accounts.money(), ACCOUNTS as u64 * BALANCE);
        let moved = |(_, line): &(_, Line)| line.value() != BALANCE;
        assert!(accounts.accounts.iter().any(moved));
        // Each account is one end of one transfer in eight.
        let each = record.acquisitions() / ACCOUNTS as u64;
        for (lock, _) in &accounts.accounts {
            assert!(lock.entered().abs_diff(each) < each / 4);
        }
    }
}
