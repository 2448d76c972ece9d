//! Scheduling policies, behind one trait.
//!
//! The host decides what happens; a policy says who is next, for how long, at what price, and who need not
//! wait for the end of a slice. Loans are no policy's business: see [`crate::loan`].

mod credit;
mod fair;
mod gangs;
mod round_robin;

use alloc::boxed::Box;
use core::fmt::Debug;
use core::ops::Range;

use crate::config::{Config, Scheduling};
use crate::fair::{LATE_SLICES, Rules, Sums};
use crate::heap::Key;
use crate::ids::VcpuId;
use crate::loan::{Slice, Terms, Waits, Why};
use crate::state::account::Account;
use crate::state::queues::Queues;
use crate::state::vcpu::Vcpu;

/// A vCPU enters the queue.
pub(crate) struct Entry<'a> {
    pub(crate) how: Waits,
    /// The next turn.
    pub(crate) turn: u64,
    /// Over all that want to run, where yields are mere hints.
    pub(crate) sums: Option<&'a Sums>,
    /// For how long, in all, a vCPU was queued, in nanoseconds.
    pub(crate) wanted_ns: u64,
}

/// What a policy may look at when it picks.
pub(crate) struct View<'a> {
    pub(crate) now: u64,
    pub(crate) vcpus: &'a [Vcpu],
    pub(crate) queues: &'a Queues,
    /// Whether every pCPU is online.
    pub(crate) all_online: bool,
}

/// What a policy picked.
#[derive(Clone, Copy, Default)]
pub(crate) struct Pick {
    pub(crate) vcpu: Option<VcpuId>,
    /// All pCPUs have to pick again.
    pub(crate) switched: bool,
}

/// A scheduling policy.
pub(crate) trait Policy: Debug + Send + Sync {
    /// A vCPU enters the queue: settles its account.
    fn enters(&mut self, account: &mut Account, entry: &Entry<'_>);

    /// Where a vCPU stands in the queue; the least goes first.
    fn key(&self, account: &Account) -> Key;

    /// The next vCPU for a pCPU.
    fn pick(&mut self, pcpu: usize, view: &View<'_>) -> Pick {
        Pick {
            vcpu: (view.queues.first_for(pcpu)).map(|vcpu| VcpuId::new(vcpu as u32)),
            switched: false,
        }
    }

    /// A vCPU was picked. `wanted_ns`: for how long, in all, a vCPU was queued.
    fn picked(&mut self, account: &mut Account, wanted_ns: u64);

    /// The slice of a vCPU that was picked.
    fn terms(&mut self, now: u64, account: &mut Account) -> Terms;

    /// An owner pays.
    fn charge(&mut self, account: &mut Account, ns: u64) {
        account.fair.charge(ns);
    }

    /// The slice of an owner has ended. `why`: `None` if the vCPU on it went to sleep.
    fn ended(
        &mut self,
        _account: &mut Account,
        _now: u64,
        _slice: &Slice<VcpuId>,
        _why: Option<Why>,
    ) {
    }

    /// Whether a vCPU that waits takes the pCPU from the owner of a slice, which began `ran_ns` ago.
    fn preempts(&self, _waiting: &Account, _owner: &Account, _ran_ns: u64) -> bool {
        false
    }

    /// Whether a vCPU that wakes is ever to preempt another one.
    fn knows_preemption(&self) -> bool {
        false
    }

    /// The weight that counts.
    fn weight(&self, of_vm: u32) -> u32 {
        of_vm
    }

    /// The virtual time of the latest pick, if that is how the policy orders.
    fn clock(&self) -> Option<u64> {
        None
    }

    // --- gangs ---------------------------------------------------------------------------------

    /// The vCPUs of a VM come. Returns the gang of each.
    fn add_vm(&mut self, vcpus: Range<usize>, _weight: u32) -> Box<dyn Iterator<Item = usize>> {
        Box::new(vcpus.map(|_| 0))
    }

    /// The vCPU of an account goes.
    fn remove(&mut self, _account: &Account) {}

    /// The weight of the vCPU of an account changes.
    fn reweigh(&mut self, _account: &Account, _weight: u32) {}

    /// A vCPU that slept wants to run.
    fn woke(&mut self, _account: &Account) {}

    /// A vCPU that wanted to run does not any more.
    fn slept(&mut self, _account: &Account) {}

    /// Counts switches: a slice that began before the latest one is over.
    fn epoch(&self) -> u64 {
        0
    }

    /// Whether a vCPU may have a pCPU that is not used.
    fn is_its_turn(&self, _account: &Account) -> bool {
        true
    }

    /// How many of those that wait may have a pCPU that is not used.
    fn waiting_in_turn(&self, view: &View<'_>) -> usize {
        view.queues.len()
    }

    /// Whether pCPUs may idle while vCPUs wait.
    fn is_strict(&self) -> bool {
        false
    }
}

/// The policy that a host is configured with.
pub(crate) fn of(config: &Config) -> Box<dyn Policy> {
    let rules = Rules {
        slice_ns: config.slice_ns,
        min_loan_ns: config.min_loan_ns,
    };
    match config.scheduling {
        Scheduling::RoundRobin => Box::new(round_robin::RoundRobin::new(rules)),
        Scheduling::Fair => Box::new(fair::Fair::new(rules)),
        Scheduling::Credit => Box::new(credit::Credit::new(rules)),
        Scheduling::CoScheduled => Box::new(gangs::Gangs::new(rules, config.pcpus)),
    }
}

/// A whole slice.
const fn whole_slice(rules: &Rules) -> Terms {
    Terms {
        slice_ns: rules.slice_ns,
        min_loan_ns: rules.min_loan_ns,
        most_charged_ns: LATE_SLICES * rules.slice_ns,
    }
}
