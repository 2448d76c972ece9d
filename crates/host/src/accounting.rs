//! Who pays for pCPU time, and what it has paid so far.
//!
//! All time of a slice is charged to the slice's owner, whichever vCPU ran on it. That one rule is why a
//! directed yield cannot get a VM more than its share: it moves time, and never makes any.

use crate::config::Scheduling;
use crate::host::Host;
use crate::ids::VcpuId;
use crate::order::{Key, Place};
use crate::pages::GuestPages;
use crate::pcpu::Occupant;
use crate::vcpu::State;

/// Fraction bits of weighted run time: with 32-bit weights, even a nanosecond leaves a trace for
/// all weights up to a million, so that no vCPU runs for free in many small steps.
const FRACTION_BITS: u32 = 20;

/// Nanoseconds over weight.
pub(crate) fn weighted(ns: u64, weight: u32) -> u128 {
    (u128::from(ns) << FRACTION_BITS) / u128::from(weight.max(1))
}

/// One vCPU's account.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) weight: u32,
    /// Charged time over weight; raised on waking, so that sleep saves nothing up.
    pub(crate) vruntime: u128,
    /// Credit scheduling: nanoseconds left.
    pub(crate) credit: i64,
    /// Credit scheduling: it could run, or was charged, in this period.
    pub(crate) recent: bool,
    /// Round robin: by how much its next slice differs from a whole one, in nanoseconds.
    pub(crate) carry: i64,
}

impl Account {
    pub(crate) const fn new(weight: u32) -> Self {
        Self {
            weight,
            vruntime: 0,
            credit: 0,
            recent: false,
            carry: 0,
        }
    }
}

/// Sums over all active vCPUs (waiting or running).
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    weight: u128,
    /// Sum of weight times weighted run time.
    weighted_runtime: u128,
    /// Fair: the weighted run time of the latest pick, the least of all that waited.
    pub(crate) floor: u128,
}

impl<P: GuestPages> Host<P> {
    /// Charges the slice on a pCPU up to now.
    pub(crate) fn charge(&mut self, p: usize) {
        let Some(Occupant { current, slice }) = &mut self.pcpus[p].occupant else {
            return;
        };
        let ns = self.clock.saturating_sub(slice.charged_until);
        slice.charged_until = self.clock;
        if ns == 0 {
            return;
        }
        let (current, owner) = (*current, slice.owner);
        self.vcpus[current.index()].stats.ran_ns += ns;
        self.charge_vcpu(owner, ns);
    }

    fn charge_vcpu(&mut self, owner: VcpuId, ns: u64) {
        let lowest_credit = self.lowest_credit();
        let vcpu = &mut self.vcpus[owner.index()];
        vcpu.stats.charged_ns += ns;
        let account = &mut vcpu.account;
        let step = weighted(ns, account.weight);
        account.vruntime += step;
        account.recent = true;
        let debit = i64::try_from(ns).unwrap_or(i64::MAX);
        account.credit = account.credit.saturating_sub(debit).max(lowest_credit);
        if vcpu.is_active() {
            self.ledger.weighted_runtime += step * u128::from(vcpu.account.weight);
        }
        // A donor may stand in the run order while it pays for a loan.
        self.rekey(owner);
    }

    /// Enters a vCPU that woke in the sums.
    pub(crate) fn activate(&mut self, vcpu: VcpuId) {
        let floor = self.waking_floor();
        let most_saved = i64::try_from(self.config.slice_ns).unwrap_or(i64::MAX);
        let vcpu = &mut self.vcpus[vcpu.index()];
        let account = &mut vcpu.account;
        account.vruntime = account.vruntime.max(floor);
        // The same for credit: several that slept a period could otherwise pool theirs, and keep
        // a neighbour waiting that has done nothing but use the time they left.
        account.credit = account.credit.min(most_saved);
        account.recent = true;
        let weight = u128::from(account.weight);
        self.ledger.weight += weight;
        self.ledger.weighted_runtime += account.vruntime * weight;
        if let Some(gang) = vcpu.gang {
            self.gangs.member_woke(gang);
        }
    }

    /// Takes a vCPU that was active out of the sums.
    pub(crate) fn deactivate(&mut self, vcpu: VcpuId) {
        let vcpu = &self.vcpus[vcpu.index()];
        let weight = u128::from(vcpu.account.weight);
        self.ledger.weight -= weight;
        self.ledger.weighted_runtime -= vcpu.account.vruntime * weight;
        if let Some(gang) = vcpu.gang {
            self.gangs.member_slept(gang);
        }
    }

