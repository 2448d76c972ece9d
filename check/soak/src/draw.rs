//! What a turn does: which driver, and everything else from its seed.

use core::fmt;
use core::str::FromStr;
use std::time::Duration;

use pvqspin::Point;
use pvqspin_host::{Scheduling, YieldMode};
use pvqspin_hypervisor::{HvConfig, Probe, Run};
use pvqspin_load::catalog::CATALOG as WORKLOADS;
use pvqspin_load::{
    Fault, Faults, NeighbourKind, NeighbourVm, Passing, Section, WorkloadConfig, WorkloadId,
};
use pvqspin_rivals::catalog::LockId;
use pvqspin_simulator::Dice;
use serde::{Deserialize, Serialize};

/// Who runs the virtual CPUs.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Driver {
    /// Virtual time.
    Simulator,
    /// Pinned threads, real preemption.
    Hypervisor,
    /// Ordinary threads.
    Threads,
    /// The host by itself, with guests that look for a way to take more than their share.
    Host,
}

impl Driver {
    /// All of them, in the order of their turns.
    pub(crate) const ALL: [Self; 4] =
        [Self::Simulator, Self::Hypervisor, Self::Threads, Self::Host];

    /// The name on command lines.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Simulator => "simulator",
            Self::Hypervisor => "hypervisor",
            Self::Threads => "threads",
            Self::Host => "host",
        }
    }
}

/// One turn: its driver, and the seed of all that is drawn for it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) struct Turn {
    pub(crate) driver: Driver,
    pub(crate) seed: u64,
}

impl Turn {
    /// The `number`th turn of a soak, from 0.
    pub(crate) fn of_soak(soak_seed: u64, number: u64) -> Self {
        let driver = Driver::ALL[(number % Driver::ALL.len() as u64) as usize];
        let mut dice = Dice::new(soak_seed, number);
        let seed = u64::from(dice.bits());
        Self { driver, seed }
    }
}

impl fmt::Display for Turn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.driver.name(), self.seed)
    }
}

impl FromStr for Turn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parse = || {
            let (name, seed) = text.split_once(':')?;
            let driver = (Driver::ALL.into_iter()).find(|driver| driver.name() == name)?;
            let seed = seed.parse().ok()?;
            Some(Self { driver, seed })
        };
        parse().ok_or_else(|| {
            "give a driver and a seed: simulator:17, hypervisor:17, threads:17 or host:17"
                .to_owned()
        })
    }
}

/// Our own locks, on every word; the native one is among the rivals.
const LOCKS: [LockId; 6] = [
    LockId::Fifo,
    LockId::FifoBit,
    LockId::FifoHalt,
    LockId::FifoHolder,
    LockId::Bounded,
    LockId::NativeQueued,
];

/// How many schedules of the simulator are one turn.
const SCHEDULES: u64 = 12_000;

/// How many of the reader-writer lock are.
const OF_READERS_AND_WRITERS: u64 = 4_000;

/// Many random schedules of one lock.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Schedules {
    pub(crate) of: Tortured,
    pub(crate) seeds: core::ops::Range<u64>,
}

/// What random schedules are made of.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Tortured {
    /// A lock of the catalogue, under all workloads.
    Lock(LockId),
    /// The reader-writer lock under one of these policies.
    ReadersAndWriters(RwPolicy),
}

/// The policies of the reader-writer lock.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum RwPolicy {
    Fifo,
    FifoHalt,
    Bounded,
    Native,
}

/// A turn of the simulator.
pub(crate) fn schedules(seed: u64) -> Schedules {
    let mut dice = Dice::new(seed, 1);
    let lock = *dice.of(&LOCKS);
    let first = u64::from(dice.bits()) << 16;
    let policies = [
        RwPolicy::Fifo,
        RwPolicy::FifoHalt,
        RwPolicy::Bounded,
        RwPolicy::Native,
    ];
    let (of, schedules) = match dice.between(1, 5) {
        1 => {
            let policy = *dice.of(&policies);
            (Tortured::ReadersAndWriters(policy), OF_READERS_AND_WRITERS)
        }
        _ => (Tortured::Lock(lock), SCHEDULES),
    };
    Schedules {
        of,
        seeds: first..first + schedules,
    }
}

