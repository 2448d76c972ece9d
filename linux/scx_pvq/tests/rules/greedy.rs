//! The search for guests that take a neighbour's share, with the rules of the BPF program as the host.
//!
//! [`Twin`] does with the functions of `rules.h` what `scx_pvq.bpf.c` does with them: callback by callback, on one cache
//! domain. A failure prints its seed; `GREEDY_SEED=SEED` runs the same cases again, `GREEDY_CASES=N` more of them.

mod callbacks;

use std::collections::{BTreeSet, VecDeque};

use pvqspin_abi::RunState;
use pvqspin_greedy::{Case, Placed, Setup, Subject, judge};
use pvqspin_host::{Scheduling, YieldMode};
use rand_core::Rng as _;
use rand_pcg::Pcg64Mcg;

use crate::c::{CAccount, CClock, CSlice, CTerms};

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Place {
    Asleep,
    On(usize),
    Queued(u64),
    Held(usize),
    Gone,
}

struct Task {
    account: CAccount,
    place: Place,
    owns: Option<usize>,
    started: bool,
    halted: bool,
    kicked: bool,
    last_cpu: usize,
}

#[derive(Default)]
struct CpuState {
    slice: CSlice,
    runs: Option<u32>,
    /// Its slice was ended by a task that woke.
    preempted: bool,
}

struct Twin {
    terms: CTerms,
    clock: CClock,
    turn: u64,
    tasks: Vec<Task>,
    cpus: Vec<CpuState>,
    /// Virtual time, turn, task: virtual times of a search never come round.
    queue: BTreeSet<(u64, u64, u32)>,
    pokes: VecDeque<usize>,
}

/// Slices name tasks from 1.
fn id(task: u32) -> u64 {
    u64::from(task) + 1
}

impl Subject for Twin {
    fn new(setup: &Setup) -> Self {
        Self {
            terms: CTerms {
                slice_ns: setup.slice_ns,
                min_loan_ns: setup.min_loan_ns,
            },
            clock: CClock::of(0, 1),
            turn: 0,
            tasks: Vec::new(),
            cpus: (0..setup.pcpus).map(|_| CpuState::default()).collect(),
            queue: BTreeSet::new(),
            pokes: VecDeque::new(),
        }
    }

    fn add_vm(&mut self, _now: u64, vcpus: usize, weight: u32) -> Vec<u32> {
        let first = self.tasks.len() as u32;
        for number in 0..vcpus {
            self.tasks.push(Task {
                account: CAccount::new(weight),
                place: Place::Asleep,
                owns: None,
                started: false,
                halted: false,
                kicked: false,
                last_cpu: number % self.cpus.len(),
            });
        }
        (first..first + vcpus as u32).collect()
    }

    fn remove_vm(&mut self, _now: u64, vcpus: &[u32]) {
        for &vcpu in vcpus {
            self.take(vcpu);
            if let Place::On(p) = self.tasks[vcpu as usize].place {
                self.cpus[p].runs = None;
                self.pokes.push_back(p);
            }
            self.task(vcpu).place = Place::Gone;
        }
    }

    fn start(&mut self, now: u64, vcpu: u32) {
        if self.tasks[vcpu as usize].place == Place::Asleep {
            self.wake(now, vcpu);
        }
    }

    fn reschedule(&mut self, now: u64, pcpu: usize) -> Placed {
        let cpu = &self.cpus[pcpu];
        if let Some(task) = cpu.runs
            && cpu.slice.current == id(task)
            && !cpu.slice.is_over(now)
            && !cpu.preempted
        {
            return self.now_on(pcpu);
        }
        self.dispatch(now, pcpu, true, None)
    }

    fn yield_to(&mut self, now: u64, pcpu: usize, to: u32) -> Placed {
        if self.cpus[pcpu].runs == Some(to) {
            return self.now_on(pcpu);
        }
        self.dispatch(now, pcpu, true, Some(to))
    }

    fn halt(&mut self, now: u64, pcpu: usize, _to: Option<u32>) -> Placed {
        let Some(task) = self.cpus[pcpu].runs else {
            return Placed::default();
        };
        if std::mem::take(&mut self.task(task).kicked) {
            return self.now_on(pcpu);
        }
        self.task(task).halted = true;
        self.sleep(now, pcpu)
    }

    fn kick(&mut self, now: u64, pcpu: usize, to: u32) -> Placed {
        if self.tasks[to as usize].halted {
            self.wake(now, to);
        } else {
            self.task(to).kicked = true;
        }
        // KVM yields to the one that was kicked.
        self.yield_to(now, pcpu, to)
    }

    fn block(&mut self, now: u64, pcpu: usize) -> Placed {
        self.sleep(now, pcpu)
    }

    fn set_edge(&mut self, _vcpu: u32, _to: Option<u32>) {}

    fn state(&self, vcpu: u32) -> RunState {
        let task = &self.tasks[vcpu as usize];
        match task.place {
            Place::On(_) => RunState::Running,
            Place::Asleep if task.halted => RunState::Halted,
            Place::Asleep | Place::Gone => RunState::Idle,
            _ => RunState::Preempted,
        }
    }

    fn next_poke(&mut self) -> Option<usize> {
        self.pokes.pop_front()
    }
}

#[test]
fn no_program_takes_a_neighbours_share() {
    let number = |name: &str| {
        std::env::var(name)
            .ok()
            .and_then(|text| text.parse::<u64>().ok())
    };
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(1, |now| now.as_nanos() as u64);
    let seed = number("GREEDY_SEED").unwrap_or(now);
    // Before the first case: a panic inside of the search prints no verdict.
    println!("GREEDY_SEED={seed}");
    let mut random = Pcg64Mcg::new(u128::from(seed) << 1 | 1);
    for case_number in 0..number("GREEDY_CASES").unwrap_or(1000) {
        let length = (random.next_u64() % 96) as usize;
        let bytes: Vec<u8> = (0..length).map(|_| random.next_u64() as u8).collect();
        let mut case = Case::from_bytes(&bytes);
        case.setup.scheduling = Scheduling::Fair;
        case.setup.yields = YieldMode::Contract;
        let verdict = judge::<Twin>(&case);
        assert!(verdict.holds(), "case {case_number}: {verdict:?}\n{case:?}");
    }
}
