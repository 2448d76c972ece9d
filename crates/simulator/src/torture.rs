//! Random schedules: everything about a run follows from one number.
//!
//! A schedule is a small machine with short slices, some faults and some jitter. What goes wrong
//! under a seed goes wrong again under the same seed.

use pvqspin::Point;
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_peers::catalog::LockId;
use pvqspin_workload::{Distribution, Section, WorkloadConfig, WorkloadId};
use rand_core::Rng;
use rand_pcg::Pcg32;

use crate::config::SimConfig;
use crate::costs::{Costs, LineCosts};
use crate::faults::{Fault, Faults, Jitter, Passing};

/// The schedule of a seed: a configuration for [`run`](crate::run()).
///
/// ```
/// use pvqspin_peers::catalog::LockId;
/// use pvqspin_simulator::{run, torture};
///
/// let schedule = torture(LockId::Fifo, 42);
/// assert_eq!(schedule, torture(LockId::Fifo, 42));
/// run(&schedule)?;
/// # Ok::<(), pvqspin_simulator::SimError>(())
/// ```
#[must_use]
pub fn torture(lock: LockId, seed: u64) -> SimConfig {
    let mut dice = Dice(Pcg32::new(seed, 0x7012_7012));
    let pcpus = dice.between(1, 4) as usize;
    let vcpus = pcpus + dice.between(1, 7) as usize;
    let slice_ns = dice.between(15_000, 80_000).into();
    let section = |mean_ns| Section {
        mean_ns,
        distribution: Distribution::Uniform,
    };
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
    };
    let costs = Costs {
        switch_ns: *dice.of(&[0, 500, 2_000]),
        hypercall_ns: *dice.of(&[0, 100, 1_000]),
        poke_ns: *dice.of(&[0, 1_000, 10_000]),
        line: LineCosts::flat(*dice.of(&[0, 60, 300])),
        ..Costs::default()
    };
    SimConfig {
        lock,
        workload: WorkloadConfig {
            id: WorkloadId::HotLock,
            inside: section(inside),
            outside: section(outside),
            seed,
        },
        pcpus,
        vcpus,
        scheduling,
        yields,
        slice_ns,
        min_loan_ns: slice_ns / *dice.of(&[1, 4, 50]),
        costs,
        warmup_ns: Some(0),
        duration_ns: 400_000,
        seed,
        faults,
        jitter,
        // Beyond any number of rotations of such slices.
        stall_after_ns: 100_000_000,
        halt_timeout_ns: 100_000_000,
        ..SimConfig::default()
    }
}

/// Numbers from a seed.
struct Dice(Pcg32);

impl Dice {
    /// A number from `low` to `high`, both included.
    fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.0.next_u32() % (high - low + 1)
    }

    fn of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        let at = self.0.next_u32() as usize % choices.len();
        &choices[at]
    }
}
