//! Random schedules: everything about a run follows from one number.
//!
//! A schedule is a small machine with short slices, some faults and some jitter; in some there is
//! another workload than one hot lock, more than one VM, a neighbour, a larger machine, or a host
//! that can do less. What goes wrong under a seed goes wrong again under the same seed.

use pvqspin::Point;
use pvqspin_driver_common::Run;
use pvqspin_host::{Config, Scheduling, YieldMode};
use pvqspin_load::catalog::CATALOG;
use pvqspin_load::{
    Fault, Faults, NeighbourKind, NeighbourVm, Passing, Section, WorkloadConfig, WorkloadId,
};
use pvqspin_rivals::catalog::{BOUNDED_WAIT_US, LockId};

use crate::config::SimConfig;
use crate::costs::{Costs, LineCosts};
use crate::dice::Dice;
use crate::faults::Jitter;
use crate::wait_limits::WaitLimits;

/// What VMs weigh where all weigh the same.
const WEIGHT: u32 = 1024;

/// The schedule of a seed: a configuration for [`run`](crate::run()).
///
/// ```
/// use pvqspin_rivals::catalog::LockId;
/// use pvqspin_simulator::{run, torture};
///
/// let schedule = torture(LockId::Fifo, 42);
/// assert_eq!(schedule, torture(LockId::Fifo, 42));
/// run(&schedule)?;
/// # Ok::<(), pvqspin_simulator::SimError>(())
/// ```
#[must_use]
pub fn torture(lock: LockId, seed: u64) -> SimConfig {
    let mut dice = Dice::new(seed, 0x7012_7012);
    let pcpus = dice.between(1, 4) as usize;
    let vcpus = pcpus + dice.between(1, 7) as usize;
    let slice_ns = dice.between(15_000, 80_000).into();
    // Halts of `Fifo` need holds beyond its spin budget.
    let inside = *dice.of(&[200, 1_000, 5_000, 60_000]);
    let outside = *dice.of(&[0, 500, 2_000, 20_000]);
    let scheduling = *dice.of(&Scheduling::ALL);
    let yields = *dice.of(&[YieldMode::Contract, YieldMode::Contract, YieldMode::Hint]);
    let faults = Faults(
        (0..dice.between(0, 3))
            .map(|_| Fault {
                point: *dice.of(&Point::ALL),
                vcpu: None,
                passing: Passing::OneIn(*dice.of(&[2, 5, 20, 100])),
            })
            .collect(),
    );
    let jitter = Jitter {
        delay_one_in: *dice.of(&[0, 3, 10, 50]),
        longest_ns: *dice.of(&[20, 200, 2_000]),
        preempt_one_in: *dice.of(&[0, 0, 20, 100, 1_000]),
        interrupt_one_in: 0,
        late_timer_one_in: 0,
    };
    let costs = Costs {
        switch_ns: *dice.of(&[0, 500, 2_000]),
        hypercall_ns: *dice.of(&[0, 100, 1_000]),
        poke_ns: *dice.of(&[0, 1_000, 10_000]),
        line: LineCosts::flat(*dice.of(&[0, 60, 300])),
        ..Costs::default()
    };
    let run = Run {
        lock,
        workload: WorkloadConfig::hot_lock(
            Section::uniform(inside),
            Section::uniform(outside),
            seed,
        ),
        host: Config {
            pcpus,
            scheduling,
            yields,
            slice_ns,
            min_loan_ns: slice_ns / *dice.of(&[2, 4, 50]),
            ..Config::default()
        },
        vcpus,
        faults,
        warmup_ns: Some(0),
        duration_ns: 400_000,
        // Beyond any number of rotations of such slices.
        stall_after_ns: Some(100_000_000),
        halt_timeout_ns: Some(100_000_000),
        ..Run::default()
    };
    let config = SimConfig {
        costs,
        seed,
        jitter,
        ..SimConfig::from(run)
    };
    finish(widened(config, &mut dice), &mut dice)
}

/// The same with what most schedules do without: each of these in some.
fn widened(mut config: SimConfig, dice: &mut Dice) -> SimConfig {
    config.run.weight = WEIGHT;
    if dice.one_in(2) {
        // A sleeping VM takes no locks.
        let locking = CATALOG
            .iter()
            .filter(|entry| entry.id != WorkloadId::Halted);
        let locking: Vec<_> = locking.map(|entry| entry.id).collect();
        config.run.workload.id = *dice.of(&locking);
    }
    if dice.one_in(16) {
        let more = dice.between(1, 8) as usize;
        config.run.host.pcpus += more;
        config.run.vcpus += more;
    }
    config.vms = *dice.of(&[1, 1, 1, 2, 3]);
    config.run.host.follow_chain = !dice.one_in(4);
    config.run.host.ordered = !dice.one_in(4);
    config.run.neighbour = dice.one_in(4).then(|| NeighbourVm {
        kind: *dice.of(&NeighbourKind::ALL),
        vcpus: dice.between(1, 4) as usize,
        weight: *dice.of(&[WEIGHT, WEIGHT, WEIGHT / 4, WEIGHT * 4]),
    });
    config
}

