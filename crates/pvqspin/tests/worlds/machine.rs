//! One kernel on four hypervisors, which the test plays.

pub(crate) use crate::alone::alone;
use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use pvqspin::worlds::arm::{self, Arm, StolenTime, Window};
use pvqspin::worlds::hyperv::{self, HyperV};
use pvqspin::worlds::power::{self, Power};
use pvqspin::worlds::xen::{self, Runstate, Xen};
use pvqspin::worlds::{Kernel, Words};
use pvqspin::{Cpu, CpuNodes, Env, Hint, RunState};

pub(crate) const CPUS: usize = 100;

/// What the host was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Did {
    Confer(usize, u32),
    Prod(usize),
    Cede,
    Poll,
    Send(usize),
    Idle,
    Interrupt(usize),
    LongSpin(u32),
    Mask,
    Unmask,
}

type Action = Box<dyn FnOnce()>;

/// One test's machine, on the test's own thread.
pub(crate) struct World {
    nodes: &'static [CpuNodes; CPUS],
    words: &'static [Words; CPUS],
    pub(crate) yield_counts: [Cell<u32>; CPUS],
    runstates: &'static [Runstate; CPUS],
    stolen: &'static [StolenTime; CPUS],
    pub(crate) has_stolen: Cell<bool>,
    windows: &'static [Window; CPUS],
    pub(crate) features: Cell<hyperv::Features>,
    cpu: Cell<usize>,
    pub(crate) now_ns: Cell<u64>,
    pub(crate) may_lend: Cell<bool>,
    /// Locks that a CPU held when it began to wait for them.
    pub(crate) deadlocks: RefCell<Vec<usize>>,
    did: RefCell<Vec<Did>>,
    /// Happens once, when the host is next asked for this.
    at: RefCell<Option<(Did, Action)>>,
    pub(crate) at_clock: RefCell<Option<Action>>,
    #[cfg(feature = "lockdep")]
    pub(crate) findings: RefCell<Vec<pvqspin::lockdep::Kind>>,
}

thread_local! {
    pub(crate) static WORLD: World = World {
        // One small leak for each test.
        nodes: Box::leak(Box::new([const { CpuNodes::new() }; CPUS])),
        words: Box::leak(Box::new([const { Words::new() }; CPUS])),
        yield_counts: [const { Cell::new(0) }; CPUS],
        runstates: Box::leak(Box::new([const { Runstate::new() }; CPUS])),
        stolen: Box::leak(Box::new([const { StolenTime::new() }; CPUS])),
        has_stolen: Cell::new(true),
        windows: Box::leak(Box::new([const { Window::new() }; CPUS])),
        features: Cell::new(hyperv::Features::from_cpuid(1 << 10, 1_000)),
        cpu: Cell::new(0),
        now_ns: Cell::new(0),
        may_lend: Cell::new(true),
        deadlocks: RefCell::default(),
        did: RefCell::default(),
        at: RefCell::default(),
        at_clock: RefCell::default(),
        #[cfg(feature = "lockdep")]
        findings: RefCell::default(),
    };
}

pub(crate) struct Guest;

pub(crate) fn asked(what: Did) {
    let at = WORLD.with(|world| world.at.borrow_mut().take_if(|(when, _)| *when == what));
    WORLD.with(|world| world.did.borrow_mut().push(what));
    if let Some((_, action)) = at {
        action();
    }
}

impl Kernel for Guest {
    fn cpu() -> Cpu {
        cpu(WORLD.with(|world| world.cpu.get()))
    }
    fn cpu_count() -> usize {
        CPUS
    }
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        WORLD.with(|world| &world.nodes[cpu.index()])
    }
    fn words(cpu: Cpu) -> &'static Words {
        WORLD.with(|world| &world.words[cpu.index()])
    }
    fn now_ns() -> u64 {
        let now = WORLD.with(|world| {
            world.now_ns.set(world.now_ns.get() + 100);
            world.now_ns.get()
        });
        if let Some(action) = WORLD.with(|world| world.at_clock.take()) {
            action();
        }
        now
    }
    fn may_lend() -> bool {
        WORLD.with(|world| world.may_lend.get())
    }
    fn self_deadlock(lock: usize) {
        WORLD.with(|world| world.deadlocks.borrow_mut().push(lock));
    }
    #[cfg(feature = "lockdep")]
    fn order_violation(violation: &pvqspin::lockdep::Violation) {
        WORLD.with(|world| world.findings.borrow_mut().push(violation.kind));
    }
}

