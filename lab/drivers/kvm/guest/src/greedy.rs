//! A VM that takes what it can: each vCPU performs its program, over and over, until its VMM ends it.

use pvqspin::{Env, Sleep};
use pvqspin_abi::{Cpu, RunState};
use pvqspin_kvm_boot::greedy::{Action, Step, Target};

use crate::stock::{self, OnKvm};
use crate::{clock, cpu};

/// How long a vCPU without a program computes in one piece.
const PIECE_NS: u32 = 100_000;

/// So often the clock is looked at.
const GRAIN_NS: u32 = 1_000;

/// Never comes back.
pub(crate) fn run(program: &[Step], number: usize) -> ! {
    loop {
        if program.is_empty() {
            clock::compute_for(PIECE_NS);
        }
        for step in program {
            clock::compute_for(step.compute_ns);
            perform(step.action, number);
        }
    }
}

fn perform(action: Action, number: usize) {
    match action {
        Action::Go => {}
        Action::Yield(target) => {
            if let Some(cpu) = find(target, number) {
                stock::yield_to(cpu);
            }
        }
        Action::Kick(target) => {
            if let Some(cpu) = find(target, number) {
                Sleep::kick::<OnKvm>(cpu);
            }
        }
        Action::Halt(ns) => stock::halt(ns),
        Action::Spin(ns) => {
            let until = clock::now_ns() + u64::from(ns);
            while clock::now_ns() < until {
                core::hint::spin_loop();
            }
        }
        Action::Until {
            phase_ns,
            period_ns,
        } => {
            let [phase, period] = [phase_ns, period_ns].map(u64::from);
            // A bounded program has no period of 0.
            let now = clock::now_ns();
            let next = (now + period - phase) / period * period + phase;
            while clock::now_ns() < next {
                clock::compute_for(GRAIN_NS);
            }
        }
    }
}

/// The vCPU that is meant, if there is one.
fn find(target: Target, number: usize) -> Option<Cpu> {
    let count = cpu::count();
    let at = |index: usize| Cpu::new(index % count);
    let mut others = (1..count).filter_map(|by| at(number + by));
    let state = |&cpu: &Cpu| OnKvm::run_sample(cpu).state();
    match target {
        Target::Preempted => others.find(|cpu| state(cpu) == RunState::Preempted),
        Target::Halted => others.find(|cpu| state(cpu) == RunState::Halted),
        Target::Next => others.next(),
        Target::Number(wanted) => at(wanted.into()),
    }
}
