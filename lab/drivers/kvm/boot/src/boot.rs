//! The boot block: what the guest is to do, written by the VMM before it starts.

use pvqspin_load::{Distribution, NeighbourKind, Section, WorkloadConfig, WorkloadId, catalog};
use pvqspin_rivals::catalog::LockId;

use crate::greedy::{self, Programs};

/// Where the boot block lies.
pub const BOOT_AT: u64 = 0x1_0000;

/// How the guest reaches its hypervisor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Transport {
    /// A port write exits to the VMM, which schedules its vCPUs itself.
    Doorbell = 0,
    /// KVM's own hypercalls; Linux schedules the vCPU threads.
    Stock = 1,
    /// The same without directed yields: the lock halts and kicks, and still sees who is preempted.
    StockKicks = 2,
    /// The same without anything: the lock tells nothing, and sees no vCPU preempted.
    StockSilent = 3,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Doorbell,
        Self::Stock,
        Self::StockKicks,
        Self::StockSilent,
    ];

    /// The name on command lines and in results.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Doorbell => "doorbell",
            Self::Stock => "stock",
            Self::StockKicks => "stock-kicks",
            Self::StockSilent => "stock-silent",
        }
    }

    /// Whether Linux schedules the vCPUs.
    #[must_use]
    pub const fn is_stock(self) -> bool {
        !matches!(self, Self::Doorbell)
    }
}

/// What the vCPUs of a VM do.
#[derive(Clone, Copy, PartialEq, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "there is one for each VM, and the guest reads it before it has a heap"
)]
pub enum Role {
    /// A workload with a lock of the catalogue.
    Locks(LockId, WorkloadConfig),
    /// No locks.
    Neighbour(NeighbourKind),
    /// Trials of the VMM: see [`Trial`].
    Trial(Trial),
    /// Programs that take what they can: on a stock transport.
    Greedy(Programs),
}

/// What a guest does to be looked at. Those that go wrong do so each in its own way, and the VMM must
/// say how; the others are timed, and leave their ticks in [`Results`](crate::Results).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Trial {
    /// Loops for ever.
    Hang = 0,
    /// Executes an undefined instruction.
    Undefined = 1,
    /// Reads where no memory is.
    Unmapped = 2,
    /// Writes to a port that has no listener.
    BadPort = 3,
    /// Rings with a word that means nothing.
    BadRing = 4,
    /// Panics.
    Panic = 5,
    /// Calls with registers that make no sense, and goes on.
    BadCall = 6,
    /// Halts, although no kick will come.
    HaltForEver = 7,
    /// Computes for [`COMPUTE_TURNS`] turns.
    Compute = 8,
    /// Rings [`RINGS`] times for nothing.
    Rings = 9,
    /// Makes one of KVM's own hypercalls.
    Hypercall = 10,
    /// Executes an undefined instruction, with nothing that could be a stack.
    NoStack = 11,
}

/// How many turns a timed computation takes: some ten microseconds at a processor's own speed, and
/// tens of milliseconds where each instruction is emulated.
pub const COMPUTE_TURNS: u64 = 10_000;

/// How often a timed guest rings.
pub const RINGS: u64 = 1_000;

impl Trial {
    /// Every trial.
    pub const ALL: [Self; 12] = [
        Self::Hang,
        Self::Undefined,
        Self::Unmapped,
        Self::BadPort,
        Self::BadRing,
        Self::Panic,
        Self::BadCall,
        Self::HaltForEver,
        Self::Compute,
        Self::Rings,
        Self::Hypercall,
        Self::NoStack,
    ];
}

/// The clock of the guest: that of the VMM, so that both speak of the same nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Clock {
    /// Ticks of the guest's time-stamp counter at time 0.
    pub base_ticks: u64,
    /// Nanoseconds for each tick, as a 32.32 fixed-point number.
    pub ns_per_tick: u64,
    /// Ticks for each nanosecond, likewise.
    pub ticks_per_ns: u64,
    /// Turns of the loop that stands for work for each nanosecond, likewise.
    pub turns_per_ns: u64,
}

/// The boot block.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Boot {
    /// How the guest reaches its hypervisor.
    pub transport: Transport,
    /// How many vCPUs there are.
    pub vcpus: usize,
    /// What they do.
    pub role: Role,
    /// Their clock.
    pub clock: Clock,
}

/// How many words a boot block has.
pub const WORDS: usize = PROGRAMS + greedy::WORDS;

/// Where the programs of a greedy VM lie in it: behind the last word that every role has.
const PROGRAMS: usize = 8;

