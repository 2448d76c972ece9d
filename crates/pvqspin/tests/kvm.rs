//! The KVM environment without KVM: a processor and a host that are played by the test.

#![cfg(target_arch = "x86_64")]

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use pvqspin::kvm::{Call, Features, Host, Instructions, Kernel, Kvm, StealTime, Transport, Vcpu};
use pvqspin::mode::{Detected, Mode};
use pvqspin::{Budget, Cpu, CpuNodes, Env, Hint, RunState, Sleep, Status};

const CPUS: usize = 256;
const ALL: u32 = 1 << 5 | 1 << 7 | 1 << 13;

/// What the processor was told to do.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Did {
    WriteMsr(u32, u64),
    Hypercall(Call, u64, u64, u64),
    Mask,
    Unmask,
    HaltMasked,
    HaltUnmasked,
}

type Action = Box<dyn FnOnce()>;

/// One test's machine, on the test's own thread.
struct World {
    host: &'static Host,
    nodes: &'static [CpuNodes; CPUS],
    vcpus: &'static [Vcpu; CPUS],
    cpu: Cell<usize>,
    now_ns: Cell<u64>,
    /// How much later each look at the clock is than the one before.
    tick_ns: Cell<u64>,
    /// Happens once, at the next look but one at the clock.
    at_clock: RefCell<Option<Action>>,
    /// How often it was asked where a vCPU is.
    asked: Cell<usize>,
    leaves: RefCell<BTreeMap<u32, [u32; 4]>>,
    interrupts_enabled: Cell<bool>,
    did: RefCell<Vec<Did>>,
    /// Happens once, right before the next thing of this kind.
    before: RefCell<Option<(Did, Action)>>,
}

thread_local! {
    static WORLD: World = World {
        // One small leak for each test.
        host: Box::leak(Box::new(Host::new())),
        nodes: Box::leak(Box::new([const { CpuNodes::new() }; CPUS])),
        vcpus: Box::leak(Box::new([const { Vcpu::new() }; CPUS])),
        cpu: Cell::new(0),
        now_ns: Cell::new(0),
        tick_ns: Cell::new(0),
        at_clock: RefCell::default(),
        asked: Cell::new(0),
        leaves: RefCell::default(),
        interrupts_enabled: Cell::new(false),
        did: RefCell::default(),
        before: RefCell::default(),
    };
}

struct Fake;

impl Fake {
    fn does(what: Did) {
        let before = WORLD.with(|world| {
            let mut before = world.before.borrow_mut();
            before.take_if(|(when, _)| *when == what)
        });
        if let Some((_, action)) = before {
            action();
        }
        WORLD.with(|world| world.did.borrow_mut().push(what));
    }
}

impl Instructions for Fake {
    fn cpuid(leaf: u32, _subleaf: u32) -> [u32; 4] {
        WORLD.with(|world| *world.leaves.borrow().get(&leaf).unwrap_or(&[0; 4]))
    }

    unsafe fn write_msr(register: u32, value: u64) {
        Self::does(Did::WriteMsr(register, value));
    }

    unsafe fn hypercall(call: Call, number: u64, first: u64, second: u64) -> i64 {
        Self::does(Did::Hypercall(call, number, first, second));
        0
    }

    unsafe fn mask() -> bool {
        Self::does(Did::Mask);
        WORLD.with(|world| world.interrupts_enabled.replace(false))
    }

    unsafe fn unmask() {
        Self::does(Did::Unmask);
        WORLD.with(|world| world.interrupts_enabled.set(true));
    }

    unsafe fn halt_masked() {
        Self::does(Did::HaltMasked);
    }

    unsafe fn halt_unmasked() {
        Self::does(Did::HaltUnmasked);
        WORLD.with(|world| world.interrupts_enabled.set(true));
    }
}

struct Guest;

