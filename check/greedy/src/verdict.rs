//! What the victim lost.

use pvqspin_host::Scheduling;
use pvqspin_host::fair::LAG_SLICES;

use crate::case::{Case, Neighbour, SLICE, SLICES};
use crate::machine::{Ran, what_ran};
use crate::subject::Subject;

/// What the victim lost, in nanoseconds of pCPU time, over the worst window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// Against what it runs beside a VM of the same size that only computes.
    pub against_busy_ns: u64,
    /// Against its share by weight; 0 under strict co-scheduling, which gives turns and no shares.
    pub against_share_ns: u64,
    /// By how much the greedy VM got more than its cap, over the worst window.
    pub over_cap_ns: u64,
    /// How much of the first two is allowed.
    pub allowed_ns: u64,
    /// How long the worst window may have been, in slices.
    pub slices: usize,
    /// Whether the policy promises anything for such a case.
    pub promised: bool,
}

impl Verdict {
    /// Whether the promise holds.
    #[must_use]
    pub fn holds(&self) -> bool {
        let lost_ns = self.against_busy_ns.max(self.against_share_ns);
        self.over_cap_ns == 0 && (!self.promised || lost_ns <= self.allowed_ns)
    }
}

/// Runs a case.
///
/// # Panics
///
/// If a vCPU is on two pCPUs at once.
#[must_use]
pub fn judge<S: Subject>(case: &Case) -> Verdict {
    let beside_greedy = what_ran::<S>(case, true);
    let beside_busy = what_ran::<S>(case, false);
    let share = share_per_slice(case);
    let starts = case.victim_starts;
    let entitled = |slice: usize| share * (slice as u64 + 1).saturating_sub(starts);
    let slices = beside_greedy.len().min(beside_busy.len());
    let victim = |ran: &[Ran]| ran.iter().map(|ran| ran.victim_ns).collect::<Vec<_>>();
    let (ran, busy) = (&victim(&beside_greedy)[..slices], victim(&beside_busy));
    Verdict {
        // Capped VMs compute in step, so what one leaves to a neighbour beyond its share depends on when.
        against_busy_ns: match case.cap {
            Some(_) => 0,
            None => worst_window(ran, |at| busy[at]),
        },
        against_share_ns: match case.setup.scheduling {
            Scheduling::CoScheduled => 0,
            _ => worst_window(ran, entitled),
        },
        over_cap_ns: over_cap_ns(case, &beside_greedy).max(over_cap_ns(case, &beside_busy)),
        allowed_ns: allowed_slices(case) * SLICE,
        slices,
        promised: is_promised(case),
    }
}

/// Round robin keeps no accounts. A vCPU that gives its pCPU up before the end of its slice, in whatever way
/// but by lending it, shifts the order of turns against the pCPUs, and that may cost another vCPU up to one slice
/// in each turn. So nothing is promised beside VMs that nap, come and go, or yield by mere hints.
fn is_promised(case: &Case) -> bool {
    case.setup.scheduling != Scheduling::RoundRobin || (case.churn.is_none() && !case.gives_up())
}

/// The most that the victim fell behind between any two instants.
fn worst_window(ran: &[u64], due: impl Fn(usize) -> u64) -> u64 {
    let (mut least, mut worst) = (0, 0);
    for (at, &ran) in ran.iter().enumerate() {
        let behind = i128::from(due(at)) - i128::from(ran);
        worst = worst.max(behind - least);
        least = least.min(behind);
    }
    u64::try_from(worst).unwrap_or(0)
}

/// By how much a capped VM got more than it may in some window: two quotas and a shortest loan for each vCPU beyond
/// what the window's length gives, and another quota and loan each time that it was removed and added.
fn over_cap_ns(case: &Case, ran: &[Ran]) -> u64 {
    let Some(cap) = case.cap else {
        return 0;
    };
    let vcpus = case.greedy.vcpus as u64;
    let of_time = |at: usize| (at as u64 + 1) * SLICE * cap.quota_ns / cap.period_ns * vcpus;
    let due: Vec<_> = (0..ran.len()).map(of_time).collect();
    let most = worst_window(&due, |at| ran[at].greedy_ns);
    let comings = case.churn.map_or(0, |every| SLICES / every);
    let allowed = vcpus * ((2 + comings) * cap.quota_ns + (1 + comings) * case.setup.min_loan_ns);
    most.saturating_sub(allowed)
}

/// A slice for each vCPU that takes turns with the victim's, two for each pCPU, and a dozen. The lag that fair time
/// allows, for each vCPU of the victim if there are others of another weight. That lag, and a slice for each vCPU
/// that comes at once, each time that the greedy VM was removed and added again.
fn allowed_slices(case: &Case) -> u64 {
    let Case {
        setup,
        victim,
        greedy,
        bystander,
        ..
    } = case;
    let pcpus = setup.pcpus as u64;
    let vcpus = |vm: &Neighbour| vm.vcpus as u64;
    let others = vcpus(greedy) + bystander.as_ref().map_or(0, vcpus);
    let comings = case.churn.map_or(0, |every| SLICES / every);
    match setup.scheduling {
        // A turn of each gang takes all pCPUs.
        Scheduling::CoScheduled => {
            let gangs = |vcpus: u64| vcpus.div_ceil(pcpus);
            (gangs(others) + gangs(vcpus(victim)) + 4) * pcpus
        }
        _ => {
            let vms = [Some(*greedy), *bystander];
            let weights_differ = vms
                .into_iter()
                .flatten()
                .any(|vm| vm.weight != victim.weight);
            // A vCPU that is entitled to a whole pCPU waits while more vCPUs are awake than there are pCPUs,
            // whatever their weights.
            let too_heavy = if share_per_slice(case) == vcpus(victim) * SLICE {
                vcpus(victim) * SLICES / 4
            } else {
                0
            };
            let coming = LAG_SLICES + vcpus(greedy).min(pcpus);
            let lag = if weights_differ {
                LAG_SLICES * vcpus(victim)
            } else {
                0
            };
            others.min(vcpus(victim) * 2) + 2 * pcpus + 12 + lag + coming * comings + too_heavy
        }
    }
}

/// What the victim is entitled to in the time of a slice, in nanoseconds: by weights, no vCPU more than
/// a pCPU.
fn share_per_slice(case: &Case) -> u64 {
    let vms = [Some(case.victim), Some(case.greedy), case.bystander];
    let mut open: Vec<Neighbour> = vms.into_iter().flatten().collect();
    if case.setup.scheduling == Scheduling::RoundRobin {
        open.iter_mut().for_each(|vm| vm.weight = 1);
    }
    let victim = open[0];
    let mut pcpus = case.setup.pcpus as f64;
    loop {
        let sum: f64 = open
            .iter()
            .map(|vm| vm.vcpus as f64 * f64::from(vm.weight))
            .sum();
        let each = |vm: &Neighbour| pcpus * f64::from(vm.weight) / sum;
        let (full, rest): (Vec<_>, Vec<_>) = open.iter().partition(|vm| each(vm) >= 1.0);
        if full.contains(&victim) {
            return victim.vcpus as u64 * SLICE;
        }
        if full.is_empty() {
            return (each(&victim) * victim.vcpus as f64 * SLICE as f64) as u64;
        }
        pcpus -= full.iter().map(|vm| vm.vcpus as f64).sum::<f64>();
        open = rest;
    }
}