impl Boot {
    /// The block as it lies in memory.
    #[must_use]
    pub fn to_words(&self) -> [u64; WORDS] {
        let mut words = [0; WORDS];
        let section = |section: Section| [section.mean_ns.into(), section.distribution as u64];
        let (kind, what) = match self.role {
            Role::Locks(lock, config) => {
                let [inside, outside] = [config.inside, config.outside].map(section);
                words[8] = config.id as u64;
                words[9..11].copy_from_slice(&inside);
                words[11..13].copy_from_slice(&outside);
                words[13] = config.seed;
                (0, lock as u64)
            }
            Role::Neighbour(kind) => (1, kind as u64),
            Role::Trial(trial) => (2, trial as u64),
            Role::Greedy(programs) => {
                words[PROGRAMS..].copy_from_slice(&programs.to_words());
                (3, 0)
            }
        };
        words[..8].copy_from_slice(&[
            self.transport as u64,
            self.vcpus as u64,
            self.clock.base_ticks,
            self.clock.ns_per_tick,
            self.clock.ticks_per_ns,
            self.clock.turns_per_ns,
            kind,
            what,
        ]);
        words
    }

    /// The block in these words; `None` if they are none.
    #[must_use]
    pub fn from_words(words: &[u64; WORDS]) -> Option<Self> {
        let index = |at: usize| usize::try_from(words[at]).ok();
        let section = |at: usize| {
            Some(Section {
                mean_ns: u32::try_from(words[at]).ok()?,
                distribution: match words[at + 1] {
                    0 => Distribution::Fixed,
                    1 => Distribution::Uniform,
                    2 => Distribution::Exponential,
                    _ => return None,
                },
            })
        };
        let role = match words[6] {
            0 => Role::Locks(
                *LockId::ALL.get(index(7)?)?,
                WorkloadConfig {
                    id: workload(index(8)?)?,
                    inside: section(9)?,
                    outside: section(11)?,
                    seed: words[13],
                },
            ),
            1 => Role::Neighbour(*NeighbourKind::ALL.get(index(7)?)?),
            2 => Role::Trial(*Trial::ALL.get(index(7)?)?),
            3 if words[7] == 0 => Role::Greedy(Programs::from_words(&words[PROGRAMS..])?),
            _ => return None,
        };
        Some(Self {
            transport: *Transport::ALL.get(index(0)?)?,
            vcpus: index(1)?,
            role,
            clock: Clock {
                base_ticks: words[2],
                ns_per_tick: words[3],
                ticks_per_ns: words[4],
                turns_per_ns: words[5],
            },
        })
    }
}

fn workload(index: usize) -> Option<WorkloadId> {
    catalog::CATALOG.get(index).map(|entry| entry.id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_survives_its_words() {
        let boot = |role| Boot {
            transport: Transport::Stock,
            vcpus: 17,
            role,
            clock: Clock {
                base_ticks: 1,
                ns_per_tick: 2,
                ticks_per_ns: 3,
                turns_per_ns: 4,
            },
        };
        let section = |mean_ns, distribution| Section {
            mean_ns,
            distribution,
        };
        let locks = LockId::ALL.into_iter().flat_map(|lock| {
            catalog::CATALOG.iter().map(move |entry| {
                let config = WorkloadConfig {
                    id: entry.id,
                    inside: section(5, Distribution::Exponential),
                    outside: section(6, Distribution::Uniform),
                    seed: u64::MAX,
                };
                Role::Locks(lock, config)
            })
        });
        let neighbours = NeighbourKind::ALL.into_iter().map(Role::Neighbour);
        let trials = Trial::ALL.into_iter().map(Role::Trial);
        let greedy = [Role::Greedy(Programs::BUSY)];
        for role in locks.chain(neighbours).chain(trials).chain(greedy) {
            let block = boot(role);
            assert_eq!(Boot::from_words(&block.to_words()), Some(block));
        }
    }

    #[test]
    fn what_names_nothing_is_no_block() {
        let good = Boot {
            transport: Transport::Doorbell,
            vcpus: 1,
            role: Role::Trial(Trial::Hang),
            clock: Clock::default(),
        };
        for at in [0, 6, 7] {
            let mut words = good.to_words();
            words[at] = u64::MAX;
            assert_eq!(Boot::from_words(&words), None, "word {at}");
        }
        let greedy = Boot {
            role: Role::Greedy(Programs::BUSY),
            ..good
        };
        for at in [7, PROGRAMS, WORDS - 1] {
            let mut words = greedy.to_words();
            words[at] = u64::MAX;
            assert_eq!(Boot::from_words(&words), None, "word {at} of a greedy VM");
        }
    }
}
