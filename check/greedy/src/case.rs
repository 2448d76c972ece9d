//! A host, its VMs, and the programs of the greedy one, out of bytes.

use pvqspin_host::{Cap, Scheduling, YieldMode};

use crate::bytes::Bytes;
use crate::subject::Setup;

/// A slice, in nanoseconds.
pub(crate) const SLICE: u64 = 1_000_000;

/// How many slices a case lasts.
pub(crate) const SLICES: u64 = 300;

/// Another vCPU of the VM, as seen from the one that names it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The next one after it, in a circle, that could run and does not.
    NextPreempted,
    /// The next one that has halted.
    NextHalted,
    /// The next one, whatever it does.
    Next,
    /// The one with this number.
    Number(usize),
}

/// What a vCPU does at the end of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Action {
    /// A directed yield, if there is such a vCPU.
    Yield(Target),
    /// A halt, with a hint if there is such a vCPU; a timer ends it after so many nanoseconds.
    Halt(Option<Target>, u64),
    /// A kick.
    Kick(Target),
    /// Sleep, until a timer ends it after so many nanoseconds.
    Nap(u64),
    /// A timer for another vCPU, so many nanoseconds from now.
    Timer(Target, u64),
    /// It says that it waits for another one, or for none.
    Edge(Option<Target>),
}

/// Compute for so many nanoseconds, then act.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// How long it computes, in nanoseconds.
    pub compute_ns: u64,
    /// What it does then.
    pub action: Action,
}

/// The size of a VM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Neighbour {
    /// How many vCPUs it has.
    pub vcpus: usize,
    /// The weight of each.
    pub weight: u32,
}

/// A case: see the crate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Case {
    /// The host.
    pub setup: Setup,
    /// The VM whose share is at stake. Its vCPUs only compute.
    pub victim: Neighbour,
    /// When the victim starts, in slices.
    pub victim_starts: u64,
    /// Another VM that only computes.
    pub bystander: Option<Neighbour>,
    /// The VM that runs `programs`.
    pub greedy: Neighbour,
    /// The cap of each of its vCPUs.
    pub cap: Option<Cap>,
    /// Programs of the greedy VM, each a circle of steps; an empty one only computes.
    pub programs: Vec<Vec<Step>>,
    /// How many of its vCPUs run the first program; the others take turns through the rest.
    pub first: usize,
    /// After how many slices the greedy VM is removed and added again, over and over.
    pub churn: Option<u64>,
}

const WEIGHTS: [u32; 6] = [1, 1, 2, 3, 10, 100];

const COMPUTE: [u64; 8] = [
    10_000,
    1_000,
    100_000,
    SLICE / 4,
    SLICE / 2,
    SLICE * 9 / 10,
    SLICE - 1_000,
    SLICE * 3,
];

const REST: [u64; 8] = [
    1_000,
    10_000,
    100_000,
    SLICE / 2,
    SLICE,
    SLICE * 2,
    SLICE * 8,
    SLICE * 40,
];

impl Case {
    /// The case that some bytes mean. All zeros and no bytes at all mean the simplest one.
    #[must_use]
    pub fn from_bytes(input: &[u8]) -> Self {
        let bytes = &mut Bytes::new(input);
        let scheduling = bytes.one_of(&Scheduling::ALL);
        let yields = bytes.one_of(&YieldMode::ALL);
        Self::of_policy(scheduling, yields, bytes)
    }

