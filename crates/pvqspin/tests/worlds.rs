//! The other worlds, each with its hypervisor played by the test.

#![cfg(not(loom))]

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU32, AtomicU64};

use pvqspin::worlds::arm::{self, Arm, StolenTime, Window};
use pvqspin::worlds::hyperv::{self, HyperV};
use pvqspin::worlds::power::{self, Power};
use pvqspin::worlds::xen::{self, Runstate, Xen};
use pvqspin::worlds::{Kernel, Words};
use pvqspin::{Budget, Cpu, CpuNodes, Env, Hint, Mutex, Policy, RunState, Sleep, Status};

const CPUS: usize = 100;

/// What the host was asked for.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Did {
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
struct World {
    nodes: &'static [CpuNodes; CPUS],
    words: &'static [Words; CPUS],
    yield_counts: [Cell<u32>; CPUS],
    runstates: &'static [Runstate; CPUS],
    stolen: &'static [StolenTime; CPUS],
    has_stolen: Cell<bool>,
    windows: &'static [Window; CPUS],
    features: Cell<hyperv::Features>,
    cpu: Cell<usize>,
    now_ns: Cell<u64>,
    did: RefCell<Vec<Did>>,
    /// Happens once, when the host is next asked for this.
    at: RefCell<Option<(Did, Action)>>,
    at_clock: RefCell<Option<Action>>,
}

thread_local! {
    static WORLD: World = World {
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
        did: RefCell::default(),
        at: RefCell::default(),
        at_clock: RefCell::default(),
    };
}

struct Guest;

fn asked(what: Did) {
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

fn cpu(index: usize) -> Cpu {
    Cpu::new(index).expect("in range")
}

fn on<R>(index: usize, action: impl FnOnce() -> R) -> R {
    let before = WORLD.with(|world| world.cpu.replace(index));
    let result = action();
    WORLD.with(|world| world.cpu.set(before));
    result
}

fn did() -> Vec<Did> {
    WORLD.with(|world| world.did.take())
}

fn at(what: Did, action: impl FnOnce() + 'static) {
    WORLD.with(|world| *world.at.borrow_mut() = Some((what, Box::new(action))));
}

/// Power's host puts a vCPU on a pCPU, or takes it off.
fn power_moves(index: usize) {
    WORLD.with(|world| {
        let count = &world.yield_counts[index];
        count.set(count.get() + 1);
    });
}

/// Xen's host says what a vCPU does, at these offsets of the area.
fn xen_says(index: usize, state: u32, entered: u64, runnable_ns: u64) {
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
fn arm_stole(index: usize, ns: u64) {
    let record = std::ptr::from_ref(&WORLD.with(|world| world.stolen)[index]).cast_mut();
    // SAFETY: a leaked static of atomics; the time is at 8. The test's host alone writes it.
    let time = unsafe { AtomicU64::from_ptr(record.cast::<u8>().add(8).cast()) };
    time.store(ns.to_le(), Relaxed);
}

fn hint<E: Env>(index: usize) -> Hint {
    Hint {
        cpu: cpu(index),
        generation: E::run_sample(cpu(index)).generation(),
    }
}

fn state<E: Env>(index: usize) -> RunState {
    E::run_sample(cpu(index)).state()
}

type OnPower = Power<Guest>;
type OnXen = Xen<Guest>;
type OnHyperV = HyperV<Guest>;
type OnArm = Arm<Guest>;

/// No kick is lost, whenever it comes: `halt` is what the host sees of a halt, `kick` of a kick.
fn kicks<E: Env>(halt: &[Did], idle: Did, kick: Did) {
    did();
    // Before the halt: there is none.
    Sleep::kick::<E>(cpu(1));
    assert_eq!(did(), [], "it does not sleep");
    on(1, || Sleep::halt::<E>(None));
    let without: Vec<Did> = halt.iter().filter(|did| **did != idle).cloned().collect();
    assert_eq!(did(), without);
    // During it: the host is called, once.
    at(idle, || {
        assert_eq!(state::<E>(1), RunState::Halted);
        on(0, || Sleep::kick::<E>(cpu(1)));
        on(0, || Sleep::kick::<E>(cpu(1)));
    });
    on(1, || Sleep::halt::<E>(None));
    let mut calls = did();
    calls.retain(|did| *did != kick);
    assert_eq!(calls, halt);
    assert_eq!(state::<E>(1), RunState::Running);
    // After it: the next halt sleeps again.
    on(1, || Sleep::halt::<E>(None));
    assert_eq!(did(), halt);
}

#[test]
fn no_world_loses_a_kick() {
    WORLD.with(|world| world.yield_counts[1].set(1));
    let power = || {
        // Off while it has ceded, on before and after.
        kicks::<OnPowerThatCedes>(&[Did::Cede], Did::Cede, Did::Prod(1));
    };
    power();
    kicks::<OnXen>(&[Did::Poll], Did::Poll, Did::Send(1));
    let masked = [Did::Mask, Did::Idle, Did::Unmask];
    kicks::<OnHyperV>(&masked, Did::Idle, Did::Interrupt(1));
    kicks::<OnArm>(&masked, Did::Idle, Did::Interrupt(1));
}

/// Power, whose count says "off" exactly while the vCPU has ceded.
struct Cedes;

impl Kernel for Cedes {
    fn cpu() -> Cpu {
        Guest::cpu()
    }
    fn cpu_count() -> usize {
        CPUS
    }
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        Guest::nodes(cpu)
    }
    fn words(cpu: Cpu) -> &'static Words {
        Guest::words(cpu)
    }
    fn now_ns() -> u64 {
        Guest::now_ns()
    }
}

