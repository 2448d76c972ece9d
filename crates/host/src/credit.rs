//! Credits, as Xen's credit scheduler is described.
//!
//! In each accounting period the time of all pCPUs is handed out as credit, by weight, to the
//! vCPUs that wanted to run. Running costs credit. Those that have some (*under* their share) go
//! before those that have none (*over*); one that wakes with credit left goes first (*boost*),
//! until it is picked once.

use crate::config::Scheduling;
use crate::host::Host;
use crate::ids::VcpuId;
use crate::pages::GuestPages;
use crate::vcpu::Vcpu;

const BOOST: u8 = 0;
const UNDER: u8 = 1;
const OVER: u8 = 2;

/// How much credit a vCPU can have, in slices. It bounds how long several that saved theirs up
/// can keep out one that used the time they left. One slice would be too little: a heavy vCPU
/// that waits for some light ones in turn would lose credit that it is due.
const MOST_SLICES: i64 = 2;

/// How much a vCPU can owe, in slices. At a share of 1/n it takes n times as long to pay back,
/// and others with credit go first until then; it may have done no more than use idle time.
const MOST_OWED_SLICES: i64 = 2;

/// The state of the accounting.
#[derive(Debug, Default)]
pub(crate) struct Credits {
    /// When the period ends.
    period_end: u64,
}

impl<P: GuestPages> Host<P> {
    pub(crate) fn credit_class(&self, vcpu: &Vcpu) -> u8 {
        match vcpu.account.credit {
            ..=0 => OVER,
            _ if vcpu.boosted => BOOST,
            _ => UNDER,
        }
    }

    /// The class of a vCPU that has been picked: no boost any more.
    pub(crate) fn running_class(&self, vcpu: VcpuId) -> u8 {
        self.credit_class(&self.vcpus[vcpu.index()]).max(UNDER)
    }

    pub(crate) fn lowest_credit(&self) -> i64 {
        -MOST_OWED_SLICES * self.credit_period()
    }

    /// An accounting period lasts a slice, as in Xen.
    fn credit_period(&self) -> i64 {
        i64::try_from(self.config.slice_ns).unwrap_or(i64::MAX / MOST_OWED_SLICES)
    }

    /// Hands out credit for every period that has ended since the last time.
    ///
    /// This takes time in proportion to all vCPUs, once in a slice.
    pub(crate) fn refill_credit(&mut self) {
        if self.config.scheduling != Scheduling::Credit || self.clock < self.credits.period_end {
            return;
        }
        // What others have run since their last event is still uncharged, and must not look
        // like credit saved.
        for p in 0..self.pcpus.len() {
            self.charge(p);
        }
        let period = self.credit_period().unsigned_abs();
        let periods = 1 + (self.clock - self.credits.period_end) / period;
        self.credits.period_end = self
            .credits
            .period_end
            .saturating_add(periods.saturating_mul(period));
        let shares = self.credit_shares(period);
        for index in 0..self.vcpus.len() {
            self.refill_vcpu(index, &shares, periods);
        }
    }

    fn refill_vcpu(&mut self, index: usize, shares: &[u64], periods: u64) {
        let most = MOST_SLICES * self.credit_period();
        let vcpu = &mut self.vcpus[index];
        if !vcpu.account.recent {
            return;
        }
        vcpu.account.recent = vcpu.is_active();
        let share = shares[vcpu.vm.index()].saturating_mul(periods);
        let share = i64::try_from(share).unwrap_or(i64::MAX);
        vcpu.account.credit = vcpu.account.credit.saturating_add(share).min(most);
        self.rekey(VcpuId::new(index as u32));
    }

    /// What each vCPU of each VM gets for one period. No vCPU can use more than one pCPU, so what
    /// a heavy one cannot use goes to the others.
    fn credit_shares(&self, period: u64) -> alloc::vec::Vec<u64> {
        let mut wanting = alloc::vec![0_u128; self.vms.len()];
        for vcpu in self.vcpus.iter().filter(|vcpu| vcpu.account.recent) {
            wanting[vcpu.vm.index()] += 1;
        }
        let period = u128::from(period);
        let mut shares = alloc::vec![None; self.vms.len()];
        let mut pool = period * self.online_pcpus() as u128;
        let mut weight: u128 = (self.vms.iter().zip(&wanting))
            .map(|(vm, count)| u128::from(vm.weight) * count)
            .sum();
        // Each round fills at least one VM up or is the last.
        loop {
            let mut filled = false;
            for (index, vm) in self.vms.iter().enumerate() {
                let own = u128::from(vm.weight);
                if shares[index].is_some() || wanting[index] == 0 || pool * own < period * weight {
                    continue;
                }
                shares[index] = Some(period);
                pool = pool.saturating_sub(period * wanting[index]);
                weight -= own * wanting[index];
                filled = true;
            }
            if !filled {
                break;
            }
        }
        (self.vms.iter().zip(shares))
            .map(|(vm, share)| share.unwrap_or(pool * u128::from(vm.weight) / weight.max(1)))
            .map(|share| u64::try_from(share).unwrap_or(u64::MAX))
            .collect()
    }
}