/// Interrupts for locks that are made for them, and for the others what they promise of a wait.
fn finish(mut config: SimConfig, dice: &mut Dice) -> SimConfig {
    let entry = config.run.lock.entry();
    // The rivals' queues have one node for each CPU. And a workload with interrupts of its own masks
    // those, not these: two kinds of handlers that wait over each other are a deadlock of any lock.
    if entry.policy.is_some() && config.run.workload.id != WorkloadId::NestedContexts {
        config.jitter.interrupt_one_in = *dice.of(&[0, 0, 0, 8, 40]);
    }
    // Handlers wait for locks of their own, over whatever they interrupt: who waits for that waits
    // for as long as all of them together.
    let interrupted = config.jitter.interrupt_one_in > 0;
    // Others have several locks, and what is inside of one may wait for another.
    let one_lock = config.run.workload.id == WorkloadId::HotLock;
    config.jitter.late_timer_one_in = *dice.of(&[0, 0, 0, 5, 50]);
    // A call takes time: vCPUs that give their pCPUs to each other for ever must not stop it.
    config.costs.hypercall_ns = config.costs.hypercall_ns.max(100);
    config.wait_limits = WaitLimits {
        longest_ns: longest_wait_ns(&config).filter(|_| one_lock && !interrupted),
        // Every other vCPU once, and the vCPU that took the lock before, if it has yet to say so.
        overtakers: (entry.fair && one_lock).then_some(config.run.vcpus as u64),
    };
    config
}

/// How long a wait may last under a schedule: in strict order, and in `bounded` once its age has
/// closed the lock to others. No bound for the rest.
///
/// A wait lasts for as many turns as there are vCPUs. In each turn the vCPU that has it may be off its
/// pCPU when it begins, and lose its pCPU as often as slices end in a critical section, each for a
/// rotation; by chance, too, where the schedule preempts by chance. The least slice is half a
/// slice, and a rotation takes twice as long as the slices of all, because under policies that
/// keep accounts one may have to wait until others have had what they are due. Nothing here needs the
/// host's help: a chain that is not followed, or an order that is not kept, costs the holder such
/// rotations, and no more. A neighbour of another weight may have slices of another length, or more
/// of them in a row: no bound beside one.
fn longest_wait_ns(config: &SimConfig) -> Option<u64> {
    let slack_ns = match config.run.lock {
        LockId::Bounded => u64::from(BOUNDED_WAIT_US) * 1_000,
        lock if lock.entry().fair => 0,
        _ => return None,
    };
    let neighbour = config.run.neighbour;
    if neighbour.is_some_and(|neighbour| neighbour.weight != config.run.weight) {
        return None;
    }
    let costs = &config.costs;
    // Where timers are late, a slice takes twice as long at most.
    let late = u64::from(config.jitter.late_timer_one_in > 0);
    let a_slice = config.run.host.slice_ns * (1 + late)
        + config.run.host.min_loan_ns
        + u64::from(costs.switch_ns + costs.hypercall_ns + costs.poke_ns);
    // Where VMs run as gangs, one after the other, what one leaves free stays unused.
    let slices = config.vms * config.run.vcpus.div_ceil(config.run.host.pcpus)
        + neighbour.map_or(0, |neighbour| {
            neighbour.vcpus.div_ceil(config.run.host.pcpus)
        });
    let rotation = 2 * a_slice * slices as u64;
    // Uniform lengths: half more than the mean. A section makes fewer than twenty calls.
    let inside = u64::from(config.run.workload.inside.mean_ns) * 3 / 2
        + 20 * u64::from(config.jitter.longest_ns);
    let by_slices = 1 + inside.div_ceil(config.run.host.slice_ns / 2);
    let by_chance = 4;
    let turns = config.run.vcpus as u64;
    Some(slack_ns + turns * (rotation * (by_slices + by_chance) + inside))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_is_drawn_by_some_seed() {
        let schedules: Vec<_> = (0..400).map(|seed| torture(LockId::Fifo, seed)).collect();
        let some = |what: &str, is: &dyn Fn(&SimConfig) -> bool| {
            let count = schedules.iter().filter(|schedule| is(schedule)).count();
            assert!((1..400).contains(&count), "{what}: {count} of 400");
        };
        for entry in CATALOG
            .iter()
            .filter(|entry| entry.id != WorkloadId::Halted)
        {
            some(entry.name, &|schedule| schedule.run.workload.id == entry.id);
        }
        for scheduling in Scheduling::ALL {
            some(scheduling.name(), &|schedule| {
                schedule.run.host.scheduling == scheduling
            });
        }
        some("several VMs", &|schedule| schedule.vms > 1);
        some("many pCPUs", &|schedule| schedule.run.host.pcpus > 8);
        some("no chains", &|schedule| !schedule.run.host.follow_chain);
        some("no order", &|schedule| !schedule.run.host.ordered);
        some("a neighbour", &|schedule| schedule.run.neighbour.is_some());
        some("a bound on waits", &|schedule| {
            schedule.wait_limits.longest_ns.is_some()
        });
        for schedule in &schedules {
            let sound = schedule.validate();
            assert!(sound.is_ok(), "{sound:?}: {schedule:?}");
        }
    }
}