impl power::Platform for Guest {
    fn yield_count(cpu: Cpu) -> u32 {
        WORLD.with(|world| world.yield_counts[cpu.index()].get())
    }
    fn confer(cpu: Cpu, count: u32) {
        asked(Did::Confer(cpu.index(), count));
    }
    fn prod(cpu: Cpu) {
        asked(Did::Prod(cpu.index()));
    }
    fn cede() {
        asked(Did::Cede);
    }
}

impl xen::Platform for Guest {
    fn runstate(cpu: Cpu) -> &'static Runstate {
        WORLD.with(|world| &world.runstates[cpu.index()])
    }
    fn poll() {
        asked(Did::Poll);
    }
    fn send(cpu: Cpu) {
        asked(Did::Send(cpu.index()));
    }
}

impl hyperv::Platform for Guest {
    fn features() -> hyperv::Features {
        WORLD.with(|world| world.features.get())
    }
    fn idle() {
        asked(Did::Idle);
    }
    fn interrupt(cpu: Cpu) {
        asked(Did::Interrupt(cpu.index()));
    }
    fn notify_long_spin(spins: u32) {
        asked(Did::LongSpin(spins));
    }
    fn masked(body: impl FnOnce()) {
        asked(Did::Mask);
        body();
        asked(Did::Unmask);
    }
}

impl arm::Platform for Guest {
    fn stolen_time(cpu: Cpu) -> Option<&'static StolenTime> {
        WORLD.with(|world| {
            let time = &world.stolen[cpu.index()];
            world.has_stolen.get().then_some(time)
        })
    }
    fn window(cpu: Cpu) -> &'static Window {
        WORLD.with(|world| &world.windows[cpu.index()])
    }
    fn wait_for_interrupt() {
        asked(Did::Idle);
    }
    fn interrupt(cpu: Cpu) {
        asked(Did::Interrupt(cpu.index()));
    }
    fn masked(body: impl FnOnce()) {
        asked(Did::Mask);
        body();
        asked(Did::Unmask);
    }
}

pub(crate) fn cpu(index: usize) -> Cpu {
    Cpu::new(index).expect("in range")
}

pub(crate) fn on<R>(index: usize, action: impl FnOnce() -> R) -> R {
    let before = WORLD.with(|world| world.cpu.replace(index));
    let result = action();
    WORLD.with(|world| world.cpu.set(before));
    result
}

pub(crate) fn did() -> Vec<Did> {
    WORLD.with(|world| world.did.take())
}

pub(crate) fn at(what: Did, action: impl FnOnce() + 'static) {
    WORLD.with(|world| *world.at.borrow_mut() = Some((what, Box::new(action))));
}

/// Power's host puts a vCPU on a pCPU, or takes it off.
pub(crate) fn power_moves(index: usize) {
    WORLD.with(|world| {
        let count = &world.yield_counts[index];
        count.set(count.get() + 1);
    });
}

/// Xen's host says what a vCPU does, at these offsets of the area.
pub(crate) fn xen_says(index: usize, state: u32, entered: u64, runnable_ns: u64) {
    let area = std::ptr::from_ref(<Guest as xen::Platform>::runstate(cpu(index)))
        .cast::<u8>()
        .cast_mut();
    // SAFETY: the area is a leaked static of atomics: the state at 0, the time of entry at 8, and at 16 the
    // times in the four states, of which the second is "runnable". The test's host alone writes them.
    unsafe {
        AtomicU64::from_ptr(area.add(8).cast()).store(entered, Release);
        AtomicU64::from_ptr(area.add(24).cast()).store(runnable_ns, Relaxed);
        AtomicU32::from_ptr(area.cast()).store(state, Release);
    }
}

/// Arm's host says how much was stolen.
pub(crate) fn arm_stole(index: usize, ns: u64) {
    let record = std::ptr::from_ref(&WORLD.with(|world| world.stolen)[index]).cast_mut();
    // SAFETY: a leaked static of atomics; the time is at 8. The test's host alone writes it.
    let time = unsafe { AtomicU64::from_ptr(record.cast::<u8>().add(8).cast()) };
    time.store(ns.to_le(), Relaxed);
}

pub(crate) fn hint<E: Env>(index: usize) -> Hint {
    Hint {
        cpu: cpu(index),
        generation: E::run_sample(cpu(index)).generation(),
    }
}

pub(crate) fn state<E: Env>(index: usize) -> RunState {
    E::run_sample(cpu(index)).state()
}

pub(crate) type OnPower = Power<Guest>;
pub(crate) type OnXen = Xen<Guest>;
pub(crate) type OnHyperV = HyperV<Guest>;
pub(crate) type OnArm = Arm<Guest>;