impl Kernel for Guest {
    fn host() -> &'static Host {
        WORLD.with(|world| world.host)
    }
    fn cpu() -> Cpu {
        cpu(WORLD.with(|world| world.cpu.get()))
    }
    fn cpu_count() -> usize {
        CPUS
    }
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        WORLD.with(|world| &world.nodes[cpu.index()])
    }
    fn vcpu(cpu: Cpu) -> &'static Vcpu {
        WORLD.with(|world| {
            world.asked.set(world.asked.get() + 1);
            &world.vcpus[cpu.index()]
        })
    }
    #[cfg(feature = "lockdep")]
    fn order_violation(violation: &pvqspin::lockdep::Violation) {
        FINDINGS.with_borrow_mut(|findings| findings.push(violation.kind));
    }
    fn now_ns() -> u64 {
        WORLD.with(|world| {
            world.now_ns.set(world.now_ns.get() + world.tick_ns.get());
            let now = world.now_ns.get();
            if let Some(action) = world.at_clock.take() {
                action();
            }
            now
        })
    }
}

type Guests = Kvm<Guest, Fake>;

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

fn just_before(what: Did, action: impl FnOnce() + 'static) {
    WORLD.with(|world| *world.before.borrow_mut() = Some((what, Box::new(action))));
}

fn words(text: &[u8; 12]) -> [u32; 3] {
    std::array::from_fn(|n| {
        u32::from_le_bytes(text[4 * n..4 * n + 4].try_into().expect("four bytes"))
    })
}

fn has_cpuid(vendor: &[u8; 12], base: u32, signature: &[u8; 12], features: u32, hints: u32) {
    let [ebx, edx, ecx] = words(vendor);
    let [b, c, d] = words(signature);
    WORLD.with(|world| {
        *world.leaves.borrow_mut() = BTreeMap::from([
            (0, [0x10, ebx, ecx, edx]),
            (1, [0, 0x0300_0000, 1 << 31, 0]),
            (base, [base + 1, b, c, d]),
            (base + 1, [features, 0, 0, hints]),
        ]);
    });
}

const KVM: &[u8; 12] = b"KVMKVMKVM\0\0\0";

/// A machine whose CPUs are all up; APIC ids are 16 times the number.
fn start(features: u32) -> Transport {
    has_cpuid(b"AuthenticAMD", 0x4000_0000, KVM, features, 0);
    let found = Features::detect::<Fake>();
    let transport = Guest::host().set(found, found.choose(Mode::Auto));
    for index in 0..CPUS {
        let record = u64::try_from(record_of(index).addr()).expect("64 bits");
        // SAFETY: the processor is a fake one, which keeps what it is told.
        on(index, || unsafe {
            Guests::start_cpu(16 * index as u32, record);
        });
    }
    transport
}

fn record_of(index: usize) -> *const StealTime {
    Guest::vcpu(cpu(index)).record()
}

/// The host puts a vCPU on a pCPU, or takes it off, as KVM does: at these offsets of the record.
fn host_runs(index: usize, runs: bool) {
    let record = record_of(index).cast::<u8>().cast_mut();
    // SAFETY: the record is a leaked static of atomics, 64 bytes long; bytes 8 to 12 are its version,
    // aligned, and byte 16 its flag. The test's host is the only one that writes.
    let (version, preempted) = unsafe {
        (
            AtomicU32::from_ptr(record.add(8).cast()),
            AtomicU8::from_ptr(record.add(16)),
        )
    };
    if runs {
        preempted.store(0, Relaxed);
        version.fetch_add(2, Release);
    } else {
        preempted.store(1, Release);
    }
}

/// The host runs another vCPU for so long in the place of a vCPU that could run.
fn steal(index: usize, ns: u64) {
    host_runs(index, false);
    // SAFETY: as above; the first eight bytes are what was stolen.
    let stolen = unsafe { AtomicU64::from_ptr(record_of(index).cast::<u64>().cast_mut()) };
    stolen.fetch_add(ns, Relaxed);
    WORLD.with(|world| world.now_ns.set(world.now_ns.get() + ns));
    host_runs(index, true);
}

fn hint(index: usize) -> Hint {
    Hint {
        cpu: cpu(index),
        generation: Guests::run_sample(cpu(index)).generation(),
    }
}