    /// No vCPU wakes with less weighted run time than this, or it could sleep a while and then
    /// run everybody else into the ground.
    fn waking_floor(&self) -> u128 {
        match self.config.scheduling {
            Scheduling::Fair => self.ledger.floor,
            _ if self.ledger.weight == 0 => 0,
            _ => self.ledger.weighted_runtime / self.ledger.weight,
        }
    }

    /// Under round robin, what a turn did not use is lost, but for one slice. Otherwise vCPUs that
    /// yield early would stay eligible for ever, and pass each other pCPUs by mere hints while
    /// everybody else waits for a turn. (The other policies order by what was charged.)
    pub(crate) fn forfeit_unused(&mut self, vcpu: VcpuId) {
        if self.config.scheduling != Scheduling::RoundRobin || self.ledger.weight == 0 {
            return;
        }
        let average = self.ledger.weighted_runtime / self.ledger.weight;
        let account = &mut self.vcpus[vcpu.index()].account;
        let least = average.saturating_sub(weighted(self.config.slice_ns, account.weight));
        let raise = least.saturating_sub(account.vruntime);
        account.vruntime += raise;
        self.ledger.weighted_runtime += raise * u128::from(account.weight);
    }

    /// Whether a vCPU has had no more than the average of all active ones, each by its weight:
    /// what EEVDF calls a lag of at least zero.
    pub(crate) fn is_eligible(&self, vcpu: VcpuId) -> bool {
        let vruntime = self.vcpus[vcpu.index()].account.vruntime;
        vruntime.saturating_mul(self.ledger.weight) <= self.ledger.weighted_runtime
    }

    /// The key that a vCPU has now.
    pub(crate) fn key_of(&self, vcpu: VcpuId) -> Key {
        let vcpu = &self.vcpus[vcpu.index()];
        match self.config.scheduling {
            Scheduling::RoundRobin => Key {
                class: 0,
                rank: u128::from(vcpu.turn),
            },
            Scheduling::Fair => Key {
                class: 0,
                rank: vcpu.account.vruntime,
            },
            Scheduling::Credit => Key {
                class: self.credit_class(vcpu),
                rank: u128::from(vcpu.turn),
            },
            Scheduling::CoScheduled => Key::default(),
        }
    }

    /// Moves a waiting vCPU to where its account says that it belongs.
    pub(crate) fn rekey(&mut self, vcpu: VcpuId) {
        if self.vcpus[vcpu.index()].state != State::Waiting {
            return;
        }
        let (old, new) = (self.vcpus[vcpu.index()].key, self.key_of(vcpu));
        if old == new {
            return;
        }
        self.order.remove(old, vcpu);
        self.order.insert(new, vcpu);
        self.vcpus[vcpu.index()].key = new;
    }

    /// How long the next slice of a vCPU is, in nanoseconds.
    ///
    /// Only round robin has no other memory of what a vCPU overdrew, so only there do slices
    /// vary. Half a slice is the least; the rest of a debt is paid later.
    pub(crate) fn take_slice_length(&mut self, vcpu: VcpuId) -> u64 {
        let slice = self.config.slice_ns;
        let carry = &mut self.vcpus[vcpu.index()].account.carry;
        if self.config.scheduling != Scheduling::RoundRobin || *carry >= 0 {
            return slice;
        }
        let paid = carry.unsigned_abs().min(slice / 2);
        *carry += i64::try_from(paid).unwrap_or(i64::MAX);
        slice - paid
    }

    /// Notes for round robin what a slice that is over took too much, or was cut short by.
    pub(crate) fn settle_slice(&mut self, occupant: &Occupant, requeue: Option<Place>) {
        if self.config.scheduling != Scheduling::RoundRobin {
            return;
        }
        let planned_end = occupant.slice.planned_end;
        let slice = self.config.slice_ns;
        let overrun = self.clock.saturating_sub(planned_end);
        // One that lost its pCPU early keeps its turn, and gets only the rest when it comes.
        let keeps_turn = requeue == Some(Place::Kept) && !occupant.is_loan();
        let spent = if keeps_turn && overrun == 0 {
            slice.saturating_sub(planned_end - self.clock)
        } else {
            overrun
        };
        let spent = i64::try_from(spent.min(slice)).unwrap_or(i64::MAX);
        let floor = -i64::try_from(slice).unwrap_or(i64::MAX);
        let owner = occupant.slice.owner;
        let account = &mut self.vcpus[owner.index()].account;
        account.carry = account.carry.saturating_sub(spent).max(floor);
        if occupant.is_loan() && self.vcpus[owner.index()].state == State::Waiting {
            // Its slice ends now, and not when it lent it: with an earlier turn it would come
            // round sooner on other pCPUs than those who use their slices themselves.
            self.vcpus[owner.index()].turn = self.order.next_turn();
            self.rekey(owner);
        }
    }
}
