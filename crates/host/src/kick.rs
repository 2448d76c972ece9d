//! Waking: kicks, devices, and who has to make room.
//!
//! Where a kicked vCPU runs, in this order:
//!
//! ```text
//!   an idle pCPU                                      both modes
//!   the pCPU of the slice that it lent                contract
//!   a pCPU whose current one only spins, same VM      contract
//!   the kicker's own pCPU                             contract
//!   first in line where it ran last                   hint
//!   the end of the queue                              contract, not ordered
//! ```

use pvqspin_abi::{Cpu, Status};

use crate::config::YieldMode;
use crate::host::Host;
use crate::ids::VcpuId;
use crate::loan::{self, Slice};
use crate::pages::GuestPages;
use crate::state::account::Account;
use crate::state::vcpu::{State, Then};
use crate::switch::Queue;

/// How many pCPUs are looked at for one that a woken vCPU may preempt, and how many that run its VM for one
/// that only spins: what a guest can cause costs the same however large the host is.
const MOST_LOOKS: usize = 4;
const MOST_SPINNERS: usize = 16;

impl<P: GuestPages> Host<P> {
    /// `KICK` by the current one of a pCPU.
    pub(crate) fn kick(&mut self, p: usize, caller: VcpuId, cpu: Cpu) -> Status {
        let status = match self.sibling(caller, cpu) {
            None => Status::Refused,
            Some(target) => self.kick_sibling(p, target),
        };
        self.vcpus[caller.index()].stats.kicks.add(status);
        status
    }

    fn kick_sibling(&mut self, p: usize, target: VcpuId) -> Status {
        let state = &mut self.vcpus[target.index()];
        match state.state {
            State::Ended => return Status::Refused,
            State::Held(Then::Halt) => {
                state.state = State::Held(Then::Wait);
                return Status::Refused;
            }
            State::Halted => {}
            State::Idle | State::Waiting | State::HeldBack | State::Running(_) | State::Held(_) => {
                state.kick_pending = true;
                return Status::AlreadyRunning;
            }
        }
        if self.has_idle_pcpu_for(target) {
            // The end of this event pokes it.
            self.wake(target);
            self.free(target);
            return Status::Ran;
        }
        let lent = self.wake(target);
        if self.config.yields == YieldMode::Hint {
            let home = self.home_of(target, p);
            self.pcpus[home].buddy = Some(target);
            self.preempt_for(target);
            return Status::Refused;
        }
        if !self.config.ordered {
            // As a scheduler that does not know why it was kicked: behind all that wait already.
            return Status::Refused;
        }
        match lent {
            Some(lent) if lent != p && self.may_run_on(target, lent) => {
                self.recall(lent);
                return Status::Ran;
            }
            None if self.displace_spinner(p, target) => return Status::Ran,
            _ => {}
        }
        self.hand_over(p, target)
    }

    /// A vCPU that slept can run. Returns the pCPU of the slice that it owns, if it lent one.
    pub(crate) fn wake(&mut self, vcpu: VcpuId) -> Option<usize> {
        let lent = loan::wake(&mut Queue(self), vcpu);
        self.publish(vcpu);
        self.tell(self.vcpus[vcpu.index()].vm);
        lent
    }

    /// There is an idle pCPU for a vCPU that woke: if it lent its slice, the borrower keeps that.
    fn free(&mut self, vcpu: VcpuId) {
        if let Some(lent) = self.vcpus[vcpu.index()].owns {
            self.free_from(vcpu, lent);
        }
    }

    /// Frees a lender from its loan. A borrower that may not go on at its own cost leaves.
    fn free_from(&mut self, lender: VcpuId, lent: usize) {
        if self.may_convert(lent) {
            self.convert(lent);
        } else if self.may_run_on(lender, lent) {
            self.recall(lent);
        } else {
            self.pcpus[lent].expelled = true;
            self.poke(lent);
        }
    }

    /// The owner of the slice on a pCPU takes it back.
    fn recall(&mut self, p: usize) {
        self.pcpus[p].recalled = true;
        self.poke(p);
    }

    pub(crate) fn wake_from_outside(&mut self, vcpu: VcpuId) {
        let idle_pcpu = self.has_idle_pcpu_for(vcpu);
        let lent = self.wake(vcpu);
        match lent {
            _ if idle_pcpu => self.free(vcpu),
            Some(lent) if self.may_run_on(vcpu, lent) => self.recall(lent),
            Some(lent) => self.free_from(vcpu, lent),
            None => self.preempt_for(vcpu),
        }
    }

    // --- making room for a kicked one ----------------------------------------------------------