fn yield_call(index: usize) -> Did {
    Did::Hypercall(Call::Vmmcall, 11, 16 * index as u64, 0)
}

fn kick_call(index: usize) -> Did {
    Did::Hypercall(Call::Vmmcall, 5, 0, 16 * index as u64)
}

#[test]
fn what_the_host_offers_is_found_bit_by_bit() {
    has_cpuid(b"GenuineIntel", 0x4000_0000, KVM, ALL, 0);
    let all = Features::detect::<Fake>();
    assert_eq!(all.call, Call::Vmcall);
    assert_eq!(all.best(), Transport::DirectedYield);
    assert_eq!(
        all.to_string(),
        "KVM with PV_UNHALT, with STEAL_TIME, with PV_SCHED_YIELD: directed yield"
    );
    for (features, best) in [
        (ALL & !(1 << 5), Transport::KickAndHalt),
        (ALL & !(1 << 13), Transport::KickAndHalt),
        (1 << 7, Transport::KickAndHalt),
        (ALL & !(1 << 7), Transport::Native),
        (!ALL, Transport::Native),
    ] {
        has_cpuid(b"HygonGenuine", 0x4000_0000, KVM, features, 0);
        let found = Features::detect::<Fake>();
        assert_eq!(found.best(), best, "{features:#x}");
        assert_eq!(found.call, Call::Vmmcall);
        let detected = Detected::from(found);
        assert_eq!(detected.directed_yield, best == Transport::DirectedYield);
    }
}

#[test]
fn kvm_is_found_behind_another_interface_and_nobody_else_is_taken_for_it() {
    // With Hyper-V's interface at the first leaf, KVM's moves up.
    has_cpuid(b"AuthenticAMD", 0x4000_0100, KVM, ALL, 0);
    assert_eq!(Features::detect::<Fake>().best(), Transport::DirectedYield);
    has_cpuid(b"AuthenticAMD", 0x4000_0000, b"XenVMMXenVMM", ALL, 0);
    let xen = Features::detect::<Fake>();
    assert!(xen.hypervisor && !xen.kvm);
    assert_eq!(xen.best(), Transport::Native);
    // Without the bit for a hypervisor the leaves are whatever the processor likes.
    has_cpuid(b"AuthenticAMD", 0x4000_0000, KVM, ALL, 0);
    WORLD.with(|world| world.leaves.borrow_mut().get_mut(&1).expect("set")[2] = 0);
    let bare = Features::detect::<Fake>();
    assert!(!bare.hypervisor);
    assert_eq!(bare.best(), Transport::Native);
}

#[test]
fn dedicated_cpus_are_left_alone_unless_asked() {
    has_cpuid(b"AuthenticAMD", 0x4000_0000, KVM, ALL, 1);
    let found = Features::detect::<Fake>();
    assert_eq!(found.choose(Mode::Auto), Transport::Native);
    assert_eq!(found.choose(Mode::Paravirtual), Transport::DirectedYield);
    assert_eq!(found.choose(Mode::Native), Transport::Native);
}

#[test]
fn nobody_gets_more_than_the_host_offers() {
    has_cpuid(b"AuthenticAMD", 0x4000_0000, KVM, 1 << 7, 0);
    let found = Features::detect::<Fake>();
    let used = Guest::host().set(found, Transport::DirectedYield);
    assert_eq!(used, Transport::KickAndHalt);
    assert_eq!(Guest::host().transport(), Transport::KickAndHalt);
}

#[test]
fn a_cpu_that_starts_says_where_its_record_is() {
    start(ALL);
    let address = |index| record_of(index).addr() as u64;
    assert_eq!(did()[3], Did::WriteMsr(0x4b56_4d03, address(3) | 1));
    // SAFETY: a fake processor.
    on(3, || unsafe { Guests::stop_cpu() });
    assert_eq!(did(), [Did::WriteMsr(0x4b56_4d03, 0)]);
    // A vCPU that is gone is neither woken nor named.
    host_runs(3, false);
    Sleep::kick::<Guests>(cpu(3));
    assert_eq!(Guests::yield_to(hint(3)), Status::Refused);
    assert_eq!(did(), []);
}

