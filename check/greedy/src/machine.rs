//! A machine in virtual time that follows the host, and runs the programs of a case.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use pvqspin_abi::RunState;

use crate::case::{Action, Case, SLICE, SLICES, Step, Target};
use crate::subject::{Placed, Subject};

/// After so many events a case ends early: programs that call all the time would take too long.
const MOST_EVENTS: u64 = 12_000;

/// A timer of a guest: when, for which vCPU of the greedy VM, and of which of its lives.
type Timer = Reverse<(u64, usize, u64)>;

/// What two VMs ran, in nanoseconds.
#[derive(Clone, Copy, Default)]
pub(crate) struct Ran {
    pub(crate) victim_ns: u64,
    pub(crate) greedy_ns: u64,
}

/// What they ran at the end of each slice's time.
pub(crate) fn what_ran<S: Subject>(case: &Case, greedy: bool) -> Vec<Ran> {
    Machine::<S>::new(case, greedy).run()
}

struct Guest<'a> {
    program: &'a [Step],
    at: usize,
    /// What is left of the computing of the present step, in nanoseconds.
    left_ns: u64,
}

struct Machine<'a, S> {
    case: &'a Case,
    host: S,
    now: u64,
    events: u64,
    pcpus: Vec<Placed>,
    /// By number within the greedy VM.
    guests: Vec<Guest<'a>>,
    greedy: Vec<u32>,
    victim: Vec<u32>,
    timers: BinaryHeap<Timer>,
    life: u64,
    next_churn: u64,
    victim_started: bool,
    ran: Ran,
    sampled: Vec<Ran>,
}

impl<'a, S: Subject> Machine<'a, S> {
    fn new(case: &'a Case, greedy: bool) -> Self {
        let mut host = S::new(&case.setup);
        let mut add = |vm: crate::case::Neighbour| host.add_vm(0, vm.vcpus, vm.weight);
        let (of_greedy, of_victim) = (add(case.greedy), add(case.victim));
        let bystander = case.bystander.map(add).unwrap_or_default();
        let mut machine = Self {
            case,
            host,
            now: 0,
            events: 0,
            pcpus: vec![Placed::default(); case.setup.pcpus],
            guests: Vec::new(),
            greedy: of_greedy,
            victim: of_victim,
            timers: BinaryHeap::new(),
            life: 0,
            next_churn: case
                .churn
                .filter(|_| greedy)
                .map_or(u64::MAX, |n| n * SLICE),
            victim_started: false,
            ran: Ran::default(),
            sampled: Vec::new(),
        };
        machine.guests = machine.fresh_guests(greedy);
        machine.cap();
        for vcpu in machine.greedy.clone().into_iter().chain(bystander) {
            machine.start(vcpu);
        }
        machine
    }

