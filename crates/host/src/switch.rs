//! Putting vCPUs on pCPUs and taking them off: the only place where a vCPU changes pCPU.
//!
//! ```text
//!                    pick from the queue                  charged to
//!   fresh_pick   -------------------------> new slice     the one picked
//!   lend         named by a call            same slice    the slice's owner, as before
//!   give_back    the owner, if it waits     same slice    itself
//! ```
//!
//! What a slice and a loan are is said in [`crate::loan`]; here is the run queue that it works on. What is lent
//! is decided in `lending`.

use pvqspin_abi::RunSample;

use crate::fair::{LATE_SLICES, Sums};
use crate::host::Host;
use crate::ids::{Pcpu, VcpuId};
use crate::loan::{self, RunQueue, Slice, Waits, Why};
use crate::pages::GuestPages;
use crate::policy::{Entry, Policy, View};
use crate::state::account::Account;
use crate::state::vcpu::{State, Then};

/// The host as the run queue that loans work on.
pub(crate) struct Queue<'a, P>(pub(crate) &'a mut Host<P>);

impl<P: GuestPages> RunQueue for Queue<'_, P> {
    type Task = VcpuId;

    fn slice(&mut self, pcpu: usize) -> &mut Option<Slice<VcpuId>> {
        &mut self.0.pcpus[pcpu].slice
    }

    fn owns(&mut self, vcpu: VcpuId) -> &mut Option<usize> {
        &mut self.0.vcpus[vcpu.index()].owns
    }

    fn is_waiting(&self, vcpu: VcpuId) -> bool {
        self.0.vcpus[vcpu.index()].state.could_run()
    }

    fn waits(&mut self, vcpu: VcpuId, how: Waits) {
        let host = &mut *self.0;
        let state = &mut host.vcpus[vcpu.index()];
        // While it was held back it stood in no queue, and saved nothing up.
        let was_held_back = core::mem::take(&mut state.over_cap);
        if core::mem::take(&mut state.hold) {
            host.set_state(vcpu, State::Held(Then::Wait));
            return;
        }
        if how != Waits::ForItsSlice {
            if host.vcpus[vcpu.index()].budget.is_limited() && host.hold_back(vcpu) {
                return;
            }
            host.enter_queue(vcpu, if was_held_back { Waits::Woken } else { how });
        }
        host.set_state(vcpu, State::Waiting);
    }

    fn runs(&mut self, vcpu: VcpuId) {
        if self.0.vcpus[vcpu.index()].state == State::HeldBack {
            self.0.take_from_held_back(vcpu);
            self.0.vcpus[vcpu.index()].over_cap = true;
        } else {
            self.0.unqueue(vcpu);
        }
    }

    fn wanted_ns(&self, _now: u64) -> u64 {
        self.0.wanted_ns
    }

    fn charge(&mut self, owner: VcpuId, current: VcpuId, ran_ns: u64, charged_ns: u64) {
        let host = &mut *self.0;
        host.vcpus[current.index()].stats.ran_ns += ran_ns;
        let most_ns = LATE_SLICES * host.config.slice_ns;
        let state = &mut host.vcpus[owner.index()];
        state.stats.charged_ns += ran_ns;
        state.budget.charge(ran_ns, most_ns);
        if charged_ns > 0 {
            host.with_account(owner, |policy, _, account| {
                policy.charge(account, charged_ns);
            });
        }
    }
}

impl<P: GuestPages> Host<P> {
    // --- states and accounts -------------------------------------------------------------------

    /// The only place where a vCPU changes its state, so that the sums are right.
    pub(crate) fn set_state(&mut self, vcpu: VcpuId, state: State) {
        let clock = self.clock;
        let v = &mut self.vcpus[vcpu.index()];
        let before = core::mem::replace(&mut v.state, state);
        let owns = v.owns;
        match (before == State::Waiting, state == State::Waiting) {
            (true, false) => {
                self.ready -= 1;
                v.stats.waited_ns += clock.saturating_sub(v.waits_since);
            }
            (false, true) => {
                self.ready += 1;
                v.waits_since = clock;
            }
            _ => {}
        }
        match (before.is_active(), state.is_active()) {
            (false, true) => {
                if let Some(sums) = &mut self.sums {
                    sums.add(&v.account.fair);
                }
                self.policy.woke(&v.account);
                self.vms[v.vm.index()].active += 1;
            }
            (true, false) => {
                if let Some(sums) = &mut self.sums {
                    sums.remove(&v.account.fair);
                }
                self.policy.slept(&v.account);
                self.vms[v.vm.index()].active -= 1;
            }
            _ => {}
        }
        if let Some(p) = owns {
            self.note_lent(p);
        }
    }

