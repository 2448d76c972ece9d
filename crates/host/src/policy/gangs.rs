//! Strict co-scheduling: gangs that own all pCPUs together.
//!
//! ```text
//!           gang 0 of vm0      gang 1 of vm0      gang of vm1
//!   pcpu0   vcpu0              vcpu2              vcpu3
//!   pcpu1   vcpu1              (idle)             vcpu4
//! ```
//!
//! A gang is a run of at most as many neighbouring vCPUs of one VM as there are pCPUs. The first
//! pCPU that finds the gang's slice over, or all of it asleep, chooses the next gang and pokes
//! the others. A pCPU with nothing to do in a gang stays idle, whatever waits: that is what makes
//! it strict. Gangs take turns by weighted time, so weights hold for gangs as they do for vCPUs.
//!
//! A switch costs a logarithm of the gangs, and a pick a look at the members of one gang.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::ops::Range;

use super::{Entry, Pick, Policy, View};
use crate::fair::{self, Clock, LATE_SLICES, Rules, Sums, is_before};
use crate::heap::{Heap, Key};
use crate::ids::VcpuId;
use crate::loan::{Terms, Waits};
use crate::state::account::Account;
use crate::state::vcpu::State;

#[derive(Debug)]
struct Gang {
    members: Range<usize>,
    /// Members that have not been removed: none, and its number may be used again.
    left: usize,
    /// How many members run or wait.
    active: usize,
    account: fair::Account,
    started: bool,
}

/// All gangs, and whose turn it is.
#[derive(Debug)]
pub(crate) struct Gangs {
    rules: Rules,
    size: usize,
    list: Vec<Gang>,
    /// Gangs that want a turn, but for the one that has it.
    waiting: Heap,
    turns: u64,
    clock: Clock,
    on: Option<usize>,
    since: u64,
    end: u64,
    epoch: u64,
}

impl Gangs {
    pub(crate) fn new(rules: Rules, pcpus: usize) -> Self {
        Self {
            rules,
            size: pcpus,
            list: Vec::new(),
            waiting: Heap::default(),
            turns: 0,
            clock: Clock::default(),
            on: None,
            since: 0,
            end: 0,
            epoch: 0,
        }
    }

    /// The gang whose turn it is, unless all of it sleeps.
    fn awake(&self) -> Option<usize> {
        self.on.filter(|&gang| self.list[gang].active > 0)
    }

    fn enqueue(&mut self, gang: usize) {
        self.turns += 1;
        let key = Key {
            time: self.list[gang].account.vtime,
            turn: self.turns,
        };
        self.waiting.insert(gang, key);
    }

    /// Chooses again if the turn is over. Returns whether another gang is on now.
    fn rotate(&mut self, now: u64) -> bool {
        // At the end of time no turn ends, or all pCPUs would poke each other for ever.
        if self.awake().is_some() && (now < self.end || now == u64::MAX) {
            return false;
        }
        let before = self.on.take();
        if let Some(gang) = before {
            let ran = now.saturating_sub(self.since);
            let state = &mut self.list[gang];
            state
                .account
                .charge(ran.min(LATE_SLICES * self.rules.slice_ns));
            self.rules.requeue(&self.clock, &mut state.account);
            if state.active > 0 {
                self.enqueue(gang);
            }
        }
        self.since = now;
        let Some((_, next)) = self.waiting.first() else {
            return false;
        };
        self.waiting.remove(next);
        self.end = now.saturating_add(self.rules.slice_ns);
        self.clock.picked(&self.list[next].account, 0);
        let switched = before != Some(next);
        self.on = Some(next);
        self.epoch += u64::from(switched);
        switched
    }

    fn waiting_members<'a>(
        &'a self,
        gang: usize,
        view: &'a View<'_>,
    ) -> impl Iterator<Item = usize> + 'a {
        let members = self.list[gang].members.clone();
        members.filter(|&vcpu| is_queued(vcpu, view))
    }
}

fn is_queued(vcpu: usize, view: &View<'_>) -> bool {
    let vcpu = &view.vcpus[vcpu];
    vcpu.state == State::Waiting && vcpu.owns.is_none()
}

