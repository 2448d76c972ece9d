//! A world on one thread, for scripted tests: it plays all CPUs and the host.
//!
//! Whenever a lock waits, the environment runs the next step of the script, which may be another
//! CPU's release, an interrupt that takes locks of its own, or the host preempting a CPU. What
//! the lock tells the host is recorded.

#![allow(dead_code, reason = "each test file uses its part")]

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;

use pvqspin::{
    Budget, Cpu, CpuNodes, Env, Event, Generation, Hint, Point, RunSample, RunState, Sleep, Status,
};

pub(crate) const CPUS: usize = 8;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Call {
    Halt(Option<usize>),
    Kick(usize),
    YieldTo(usize, u32),
}

pub(crate) type Step = Box<dyn FnOnce()>;

pub(crate) struct World {
    pub(crate) nodes: &'static [CpuNodes; CPUS],
    pub(crate) cpu: Cell<usize>,
    pub(crate) now_us: Cell<u64>,
    /// How often a CPU has looked at the clock.
    pub(crate) clock_looks: Cell<u32>,
    pub(crate) run: [Cell<RunSample>; CPUS],
    pub(crate) waiting_for: [Cell<Option<Cpu>>; CPUS],
    pub(crate) calls: RefCell<Vec<Call>>,
    pub(crate) script: RefCell<VecDeque<Step>>,
    pub(crate) status: Cell<Status>,
    pub(crate) may_lend: Cell<bool>,
    #[cfg(feature = "lockdep")]
    pub(crate) interrupts: Cell<pvqspin::lockdep::InterruptState>,
    #[cfg(feature = "lockdep")]
    pub(crate) violations: RefCell<Vec<pvqspin::lockdep::Violation>>,
    /// Happens when a lock next passes this point.
    pub(crate) at_checkpoint: RefCell<Option<(Point, Step)>>,
}

thread_local! {
    pub(crate) static WORLD: World = World {
        // One small leak for each test.
        nodes: Box::leak(Box::new(std::array::from_fn(|_| CpuNodes::new()))),
        cpu: Cell::new(0),
        now_us: Cell::new(1_000),
        clock_looks: Cell::new(0),
        run: std::array::from_fn(|_| Cell::new(RunSample::RUNNING)),
        waiting_for: std::array::from_fn(|_| Cell::new(None)),
        calls: RefCell::new(Vec::new()),
        script: RefCell::new(VecDeque::new()),
        status: Cell::new(Status::Ran),
        may_lend: Cell::new(true),
        #[cfg(feature = "lockdep")]
        interrupts: Cell::new(pvqspin::lockdep::InterruptState::Unknown),
        #[cfg(feature = "lockdep")]
        violations: RefCell::new(Vec::new()),
        at_checkpoint: RefCell::new(None),
    };
}

pub(crate) fn cpu(index: usize) -> Cpu {
    Cpu::new(index).expect("in range")
}

/// The next step happens when the lock next waits, halts or yields.
pub(crate) fn then(step: impl FnOnce() + 'static) {
    WORLD.with(|world| world.script.borrow_mut().push_back(Box::new(step)));
}

pub(crate) fn next_step() {
    let step = WORLD
        .with(|world| world.script.borrow_mut().pop_front())
        .expect("the lock waits for ever: the script is over");
    step();
}

pub(crate) fn on<R>(index: usize, action: impl FnOnce() -> R) -> R {
    let before = WORLD.with(|world| world.cpu.replace(index));
    let result = action();
    WORLD.with(|world| world.cpu.set(before));
    result
}

pub(crate) fn host_says(index: usize, state: RunState, generation: u32) {
    WORLD.with(|world| {
        world.run[index].set(RunSample::new(state, Generation::new(generation)));
    });
}

pub(crate) fn calls() -> Vec<Call> {
    WORLD.with(|world| world.calls.take())
}

pub(crate) fn record(call: Call) {
    WORLD.with(|world| world.calls.borrow_mut().push(call));
}

pub(crate) fn events(index: usize, event: Event) -> u64 {
    WORLD.with(|world| world.nodes[index].events(event))
}

pub(crate) fn waits_for(index: usize) -> Option<usize> {
    WORLD.with(|world| world.waiting_for[index].get().map(Cpu::index))
}

pub(crate) struct Scripted;

impl Env for Scripted {
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    fn cpu() -> Cpu {
        cpu(WORLD.with(|world| world.cpu.get()))
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        WORLD.with(|world| &world.nodes[cpu.index()])
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        // A finite budget lasts one step of the script.
        loop {
            if condition() {
                return true;
            }
            next_step();
            if budget != Budget::FOREVER {
                return condition();
            }
        }
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        WORLD.with(|world| world.run[cpu.index()].get())
    }

    fn pressure() -> bool {
        true
    }

    fn set_waiting_for(target: Option<Cpu>) -> Option<Cpu> {
        WORLD.with(|world| world.waiting_for[world.cpu.get()].replace(target))
    }

    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        WORLD.with(|world| world.waiting_for[cpu.index()].get())
    }

    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        WORLD.with(|world| world.waiting_for[cpu.index()].set(to));
    }

    fn cpu_count() -> usize {
        CPUS
    }

    fn yield_to(hint: Hint) -> Status {
        record(Call::YieldTo(hint.cpu.index(), hint.generation.get()));
        next_step();
        WORLD.with(|world| world.status.get())
    }

    fn may_lend() -> bool {
        WORLD.with(|world| world.may_lend.get())
    }

    fn now_ns() -> u64 {
        WORLD.with(|world| {
            world.clock_looks.set(world.clock_looks.get() + 1);
            world.now_us.get() * 1_000
        })
    }

    #[cfg(feature = "lockdep")]
    fn interrupt_state() -> pvqspin::lockdep::InterruptState {
        WORLD.with(|world| world.interrupts.get())
    }

    #[cfg(feature = "lockdep")]
    fn order_violation(violation: &pvqspin::lockdep::Violation) {
        WORLD.with(|world| world.violations.borrow_mut().push(*violation));
    }

    fn checkpoint(point: Point) {
        let due = WORLD.with(|world| {
            let mut due = world.at_checkpoint.borrow_mut();
            due.take_if(|(at, _)| *at == point)
        });
        if let Some((_, step)) = due {
            step();
        }
    }
}

impl Scripted {
    fn halt(hint: Option<Hint>) {
        record(Call::Halt(hint.map(|hint| hint.cpu.index())));
        next_step();
    }

    fn kick(cpu: Cpu) {
        record(Call::Kick(cpu.index()));
    }
}