    /// Notes whether a waiting lender could be freed by a pCPU that idles.
    pub(crate) fn note_lent(&mut self, p: usize) {
        let lender = match &self.pcpus[p].slice {
            Some(slice) if slice.current() != slice.owner() && self.may_convert(p) => slice.owner(),
            _ => {
                self.lent.remove(p);
                return;
            }
        };
        let lender = &self.vcpus[lender.index()];
        let waits = lender.state == State::Waiting && lender.owns == Some(p);
        self.lent.set(p, waits);
    }

    /// Lets the policy change an account, and the sums follow.
    pub(crate) fn with_account<R>(
        &mut self,
        vcpu: VcpuId,
        change: impl FnOnce(&mut dyn Policy, Option<&Sums>, &mut Account) -> R,
    ) -> R {
        let vcpu = &mut self.vcpus[vcpu.index()];
        let before = vcpu.account.fair;
        let result = change(&mut *self.policy, self.sums.as_ref(), &mut vcpu.account);
        if let Some(sums) = self.sums.as_mut().filter(|_| vcpu.state.is_active()) {
            sums.changed(&before, &vcpu.account.fair);
        }
        result
    }

    pub(crate) fn charge(&mut self, p: usize) {
        let now = self.clock;
        loan::charge(&mut Queue(self), now, p);
    }

    // --- the queue -----------------------------------------------------------------------------

    fn enter_queue(&mut self, vcpu: VcpuId, how: Waits) {
        let (turn, wanted_ns) = (self.queues.next_turn(), self.wanted_ns);
        let key = self.with_account(vcpu, |policy, sums, account| {
            let entry = Entry {
                how,
                turn,
                sums,
                wanted_ns,
            };
            policy.enters(account, &entry);
            policy.key(account)
        });
        let class = self.vcpus[vcpu.index()].class;
        self.queues.insert(class, vcpu.index(), key);
    }

    pub(crate) fn unqueue(&mut self, vcpu: VcpuId) {
        (self.queues).remove(self.vcpus[vcpu.index()].class, vcpu.index());
    }

    pub(crate) fn is_queued(&self, vcpu: VcpuId) -> bool {
        let state = &self.vcpus[vcpu.index()];
        state.state == State::Waiting && state.owns.is_none()
    }

    /// Moves a queued vCPU to where its account says that it belongs.
    pub(crate) fn rekey(&mut self, vcpu: VcpuId) {
        if self.is_queued(vcpu) {
            let state = &self.vcpus[vcpu.index()];
            let key = self.policy.key(&state.account);
            self.queues.update(state.class, vcpu.index(), key);
        }
    }

    pub(crate) fn may_run_on(&self, vcpu: VcpuId, p: usize) -> bool {
        self.queues.allows(self.vcpus[vcpu.index()].class, p)
    }

    pub(crate) fn waiting_in_turn(&self) -> usize {
        self.policy.waiting_in_turn(&View {
            now: self.clock,
            vcpus: &self.vcpus,
            queues: &self.queues,
            all_online: self.offline_pcpus == 0,
        })
    }

    // --- choosing ------------------------------------------------------------------------------

    /// Ends the slice on a pCPU and begins one of the vCPU that is next. `why`: `None` if the one that
    /// ran there sleeps.
    pub(crate) fn fresh_pick(&mut self, p: usize, why: Option<Why>) {
        self.end_slice(p, why);
        if let Some(vcpu) = self.pick(p) {
            self.unqueue(vcpu);
            let (now, wanted_ns) = (self.clock, self.wanted_ns);
            let terms = self.with_account(vcpu, |policy, _, account| {
                policy.picked(account, wanted_ns);
                policy.terms(now, account)
            });
            let terms = match self.vcpus[vcpu.index()].budget.is_limited() {
                true => self.within_cap(vcpu, terms),
                false => terms,
            };
            loan::begin(&mut Queue(self), now, p, vcpu, &terms);
            self.pcpus[p].epoch = self.policy.epoch();
        }
        self.run_current(p);
    }