/// A turn of the embedded hypervisor.
pub(crate) fn hypervisor_run(seed: u64, probe: &Probe) -> HvConfig {
    let mut dice = Dice::new(seed, 2);
    let most = probe.cpus.len().min(4) as u32;
    let pcpus = dice.between(1, most) as usize;
    let slice_ns = u64::from(dice.between(50, 1_000)) * 1_000;
    let fault = |dice: &mut Dice| Fault {
        point: *dice.of(&Point::ALL),
        vcpu: None,
        passing: Passing::Every(*dice.of(&[3, 7, 50, 1_000])),
    };
    let neighbour = NeighbourVm {
        kind: NeighbourKind::Busy,
        vcpus: 1 + pcpus,
        weight: *dice.of(&[256, 1_024, 4_096]),
    };
    let mut hypercall_ns = 0;
    let run = Run::default().with(|run| {
        run.lock = *dice.of(&LOCKS);
        run.workload = workload(&mut dice, seed);
        run.host.pcpus = pcpus;
        run.vcpus = pcpus + dice.between(0, 8) as usize;
        run.host.scheduling = *dice.of(&Scheduling::ALL);
        run.host.yields = *dice.of(&[YieldMode::Contract, YieldMode::Contract, YieldMode::Hint]);
        run.host.slice_ns = slice_ns;
        run.host.min_loan_ns = slice_ns / *dice.of(&[2, 4, 50]);
        hypercall_ns = *dice.of(&[0, 100, 1_000]);
        run.faults = Faults((0..dice.between(0, 3)).map(|_| fault(&mut dice)).collect());
        run.neighbour = Some(neighbour).filter(|_| dice.between(1, 4) == 1);
        run.warmup_ns = Some(20_000_000);
        run.duration_ns = 1_000_000_000;
        // What is slow because the machine does other things must not look lost.
        run.stall_after_ns = Some(90_000_000_000);
        run.halt_timeout_ns = Some(30_000_000_000);
    });
    HvConfig {
        hypercall_ns,
        ..HvConfig::from(run)
    }
}

/// A turn of threads.
pub(crate) fn thread_run(seed: u64) -> pvqspin_user_space::threads::RunConfig {
    let mut dice = Dice::new(seed, 3);
    let ours: Vec<_> = (pvqspin_user_space::threads::CATALOG.iter())
        .filter(|entry| entry.policy.is_some())
        .collect();
    pvqspin_user_space::threads::RunConfig {
        lock: dice.of(&ours).id,
        workload: workload(&mut dice, seed),
        threads: dice.between(2, 16) as usize,
        warmup: Duration::from_millis(5),
        duration: Duration::from_millis(500),
    }
}

/// How many programs of guests are one turn of the host.
const PROGRAMS: u64 = 8_000;

/// A turn of the host: the seeds of the guests' programs.
pub(crate) fn programs(seed: u64) -> core::ops::Range<u64> {
    let mut dice = Dice::new(seed, 4);
    let first = u64::from(dice.bits()) << 16;
    first..first + PROGRAMS
}

/// A workload that takes locks.
fn workload(dice: &mut Dice, seed: u64) -> WorkloadConfig {
    let busy: Vec<_> = (WORKLOADS.iter())
        .filter(|entry| entry.id != WorkloadId::Halted)
        .collect();
    let entry = *dice.of(&busy);
    // Half of the time as the workload is known, otherwise anything.
    let (inside, outside) = if dice.between(0, 1) == 0 {
        (entry.inside_ns, entry.outside_ns)
    } else {
        let lengths = [200, 1_000, 5_000, 80_000];
        (*dice.of(&lengths), *dice.of(&lengths))
    };
    WorkloadConfig {
        id: entry.id,
        inside: Section::uniform(inside),
        outside: Section::uniform(outside),
        seed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_turn_is_read_as_it_is_written() {
        for number in 0..8 {
            let turn = Turn::of_soak(7, number);
            assert_eq!(turn.to_string().parse(), Ok(turn));
        }
        for wrong in ["", "17", "simulator", "simulator:", "sim:1", "threads:-1"] {
            let error = wrong.parse::<Turn>().expect_err(wrong);
            assert!(error.contains("hypervisor:17"), "{error}");
        }
    }

    #[test]
    fn a_seed_says_everything_and_two_say_different_things() {
        assert_eq!(schedules(5), schedules(5));
        let drawn = |seed| matches!(schedules(seed).of, Tortured::ReadersAndWriters(_));
        assert!((0..40).any(drawn) && !(0..40).all(drawn));
        assert_eq!(thread_run(5), thread_run(5));
        assert!((0..20).any(|seed| thread_run(seed) != thread_run(seed + 1)));
        assert_eq!(programs(5), programs(5));
        assert!((0..20).any(|seed| programs(seed) != programs(seed + 1)));
        let turns: Vec<_> = (0..6).map(|number| Turn::of_soak(7, number)).collect();
        assert_eq!(turns[0].driver, turns[4].driver);
        assert_ne!(turns[0].seed, turns[4].seed);
    }
}