    /// Reserves the rest of the slice of a vCPU that only spins.
    fn displace_spinner(&mut self, p: usize, target: VcpuId) -> bool {
        let vm = &self.vms[self.vcpus[target.index()].vm.index()];
        let running = core::iter::successors(vm.first_pcpu, |&q| self.pcpus[q as usize].vm_next);
        let spinner = (running.map(|q| q as usize))
            .take(MOST_SPINNERS)
            .filter(|&q| q != p && self.pcpus[q].reserved.is_none() && self.may_run_on(target, q))
            .filter_map(|q| self.spinner_on(q, target).map(|end| (end, q)))
            .max_by_key(|&(end, q)| (end, core::cmp::Reverse(q)));
        let Some((_, q)) = spinner else {
            return false;
        };
        self.pcpus[q].reserved = Some(target);
        self.poke(q);
        true
    }

    /// When the slice on a pCPU ends, if a sibling of a vCPU spins there on its own slice.
    ///
    /// The VM is checked because a page that says "I only spin" is no reason to take time from
    /// another VM's slice, and a loan is checked because it was promised.
    fn spinner_on(&self, q: usize, target: VcpuId) -> Option<u64> {
        let (current, slice) = self.running(q)?;
        let (vcpu, target) = (&self.vcpus[current.index()], &self.vcpus[target.index()]);
        let pages = self.vms[vcpu.vm.index()].pages.as_ref()?;
        let spins = vcpu.vm == target.vm
            && slice.loan().is_none()
            && self.can_lend(q)
            && pages.vcpu(vcpu.cpu).waiting_for().is_some();
        spins.then_some(slice.end())
    }

    /// Lets the reserved vCPU have what is left on a pCPU. Not if the spinner has stopped
    /// spinning meanwhile: it may hold the lock by now.
    pub(crate) fn honour_reservation(&mut self, p: usize, target: VcpuId) -> bool {
        self.vcpus[target.index()].state.could_run()
            && self.spinner_on(p, target).is_some()
            && self.lend(p, target, true)
    }

    // --- making room for one that a device woke ------------------------------------------------

    /// Pokes the pCPU that a woken vCPU may take at once under the scheduling policy, if any.
    pub(crate) fn preempt_for(&mut self, woken: VcpuId) {
        if !self.policy.knows_preemption() || !self.is_queued(woken) {
            return;
        }
        let (first, pcpus) = (self.home_of(woken, 0), self.pcpus.len());
        let mut worst: Option<(u64, usize)> = None;
        for p in (0..pcpus.min(MOST_LOOKS)).map(|by| (first + by) % pcpus) {
            self.charge(p);
            if !self.goes_before(woken, p) {
                continue;
            }
            let Some(slice) = self.pcpus[p].slice else {
                continue;
            };
            let vtime = self.as_if_paid(&slice).fair.vtime;
            // The first of equals, so that the choice does not depend on the direction.
            if worst.is_none_or(|(most, _)| crate::fair::is_before(most, vtime)) {
                worst = Some((vtime, p));
            }
        }
        if let Some((_, p)) = worst {
            self.pcpus[p].preempt = true;
            self.poke(p);
        }
    }

    /// Whether the buddy or the first in line takes the pCPU before the slice is over.
    pub(crate) fn another_goes_before(&self, p: usize) -> bool {
        let buddy = self.pcpus[p].buddy;
        let first = self.queues.first_for(p);
        buddy.is_some_and(|buddy| self.may_jump(buddy, p))
            || first.is_some_and(|first| self.goes_before(VcpuId::new(first as u32), p))
    }

    /// Whether a waiting vCPU is so much better placed than the owner of a slice that it need not wait
    /// for the end of that slice. Which vCPU runs on it makes no difference. (A loan that has just begun is
    /// left alone for a while: see `decide`.)
    fn goes_before(&self, waiting: VcpuId, p: usize) -> bool {
        let Some(slice) = self.pcpus[p].slice else {
            return false;
        };
        let waits = &self.vcpus[waiting.index()].account;
        let owner = self.as_if_paid(&slice);
        let ran_ns = self.clock.saturating_sub(slice.began());
        self.may_run_on(waiting, p) && self.policy.preempts(waits, &owner, ran_ns)
    }

    /// The account of the owner of a slice, as if all of the slice had been paid: what one that waits is
    /// compared with, or it would wait for the end of a slice that costs nothing.
    fn as_if_paid(&self, slice: &Slice<VcpuId>) -> Account {
        let mut account = self.vcpus[slice.owner().index()].account;
        account.fair.charge(slice.free_ns());
        account
    }
}