    /// The owner of a lent slice takes it back, if it waits for that.
    pub(crate) fn take_back(&mut self, p: usize) -> bool {
        let clock = self.clock;
        loan::take_back(&mut Queue(self), clock, p).is_some()
    }

    /// The slice on a pCPU is over. It was charged when the event began.
    pub(crate) fn end_slice(&mut self, p: usize, why: Option<Why>) {
        let Some(slice) = &self.pcpus[p].slice else {
            return;
        };
        let now = self.clock;
        let owner = &mut self.vcpus[slice.owner().index()].account;
        self.policy.ended(owner, now, slice, why);
        loan::end(&mut Queue(self), now, p, why);
        self.lent.remove(p);
    }

    fn pick(&mut self, p: usize) -> Option<VcpuId> {
        // A buddy is asked for once, whatever comes of it.
        let buddy = self.pcpus[p].buddy.take();
        let view = View {
            now: self.clock,
            vcpus: &self.vcpus,
            queues: &self.queues,
            all_online: self.offline_pcpus == 0,
        };
        let pick = self.policy.pick(p, &view);
        if pick.switched {
            for other in 0..self.pcpus.len() {
                if other != p && !self.pcpus[other].offline {
                    self.poke(other);
                }
            }
        }
        buddy
            .filter(|&buddy| self.may_jump(buddy, p))
            .or(pick.vcpu)
            .or_else(|| self.free_a_lender(p))
    }

    /// Whether a buddy may go before its turn.
    pub(crate) fn may_jump(&self, buddy: VcpuId, p: usize) -> bool {
        let account = &self.vcpus[buddy.index()].account;
        self.is_queued(buddy)
            && self.may_run_on(buddy, p)
            && self.policy.is_its_turn(account)
            && (self.sums.as_ref()).is_some_and(|sums| sums.is_eligible(&account.fair))
    }

    // --- the switch itself ---------------------------------------------------------------------

    /// The vCPU of a pCPU's slice runs from now on.
    pub(crate) fn run_current(&mut self, p: usize) {
        let pcpu = Pcpu::new(p as u32);
        if let Some(vcpu) = self.pcpus[p].current() {
            self.set_state(vcpu, State::Running(pcpu));
        }
        self.note_lent(p);
    }

    /// At the end of an event of a pCPU: tells the guests what runs there, if that has changed.
    pub(crate) fn show(&mut self, p: usize) {
        let next = self.pcpus[p].current();
        let prev = core::mem::replace(&mut self.pcpus[p].shown, next);
        if prev == next {
            // It never left: no new generation, and nothing that a guest could see.
            return;
        }
        if prev.is_none() || next.is_none() {
            let idle = next.is_none() && !self.pcpus[p].offline;
            self.idle.set(p, idle);
            self.idle_unpoked.set(p, idle && !self.pcpus[p].poked);
        }
        if let Some(vcpu) = prev {
            self.publish(vcpu);
            self.unlink(p, vcpu);
        }
        if let Some(vcpu) = next {
            self.link(p, vcpu);
            let state = &mut self.vcpus[vcpu.index()];
            let next = state.generation.next();
            state.generation = next;
            state.home = Some(Pcpu::new(p as u32));
            state.stats.runs += 1;
            self.publish(vcpu);
        }
    }

    /// Writes a vCPU's state where its guest sees it.
    pub(crate) fn publish(&self, vcpu: VcpuId) {
        let vcpu = &self.vcpus[vcpu.index()];
        let sample = RunSample::new(vcpu.state.published(), vcpu.generation);
        if let Some(pages) = &self.vms[vcpu.vm.index()].pages {
            pages.vcpu(vcpu.cpu).set_run(sample);
        }
    }
}