#[test]
fn without_a_host_no_instruction_is_executed() {
    assert_eq!(start(0), Transport::Native);
    host_runs(1, false);
    assert_eq!(Guests::run_sample(cpu(1)).state(), RunState::Running);
    assert!(!Guests::pressure());
    Sleep::halt::<Guests>(Some(hint(1)));
    Sleep::kick::<Guests>(cpu(1));
    assert_eq!(Guests::yield_to(hint(1)), Status::Refused);
    assert_eq!(did(), []);
}

#[test]
fn without_steal_time_vcpus_kick_and_halt_and_yield_to_nobody() {
    assert_eq!(start(1 << 7), Transport::KickAndHalt);
    assert_eq!(did(), [], "there is no such register");
    assert!(Guests::pressure(), "nothing says that there is none");
    assert_eq!(Guests::yield_to(hint(1)), Status::Refused);
    on(1, || Sleep::halt::<Guests>(Some(hint(2))));
    assert_eq!(did(), [Did::Mask, Did::HaltMasked]);
}

#[test]
fn a_kick_that_comes_first_leaves_no_halt() {
    start(ALL);
    did();
    WORLD.with(|world| world.interrupts_enabled.set(true));
    Sleep::kick::<Guests>(cpu(1));
    assert_eq!(did(), [], "it does not sleep");
    on(1, || Sleep::halt::<Guests>(None));
    assert_eq!(did(), [Did::Mask, Did::Unmask]);
    assert!(WORLD.with(|world| world.interrupts_enabled.get()));
}

#[test]
fn a_kick_between_masking_and_halting_is_not_lost() {
    for enabled in [false, true] {
        start(ALL);
        did();
        WORLD.with(|world| world.interrupts_enabled.set(enabled));
        // Before the word is looked at: the halt does not happen.
        just_before(Did::Mask, || on(0, || Sleep::kick::<Guests>(cpu(1))));
        on(1, || Sleep::halt::<Guests>(None));
        assert!(
            !did()
                .iter()
                .any(|did| matches!(did, Did::HaltMasked | Did::HaltUnmasked))
        );
        assert_eq!(WORLD.with(|world| world.interrupts_enabled.get()), enabled);

        // After it: the host is called, and remembers.
        let halt = if enabled {
            Did::HaltUnmasked
        } else {
            Did::HaltMasked
        };
        just_before(halt.clone(), || on(0, || Sleep::kick::<Guests>(cpu(1))));
        on(1, || Sleep::halt::<Guests>(None));
        assert_eq!(did(), [Did::Mask, kick_call(1), halt]);
        assert_eq!(WORLD.with(|world| world.interrupts_enabled.get()), enabled);
        assert_eq!(Guests::run_sample(cpu(1)).state(), RunState::Running);
    }
}

#[test]
fn a_kick_calls_the_host_for_who_is_preempted_awake() {
    start(ALL);
    did();
    host_runs(1, false);
    Sleep::kick::<Guests>(cpu(1));
    assert_eq!(did(), [kick_call(1)]);
}

#[test]
fn a_yield_names_the_end_of_the_chain() {
    start(ALL);
    did();
    // 1 spins behind 2, which waits for the preempted 5.
    on(1, || Guests::set_waiting_for(Some(cpu(2))));
    on(2, || Guests::set_waiting_for(Some(cpu(5))));
    host_runs(5, false);
    just_before(yield_call(5), || {
        assert_eq!(
            Guests::run_sample(cpu(0)).state(),
            RunState::Preempted,
            "who lends its pCPU says so"
        );
        host_runs(5, true);
    });
    assert_eq!(Guests::yield_to(hint(1)), Status::Ran);
    assert_eq!(did(), [yield_call(5)]);
    assert_eq!(Guests::run_sample(cpu(0)).state(), RunState::Running);
}

