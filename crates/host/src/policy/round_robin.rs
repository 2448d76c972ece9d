//! A slice each, in turn: the plain rival. It knows no weights and no preemption by waking.
//!
//! A turn is a number, drawn on waking and at a slice's end. What a slice took too much is taken from the
//! owner's next one; a vCPU that lost its slice early keeps its turn, and gets the rest when it comes.

use super::{Entry, Policy, whole_slice};
use crate::fair::{Rules, Sums, is_before, span};
use crate::heap::Key;
use crate::ids::VcpuId;
use crate::loan::{Slice, Terms, Waits, Why};
use crate::state::account::Account;

#[derive(Debug)]
pub(crate) struct RoundRobin {
    rules: Rules,
}

impl RoundRobin {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { rules }
    }

    /// Whether a displaced vCPU keeps its turn: only while at least half a slice is left, which is the
    /// shortest slice. If it had more for each displacement, it could stay ahead of others for ever.
    fn keeps_turn(&self, now: u64, slice: &Slice<VcpuId>) -> bool {
        slice.planned_end().saturating_sub(now) >= self.rules.slice_ns / 2
    }
}

impl Policy for RoundRobin {
    fn enters(&mut self, account: &mut Account, entry: &Entry<'_>) {
        let (first, vtime) = (account.turn == 0, account.fair.vtime);
        let later = |floor: u64| {
            if is_before(vtime, floor) {
                floor
            } else {
                vtime
            }
        };
        let keeps = match entry.how {
            Waits::Displaced => core::mem::take(&mut account.keeps_turn),
            Waits::AfterLoan => true,
            _ => false,
        };
        if first || !keeps {
            account.turn = entry.turn;
            // Virtual time counts only for mere hints. Neither sleep nor unused turns are saved up, but for
            // a slice: or vCPUs that yield early would pass each other pCPUs for ever.
            let slice = match entry.how {
                Waits::Woken => 0,
                _ => span(self.rules.slice_ns, 1),
            };
            let floor = entry
                .sums
                .and_then(Sums::average)
                .map(|average| average.wrapping_sub(slice));
            account.fair.vtime = floor.map_or(vtime, later);
        }
    }

    fn key(&self, account: &Account) -> Key {
        Key {
            time: 0,
            turn: account.turn,
        }
    }

    fn picked(&mut self, _account: &mut Account, _wanted_ns: u64) {}

    fn terms(&mut self, _now: u64, account: &mut Account) -> Terms {
        let whole = whole_slice(&self.rules);
        // At least half a slice; the rest of a debt is paid later.
        let pays = account.owed_ns.min(whole.slice_ns / 2);
        account.owed_ns -= pays;
        Terms {
            slice_ns: whole.slice_ns - pays,
            ..whole
        }
    }

    fn ended(&mut self, account: &mut Account, now: u64, slice: &Slice<VcpuId>, why: Option<Why>) {
        let overrun = now.saturating_sub(slice.planned_end());
        let early = why == Some(Why::Displaced) && slice.loan().is_none() && overrun == 0;
        account.keeps_turn = early && self.keeps_turn(now, slice);
        if !account.keeps_turn {
            // Also of an owner that borrows elsewhere now: it may not come back with its old turn.
            account.turn = 0;
        }
        let more = if account.keeps_turn {
            let left = slice.planned_end() - now;
            self.rules.slice_ns.saturating_sub(left)
        } else {
            overrun
        };
        let most = 2 * self.rules.slice_ns;
        account.owed_ns = account.owed_ns.saturating_add(more).min(most);
    }

    fn weight(&self, _of_vm: u32) -> u32 {
        1
    }
}