impl power::Platform for Cedes {
    fn yield_count(cpu: Cpu) -> u32 {
        // One more than the test says: 1 is a vCPU that runs.
        <Guest as power::Platform>::yield_count(cpu) + 1
    }
    fn confer(cpu: Cpu, count: u32) {
        <Guest as power::Platform>::confer(cpu, count);
    }
    fn prod(cpu: Cpu) {
        <Guest as power::Platform>::prod(cpu);
    }
    fn cede() {
        let me = Guest::cpu().index();
        power_moves(me);
        <Guest as power::Platform>::cede();
        power_moves(me);
    }
}

type OnPowerThatCedes = Power<Cedes>;

#[test]
fn power_confers_to_the_end_of_the_chain_with_its_count() {
    // 1 runs and waits for 2, which waits for the preempted 5.
    on(1, || OnPower::set_waiting_for(Some(cpu(2))));
    on(2, || OnPower::set_waiting_for(Some(cpu(5))));
    for _ in 0..7 {
        power_moves(5);
    }
    assert_eq!(state::<OnPower>(5), RunState::Preempted);
    at(Did::Confer(5, 7), || {
        power_moves(5);
        assert_eq!(state::<OnPower>(5), RunState::Running);
    });
    assert_eq!(OnPower::yield_to(hint::<OnPower>(1)), Status::Ran);
    assert_eq!(did(), [Did::Confer(5, 7)]);
    // Nothing to ask for any more.
    assert_eq!(
        OnPower::yield_to(hint::<OnPower>(1)),
        Status::AlreadyRunning
    );
    // It was asked for, and did not run.
    power_moves(5);
    assert_eq!(OnPower::yield_to(hint::<OnPower>(1)), Status::Refused);
    // The hint is from an earlier run.
    let old = hint::<OnPower>(5);
    power_moves(5);
    power_moves(5);
    did();
    assert_eq!(OnPower::yield_to(old), Status::Stale);
    assert_eq!(
        OnPower::yield_to(hint::<OnPower>(0)),
        Status::Refused,
        "itself"
    );
    assert_eq!(did(), []);
}

#[test]
fn power_walks_a_bounded_part_of_a_long_chain() {
    for index in 1..CPUS - 1 {
        on(index, || OnPower::set_waiting_for(Some(cpu(index + 1))));
    }
    (1..CPUS).for_each(power_moves);
    OnPower::yield_to(hint::<OnPower>(1));
    assert_eq!(did(), [Did::Confer(64, 1)]);
}

#[test]
fn xen_tells_preempted_from_running_and_names_nobody() {
    assert_eq!(state::<OnXen>(3), RunState::Running);
    xen_says(3, 1, 1_000, 0);
    assert_eq!(state::<OnXen>(3), RunState::Preempted);
    let off = OnXen::run_sample(cpu(3));
    // An update in progress is the same run.
    xen_says(3, 1, 1_000 | 1 << 63, 0);
    assert_eq!(OnXen::run_sample(cpu(3)), off);
    assert_eq!(OnXen::yield_to(hint::<OnXen>(3)), Status::Refused);
    xen_says(3, 0, 5_000, 4_000);
    xen_says(3, 1, 9_000, 4_000);
    assert_ne!(OnXen::run_sample(cpu(3)).generation(), off.generation());
    assert_eq!(did(), []);
}