#[test]
fn the_host_is_not_called_for_what_it_could_not_do() {
    start(ALL);
    did();
    assert_eq!(Guests::yield_to(hint(1)), Status::AlreadyRunning);
    host_runs(1, false);
    let old = hint(1);
    host_runs(1, true);
    host_runs(1, false);
    assert_eq!(Guests::yield_to(old), Status::Stale);
    assert_eq!(Guests::yield_to(hint(0)), Status::Refused, "itself");
    let missing = Hint {
        cpu: cpu(CPUS),
        ..hint(1)
    };
    assert_eq!(Guests::yield_to(missing), Status::Refused, "no such CPU");
    assert_eq!(did(), []);
    // It was called, and did nothing.
    assert_eq!(Guests::yield_to(hint(1)), Status::Refused);
    assert_eq!(did(), [yield_call(1)]);
    // It ran, and is off again: that is what was asked for.
    just_before(yield_call(1), || {
        host_runs(1, true);
        host_runs(1, false);
    });
    assert_eq!(Guests::yield_to(hint(1)), Status::Ran);
}

#[test]
fn a_halt_hands_over_its_hint_first() {
    start(ALL);
    did();
    host_runs(2, false);
    Sleep::halt::<Guests>(Some(hint(2)));
    assert_eq!(did(), [yield_call(2), Did::Mask, Did::HaltMasked]);
    // The kick came while the target ran: no reason to halt any more.
    just_before(yield_call(2), || {
        on(2, || Sleep::kick::<Guests>(cpu(0)));
    });
    Sleep::halt::<Guests>(Some(hint(2)));
    // (A vCPU that lent its pCPU is off it: the host hears of the kick.)
    assert_eq!(did(), [kick_call(0), yield_call(2), Did::Mask]);
}

#[test]
fn a_budget_runs_out() {
    start(ALL);
    let looks = Cell::new(0_u64);
    let condition = || {
        looks.set(looks.get() + 1);
        WORLD.with(|world| world.now_ns.set(looks.get() * 100));
        false
    };
    let budget = Budget::ns(10_000);
    assert!(!Guests::spin_until(condition, budget));
    assert!((100..150).contains(&looks.get()), "{}", looks.get());
}

/// Spins for 60 µs of a clock that goes on by 100 ns for each look, and counts the looks at the
/// condition. The host takes the CPU away for `stolen_ns` right after one of the looks at the clock.
fn looks_in_60_us(stolen_ns: u64) -> u64 {
    start(ALL);
    WORLD.with(|world| {
        world.tick_ns.set(100);
        if stolen_ns > 0 {
            *world.at_clock.borrow_mut() = Some(Box::new(move || steal(0, stolen_ns)));
        }
    });
    let mut looks = 0;
    let condition = || {
        looks += 1;
        false
    };
    assert!(!Guests::spin_until(condition, Budget::ns(60_000)));
    WORLD.with(|world| world.tick_ns.set(0));
    looks
}

#[test]
fn a_budget_is_own_time() {
    let undisturbed = looks_in_60_us(0);
    assert!((9_600..9_700).contains(&undisturbed), "{undisturbed}");
    // Whenever it comes: before the budget has begun, or between the clock and the record.
    let disturbed = looks_in_60_us(3_000_000);
    assert!(disturbed.abs_diff(undisturbed) < 100, "{disturbed} looks");
}

#[test]
fn a_handler_that_ended_a_halt_is_asked_for_if_it_is_preempted() {
    start(ALL);
    did();
    WORLD.with(|world| world.interrupts_enabled.set(true));
    just_before(Did::HaltUnmasked, || {
        let state = || Guests::run_sample(cpu(1)).state();
        assert_eq!(state(), RunState::Halted);
        // An interrupt: the host runs it, and the handler takes a lock. Then it is preempted.
        host_runs(1, true);
        assert_eq!(state(), RunState::Running);
        host_runs(1, false);
        assert_eq!(state(), RunState::Preempted);
        on(0, || {
            just_before(yield_call(1), || host_runs(1, true));
            assert_eq!(Guests::yield_to(hint(1)), Status::Ran);
        });
    });
    on(1, || Sleep::halt::<Guests>(None));
    assert_eq!(did(), [Did::Mask, yield_call(1), Did::HaltUnmasked]);
}

