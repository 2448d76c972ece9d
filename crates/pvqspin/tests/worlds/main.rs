//! The other worlds, each with its hypervisor played by the test.

#![cfg(not(loom))]

#[path = "../alone/mod.rs"]
mod alone;
mod machine;

use pvqspin::worlds::power::{self, Power};
use pvqspin::worlds::{Kernel, Words};
use pvqspin::worlds::{arm, hyperv};
use pvqspin::{
    Budget, Cpu, CpuNodes, Env, Fifo, Format, Idx3, Mutex, Policy, RunState, Sleep, Status, Tail,
};

use machine::{
    CPUS, Did, Guest, OnArm, OnHyperV, OnPower, OnXen, WORLD, alone, arm_stole, at, cpu, did, hint,
    on, power_moves, state, xen_says,
};

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
    let _alone = alone();
    hands_over::<OnPower, pvqspin::Bounded>();
    hands_over::<OnXen, pvqspin::Bounded>();
    hands_over::<OnHyperV, pvqspin::FifoHalt>();
    hands_over::<OnArm, pvqspin::FifoHalt>();
    // The short names.
    let power = power::Mutex::<_, Guest>::new(1);
    let arm = arm::RwLock::<_, Guest>::new(2);
    assert_eq!((*power.lock(), *arm.read()), (1, 2));
}

type Strict = Mutex<u32, OnPower, Fifo>;

/// At the first look at the clock at which a CPU is in the queue.
fn once_queued(lock: &'static Strict, action: impl FnOnce() + 'static) {
    let look = move || match Idx3::tail(lock.raw().raw_word()) {
        Tail::Waiter(..) => action(),
        _ => once_queued(lock, action),
    };
    WORLD.with(|world| *world.at_clock.borrow_mut() = Some(Box::new(look)));
}

/// What the release of a lock asks the host for if CPU 1, which is next, is off its pCPU.
fn asked_by_a_release(may_lend: bool) -> Vec<Did> {
    did();
    let lock: &'static Strict = Box::leak(Box::new(Mutex::new(0)));
    let held = on(0, || lock.lock());
    WORLD.with(|world| world.may_lend.set(may_lend));
    once_queued(lock, move || {
        power_moves(1);
        on(0, || drop(held));
        power_moves(1);
    });
    on(1, || *lock.lock() += 1);
    did()
}

#[test]
fn a_release_lends_its_pcpu_unless_the_kernel_says_that_it_may_not() {
    let _alone = alone();
    assert_eq!(asked_by_a_release(true), [Did::Confer(1, 1)]);
    assert_eq!(asked_by_a_release(false), []);
}

#[test]
fn a_kernel_is_told_that_a_cpu_waits_for_what_it_holds() {
    let _alone = alone();
    let lock: &'static Strict = Box::leak(Box::new(Mutex::new(0)));
    let held = on(1, || lock.lock());
    // It would wait for ever: in this test another CPU takes pity.
    once_queued(lock, || drop(held));
    on(1, || drop(lock.lock()));
    let address = std::ptr::from_ref(lock.raw()).addr();
    WORLD.with(|world| assert_eq!(world.deadlocks.take(), [address]));
}

#[cfg(feature = "lockdep")]
#[test]
fn the_order_checker_tells_the_kernel() {
    let _alone = alone();
    let (a, b) = (Strict::new(0), Strict::new(0));
    for (first, second) in [(&a, &b), (&b, &a)] {
        let _first = first.lock();
        let _second = second.lock();
    }
    let findings = WORLD.with(|world| world.findings.take());
    assert_eq!(findings, [pvqspin::lockdep::Kind::Inversion]);
}