#[test]
fn xen_and_arm_know_when_they_lack_a_pcpu() {
    WORLD.with(|world| world.now_ns.set(20_000_000));
    assert!(!OnXen::pressure());
    xen_says(0, 0, 0, 3_000_000);
    assert!(OnXen::pressure(), "3 ms were stolen");
    WORLD.with(|world| world.now_ns.set(40_000_000));
    OnXen::pressure();
    assert!(!OnXen::pressure(), "nothing since");

    assert!(!OnArm::pressure());
    arm_stole(0, 3_000_000);
    assert!(OnArm::pressure());
    WORLD.with(|world| world.has_stolen.set(false));
    assert!(OnArm::pressure(), "nothing says that there is none");
}

/// Spins for 60 µs of a clock that goes on by 100 ns for each look at it, and counts looks at the condition.
fn looks_in_60_us<E: Env>(disturb: impl FnOnce() + 'static) -> u64 {
    WORLD.with(|world| *world.at_clock.borrow_mut() = Some(Box::new(disturb)));
    let mut looks = 0;
    let condition = || {
        looks += 1;
        false
    };
    assert!(!E::spin_until(condition, Budget::ns(60_000)));
    looks
}

#[test]
fn budgets_are_own_time_where_the_host_counts_it() {
    let passes = |ns| WORLD.with(|world| world.now_ns.set(world.now_ns.get() + ns));
    let undisturbed = looks_in_60_us::<OnXen>(|| {});
    let xen = looks_in_60_us::<OnXen>(move || {
        passes(3_000_000);
        xen_says(0, 0, 1, 3_000_000);
    });
    assert!(xen.abs_diff(undisturbed) < 100, "{xen} of {undisturbed}");
    let arm = looks_in_60_us::<OnArm>(move || {
        passes(3_000_000);
        arm_stole(0, 3_000_000);
    });
    assert!(arm.abs_diff(undisturbed) < 100, "{arm} of {undisturbed}");
    // Where it does not, a budget runs out all the same.
    assert!(looks_in_60_us::<OnPower>(|| {}) > 1_000);
}

#[test]
fn hyper_v_is_told_of_long_spins_as_often_as_it_asks() {
    did();
    let looks = looks_in_60_us::<OnHyperV>(|| {});
    let told = did();
    assert_eq!(told.len() as u64, looks / 1_000);
    assert!(told.iter().all(|did| *did == Did::LongSpin(1_000)));
    WORLD.with(|world| {
        world
            .features
            .set(hyperv::Features::from_cpuid(0, u32::MAX))
    });
    looks_in_60_us::<OnHyperV>(|| {});
    Sleep::halt::<OnHyperV>(None);
    assert!(!OnHyperV::pressure());
    assert_eq!(did(), [], "no right to be idle, and no wish to be told");
}

#[test]
fn what_arm_returns_for_the_address_may_be_an_error() {
    assert_eq!(arm::stolen_time_address(-1), None);
    assert_eq!(arm::stolen_time_address(0x4000_0040), Some(0x4000_0040));
}

/// The lock itself, in each world: CPU 1 waits, and in the midst of that CPU 0 releases.
fn hands_over<E: Env, P: Policy>() {
    let lock: &'static Mutex<u32, E, P> = Box::leak(Box::new(Mutex::new(0)));
    let held = on(0, || lock.lock());
    let release = move || on(0, || drop(held));
    // At the first look at the clock of the waiter.
    WORLD.with(|world| *world.at_clock.borrow_mut() = Some(Box::new(release)));
    on(1, || *lock.lock() += 1);
    assert_eq!(*on(0, || lock.lock()), 1);
}

#[test]
fn locks_are_handed_over_in_every_world() {
    hands_over::<OnPower, pvqspin::Bounded>();
    hands_over::<OnXen, pvqspin::Bounded>();
    hands_over::<OnHyperV, pvqspin::FifoHalt>();
    hands_over::<OnArm, pvqspin::FifoHalt>();
    // The short names.
    let power = power::Mutex::<_, Guest>::new(1);
    let arm = arm::RwLock::<_, Guest>::new(2);
    assert_eq!((*power.lock(), *arm.read()), (1, 2));
}