    fn fresh_guests(&self, greedy: bool) -> Vec<Guest<'a>> {
        (0..self.greedy.len())
            .map(|vcpu| {
                let program = if greedy {
                    self.case.program_of(vcpu)
                } else {
                    &[]
                };
                let left_ns = program.first().map_or(u64::MAX, |step| step.compute_ns);
                Guest {
                    program,
                    at: 0,
                    left_ns,
                }
            })
            .collect()
    }

    fn run(mut self) -> Vec<Ran> {
        while self.sampled.len() < SLICES as usize && self.events < MOST_EVENTS {
            self.events += 1;
            let sample = (self.sampled.len() as u64 + 1) * SLICE;
            let victim = if self.victim_started {
                u64::MAX
            } else {
                self.case.victim_starts * SLICE
            };
            let timer = self.timers.peek().map_or(u64::MAX, |Reverse((at, ..))| *at);
            let (on_pcpu, p) = self.next_on_pcpus();
            let at = sample
                .min(victim)
                .min(timer)
                .min(on_pcpu)
                .min(self.next_churn);
            self.pass_until(at.max(self.now));
            if at == victim {
                self.victim_started = true;
                for vcpu in self.victim.clone() {
                    self.start(vcpu);
                }
            } else if at == self.next_churn {
                self.churn();
            } else if at == timer {
                self.ring();
            } else if at == on_pcpu {
                self.event_on(p);
            } else {
                self.sampled.push(self.ran);
            }
        }
        self.sampled
    }

    // --- time ----------------------------------------------------------------------------------

    fn next_on_pcpus(&self) -> (u64, usize) {
        (0..self.pcpus.len())
            .map(|p| (self.due(p), p))
            .min()
            .unwrap_or((u64::MAX, 0))
    }

    /// When the next event on a pCPU is.
    fn due(&self, p: usize) -> u64 {
        let until = self.pcpus[p].until.unwrap_or(u64::MAX);
        match self.greedy_on(p) {
            Some(vcpu) => until.min(self.now.saturating_add(self.guests[vcpu].left_ns)),
            None => until,
        }
    }

    /// The vCPU of the greedy VM on a pCPU, by its number within the VM.
    fn greedy_on(&self, p: usize) -> Option<usize> {
        let on = self.pcpus[p].vcpu?;
        let first = *self.greedy.first()?;
        let number = on.checked_sub(first)? as usize;
        (number < self.greedy.len()).then_some(number)
    }

    fn pass_until(&mut self, at: u64) {
        let passed = at - self.now;
        self.now = at;
        for p in 0..self.pcpus.len() {
            if let Some(vcpu) = self.greedy_on(p) {
                self.ran.greedy_ns += passed;
                let left = &mut self.guests[vcpu].left_ns;
                if *left != u64::MAX {
                    *left = left.saturating_sub(passed);
                }
            } else if self.pcpus[p]
                .vcpu
                .is_some_and(|on| self.victim.contains(&on))
            {
                self.ran.victim_ns += passed;
            }
        }
    }

    // --- what the host is told -----------------------------------------------------------------

    fn cap(&mut self) {
        if let Some(cap) = self.case.cap {
            self.host.cap(self.now, &self.greedy, cap);
            self.deliver();
        }
    }

    fn start(&mut self, vcpu: u32) {
        self.host.start(self.now, vcpu);
        self.deliver();
    }

    fn deliver(&mut self) {
        while let Some(p) = self.host.next_poke() {
            self.pcpus[p] = self.host.reschedule(self.now, p);
        }
        for (p, placed) in self.pcpus.iter().enumerate() {
            let elsewhere = self.pcpus[..p]
                .iter()
                .any(|other| other.vcpu == placed.vcpu);
            assert!(placed.vcpu.is_none() || !elsewhere, "a vCPU on two pCPUs");
        }
    }

    fn ring(&mut self) {
        let Some(Reverse((_, vcpu, life))) = self.timers.pop() else {
            return;
        };
        if life == self.life {
            self.start(self.greedy[vcpu]);
        }
    }

    fn churn(&mut self) {
        self.next_churn += self.case.churn.unwrap_or(1) * SLICE;
        self.life += 1;
        self.host.remove_vm(self.now, &self.greedy);
        self.deliver();
        let vm = self.case.greedy;
        self.greedy = self.host.add_vm(self.now, vm.vcpus, vm.weight);
        self.guests = self.fresh_guests(true);
        self.cap();
        for vcpu in self.greedy.clone() {
            self.start(vcpu);
        }
    }

    fn event_on(&mut self, p: usize) {
        let acts = self
            .greedy_on(p)
            .filter(|&vcpu| self.guests[vcpu].left_ns == 0);
        self.pcpus[p] = match acts {
            Some(vcpu) => self.act(p, vcpu),
            None => self.host.reschedule(self.now, p),
        };
        self.deliver();
    }

    fn act(&mut self, p: usize, vcpu: usize) -> Placed {
        let guest = &mut self.guests[vcpu];
        let Step { action, .. } = guest.program[guest.at];
        guest.at = (guest.at + 1) % guest.program.len();
        guest.left_ns = guest.program[guest.at].compute_ns;
        let (now, me) = (self.now, self.greedy[vcpu]);
        let call = match action {
            Action::Yield(to) => self.find(vcpu, to).map(|to| self.host.yield_to(now, p, to)),
            Action::Kick(to) => self.find(vcpu, to).map(|to| self.host.kick(now, p, to)),
            Action::Halt(to, rest) => {
                self.timers.push(Reverse((now + rest, vcpu, self.life)));
                let to = to.and_then(|to| self.find(vcpu, to));
                Some(self.host.halt(now, p, to))
            }
            Action::Nap(rest) => {
                self.timers.push(Reverse((now + rest, vcpu, self.life)));
                Some(self.host.block(now, p))
            }
            Action::Timer(to, rest) => {
                if let Some(to) = self.find(vcpu, to) {
                    let number = (to - self.greedy[0]) as usize;
                    self.timers.push(Reverse((now + rest, number, self.life)));
                }
                None
            }
            Action::Edge(to) => {
                let to = to.and_then(|to| self.find(vcpu, to));
                self.host.set_edge(me, to);
                None
            }
        };
        call.unwrap_or(self.pcpus[p])
    }

    fn find(&self, from: usize, target: Target) -> Option<u32> {
        let count = self.greedy.len();
        let mut others = (1..count).map(|by| self.greedy[(from + by) % count]);
        match target {
            Target::Next => others.next(),
            Target::Number(number) => Some(self.greedy[number % count]),
            Target::NextPreempted => {
                others.find(|&vcpu| self.host.state(vcpu) == RunState::Preempted)
            }
            Target::NextHalted => others.find(|&vcpu| self.host.state(vcpu) == RunState::Halted),
        }
    }
}