    /// The case of a seed. An odd one has fewer bytes, so that more of it is as simple as can be.
    #[must_use]
    pub fn from_seed(seed: u64) -> Self {
        let mut state = seed;
        let mut bytes = [0; 80];
        for chunk in bytes.chunks_mut(8) {
            // SplitMix64: good enough here, and the same everywhere.
            state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = state;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(z ^ (z >> 31)).to_le_bytes());
        }
        let length = if seed.is_multiple_of(2) {
            bytes.len()
        } else {
            (seed / 2 % bytes.len() as u64) as usize
        };
        Self::from_bytes(&bytes[..length])
    }

    /// The same case on a host with another policy.
    #[must_use]
    pub fn under(mut self, scheduling: Scheduling, yields: YieldMode) -> Self {
        self.setup.scheduling = scheduling;
        self.setup.yields = yields;
        self
    }

    /// The same case, and the greedy VM is capped: every `period` slices each of its vCPUs may have one of `parts`
    /// parts of a period.
    #[must_use]
    pub fn capped(mut self, period: u64, parts: u64) -> Self {
        let period_ns = period * SLICE;
        self.cap = Some(Cap {
            quota_ns: (period_ns / parts).clamp(self.setup.min_loan_ns, period_ns),
            period_ns,
        });
        self
    }

    fn of_policy(scheduling: Scheduling, yields: YieldMode, bytes: &mut Bytes<'_>) -> Self {
        let pcpus = 1 + bytes.below(8);
        let setup = Setup {
            pcpus,
            scheduling,
            yields,
            slice_ns: SLICE,
            min_loan_ns: SLICE / bytes.one_of(&[30, 4, 2]),
        };
        let programs: Vec<_> = (0..1 + bytes.below(3)).map(|_| program(bytes)).collect();
        let greedy = Neighbour {
            vcpus: 1 + bytes.below(3 * pcpus),
            weight: bytes.one_of(&WEIGHTS),
        };
        let bystander = (bytes.below(3) == 1).then(|| Neighbour {
            vcpus: 1 + bytes.below(pcpus),
            weight: bytes.one_of(&WEIGHTS),
        });
        let victim = Neighbour {
            vcpus: 1 + bytes.below(2 * pcpus),
            weight: bytes.one_of(&WEIGHTS),
        };
        Self {
            setup,
            victim,
            victim_starts: bytes.one_of(&[0, 0, 0, 100]),
            bystander,
            greedy,
            cap: None,
            programs,
            first: 1 + bytes.below(greedy.vcpus),
            churn: bytes.one_of(&[None, None, None, None, None, None, Some(7), Some(7)]),
        }
    }

    /// Whether its vCPUs give up pCPUs without lending them.
    pub(crate) fn gives_up(&self) -> bool {
        self.programs
            .iter()
            .flatten()
            .any(|step| match step.action {
                Action::Halt(..) | Action::Nap(_) => true,
                Action::Yield(_) | Action::Kick(_) => self.setup.yields == YieldMode::Hint,
                Action::Timer(..) | Action::Edge(_) => false,
            })
    }

    /// Which program a vCPU of the greedy VM runs.
    pub(crate) fn program_of(&self, vcpu: usize) -> &[Step] {
        let others = self.programs.len() - 1;
        if vcpu < self.first || others == 0 {
            &self.programs[0]
        } else {
            &self.programs[1 + (vcpu - self.first) % others]
        }
    }
}

/// Up to four steps, the first of which may come several times in a row.
fn program(bytes: &mut Bytes<'_>) -> Vec<Step> {
    let steps: Vec<_> = (0..bytes.below(5)).map(|_| step(bytes)).collect();
    let more = bytes.one_of(&[0, 0, 1, 3, 7, 15]);
    let first = steps.first().copied();
    let again = first.into_iter().cycle().take(more);
    again.chain(steps).collect()
}

fn step(bytes: &mut Bytes<'_>) -> Step {
    let compute_ns = bytes.one_of(&COMPUTE);
    let action = match bytes.below(8) {
        0 | 1 => Action::Yield(target(bytes)),
        2 => Action::Halt(Some(target(bytes)), bytes.one_of(&REST)),
        3 => Action::Halt(None, bytes.one_of(&REST)),
        4 => Action::Kick(target(bytes)),
        5 => Action::Nap(bytes.one_of(&REST)),
        6 => Action::Timer(target(bytes), bytes.one_of(&REST)),
        _ => Action::Edge((bytes.below(3) != 0).then(|| target(bytes))),
    };
    Step { compute_ns, action }
}

fn target(bytes: &mut Bytes<'_>) -> Target {
    match bytes.below(6) {
        0..=2 => Target::NextPreempted,
        3 => Target::NextHalted,
        4 => Target::Next,
        _ => Target::Number(bytes.below(4)),
    }
}