impl Policy for Gangs {
    fn enters(&mut self, account: &mut Account, entry: &Entry<'_>) {
        if matches!(entry.how, Waits::Woken | Waits::AfterSlice) || account.turn == 0 {
            account.turn = entry.turn;
        }
        if let (Waits::Woken, Some(average)) = (entry.how, entry.sums.and_then(Sums::average))
            && is_before(account.fair.vtime, average)
        {
            account.fair.vtime = average;
        }
    }

    fn key(&self, account: &Account) -> Key {
        Key {
            time: 0,
            turn: account.turn,
        }
    }

    fn pick(&mut self, pcpu: usize, view: &View<'_>) -> Pick {
        let switched = self.rotate(view.now);
        let vcpu = self.on.and_then(|gang| {
            let mut waiting = self.waiting_members(gang, view);
            if !view.all_online {
                // Too few pCPUs for all: by turns, or members whose pCPU is gone would never run.
                return waiting.min_by_key(|&vcpu| view.vcpus[vcpu].account.turn);
            }
            // Each member has a pCPU of its own if it can, so that it finds its cache warm.
            let own = self.list[gang].members.clone().nth(pcpu);
            own.filter(|&own| is_queued(own, view))
                .or_else(|| waiting.next())
        });
        Pick {
            vcpu: vcpu.map(|vcpu| VcpuId::new(vcpu as u32)),
            switched,
        }
    }

    fn picked(&mut self, _account: &mut Account, _wanted_ns: u64) {}

    fn terms(&mut self, now: u64, _account: &mut Account) -> Terms {
        Terms {
            slice_ns: self.end.saturating_sub(now),
            // No loan may hold up the whole gang's switch.
            min_loan_ns: 0,
            most_charged_ns: LATE_SLICES * self.rules.slice_ns,
        }
    }

    fn add_vm(&mut self, vcpus: Range<usize>, weight: u32) -> Box<dyn Iterator<Item = usize>> {
        let mut gangs = Vec::with_capacity(vcpus.len());
        let mut at = vcpus.start;
        while at < vcpus.end {
            let members = at..vcpus.end.min(at + self.size);
            at = members.end;
            let gang = Gang {
                left: members.len(),
                members: members.clone(),
                active: 0,
                account: fair::Account::new(weight),
                started: false,
            };
            let is_free = |gang: &Gang| gang.left == 0;
            let number = self
                .list
                .iter()
                .position(is_free)
                .unwrap_or(self.list.len());
            if number == self.list.len() {
                self.list.push(gang);
                self.waiting.make_room(self.list.len());
            } else {
                self.list[number] = gang;
            }
            gangs.extend(members.map(|_| number));
        }
        Box::new(gangs.into_iter())
    }

    fn remove(&mut self, account: &Account) {
        self.list[account.gang].left -= 1;
        if self.list[account.gang].left == 0 && self.on == Some(account.gang) {
            self.on = None;
            self.epoch += 1;
        }
    }

    fn reweigh(&mut self, account: &Account, weight: u32) {
        self.list[account.gang].account.weight = weight;
    }

    fn woke(&mut self, account: &Account) {
        let gang = &mut self.list[account.gang];
        gang.active += 1;
        if gang.active > 1 || self.on == Some(account.gang) {
            return;
        }
        if core::mem::replace(&mut gang.started, true) {
            self.rules.wake(self.clock.vtime, &mut gang.account);
        } else {
            // Among gangs there is no wanted time, and so none of late.
            let clock = Clock::new(self.clock.vtime, self.clock.weight);
            self.rules.start(&clock, 0, &mut gang.account);
        }
        self.enqueue(account.gang);
    }

    fn slept(&mut self, account: &Account) {
        let gang = &mut self.list[account.gang];
        gang.active -= 1;
        if gang.active == 0 {
            self.waiting.remove(account.gang);
        }
    }

    fn epoch(&self) -> u64 {
        self.epoch
    }

    fn is_its_turn(&self, account: &Account) -> bool {
        self.awake().is_none_or(|gang| account.gang == gang)
    }

    fn waiting_in_turn(&self, view: &View<'_>) -> usize {
        match self.awake() {
            Some(gang) => self.waiting_members(gang, view).count(),
            None => view.queues.len(),
        }
    }

    fn is_strict(&self) -> bool {
        true
    }
}