#[test]
fn a_handler_may_say_itself_that_the_halt_is_over() {
    start(ALL);
    WORLD.with(|world| world.interrupts_enabled.set(true));
    just_before(Did::HaltUnmasked, || {
        // The host polled: no new generation.
        assert_eq!(Guests::run_sample(cpu(1)).state(), RunState::Halted);
        on(1, Guests::interrupted);
        assert_eq!(Guests::run_sample(cpu(1)).state(), RunState::Running);
        did();
        on(0, || Sleep::kick::<Guests>(cpu(1)));
        assert_eq!(did(), [], "it is awake");
    });
    on(1, || Sleep::halt::<Guests>(None));
    assert_eq!(Guests::run_sample(cpu(1)).state(), RunState::Running);
}

#[test]
fn a_walk_along_the_chain_is_bounded() {
    start(ALL);
    let last = CPUS - 1;
    for index in 1..last {
        on(index, || Guests::set_waiting_for(Some(cpu(index + 1))));
    }
    (1..CPUS).for_each(|index| host_runs(index, false));
    did();
    WORLD.with(|world| world.asked.set(0));
    Guests::yield_to(hint(1));
    // The 64th on the way: it names the next stretch itself.
    assert_eq!(did(), [yield_call(64)]);
    let asked = WORLD.with(|world| world.asked.get());
    assert!(asked < 4 * 64, "{asked}");
}

#[test]
fn a_kernel_that_has_a_record_keeps_it() {
    struct Older;
    static RECORDS: [Vcpu; 2] = [const { Vcpu::new() }; 2];
    impl Kernel for Older {
        fn host() -> &'static Host {
            Guest::host()
        }
        fn cpu() -> Cpu {
            Guest::cpu()
        }
        fn cpu_count() -> usize {
            2
        }
        fn nodes(cpu: Cpu) -> &'static CpuNodes {
            Guest::nodes(cpu)
        }
        fn vcpu(cpu: Cpu) -> &'static Vcpu {
            Guest::vcpu(cpu)
        }
        fn record(cpu: Cpu) -> &'static StealTime {
            RECORDS[cpu.index()].record()
        }
        fn now_ns() -> u64 {
            0
        }
    }
    start(0);
    let found = {
        has_cpuid(b"GenuineIntel", 0x4000_0000, KVM, ALL, 0);
        Features::detect::<Fake>()
    };
    Guest::host().set(found, Transport::DirectedYield);
    for index in 0..2 {
        // SAFETY: a fake processor.
        unsafe { Kvm::<Older, Fake>::adopt_cpu(cpu(index), index as u32) };
    }
    assert_eq!(did(), [], "the register is the kernel's own");
    let sample = || Kvm::<Older, Fake>::run_sample(cpu(1)).state();
    assert_eq!(sample(), RunState::Running);
    let flag = std::ptr::from_ref(Older::record(cpu(1)))
        .cast::<u8>()
        .cast_mut();
    // SAFETY: byte 16 of a static of atomics, which nothing else writes.
    unsafe { AtomicU8::from_ptr(flag.add(16)) }.store(1, Release);
    assert_eq!(sample(), RunState::Preempted);
}

#[cfg(feature = "lockdep")]
thread_local!(static FINDINGS: RefCell<Vec<pvqspin::lockdep::Kind>> = RefCell::default());

#[cfg(feature = "lockdep")]
#[test]
fn the_order_checker_tells_the_kernel() {
    type Lock = pvqspin::Mutex<u32, Guests>;
    start(ALL);
    let (a, b) = (Lock::new(0), Lock::new(0));
    for (first, second) in [(&a, &b), (&b, &a)] {
        let _first = first.lock();
        let _second = second.lock();
    }
    assert_eq!(FINDINGS.take(), [pvqspin::lockdep::Kind::Inversion]);
}
