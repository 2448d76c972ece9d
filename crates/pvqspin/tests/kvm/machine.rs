//! A machine that the test plays: processor, kernel and host.

pub(crate) use crate::alone::alone;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::sync::atomic::Ordering::{Relaxed, Release};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64};

use pvqspin::kvm::{Call, Features, Host, Instructions, Kernel, Kvm, StealTime, Transport, Vcpu};
use pvqspin::mode::Mode;
use pvqspin::{Cpu, CpuNodes, Env, Hint};

pub(crate) const CPUS: usize = 256;
pub(crate) const ALL: u32 = 1 << 5 | 1 << 7 | 1 << 13;

/// What the processor was told to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Did {
    WriteMsr(u32, u64),
    Hypercall(Call, u64, u64, u64),
    Mask,
    Unmask,
    HaltMasked,
    HaltUnmasked,
}

type Action = Box<dyn FnOnce()>;

/// One test's machine, on the test's own thread.
pub(crate) struct World {
    pub(crate) host: &'static Host,
    pub(crate) nodes: &'static [CpuNodes; CPUS],
    pub(crate) vcpus: &'static [Vcpu; CPUS],
    pub(crate) cpu: Cell<usize>,
    pub(crate) now_ns: Cell<u64>,
    /// How much later each look at the clock is than the one before.
    pub(crate) tick_ns: Cell<u64>,
    /// Happens once, at the next look at the clock.
    pub(crate) at_clock: RefCell<Option<Action>>,
    /// How often it was asked where a vCPU is.
    pub(crate) asked: Cell<usize>,
    pub(crate) leaves: RefCell<BTreeMap<u32, [u32; 4]>>,
    pub(crate) interrupts_enabled: Cell<bool>,
    pub(crate) may_lend: Cell<bool>,
    /// Locks that a CPU held when it began to wait for them.
    pub(crate) deadlocks: RefCell<Vec<usize>>,
    pub(crate) did: RefCell<Vec<Did>>,
    #[cfg(feature = "lockdep")]
    pub(crate) findings: RefCell<Vec<pvqspin::lockdep::Kind>>,
    /// Happens once, right before the next thing of this kind.
    pub(crate) before: RefCell<Option<(Did, Action)>>,
}

thread_local! {
    pub(crate) static WORLD: World = World {
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
        may_lend: Cell::new(true),
        deadlocks: RefCell::default(),
        did: RefCell::default(),
        #[cfg(feature = "lockdep")]
        findings: RefCell::default(),
        before: RefCell::default(),
    };
}

pub(crate) struct Fake;

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

pub(crate) struct Guest;

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

pub(crate) type Guests = Kvm<Guest, Fake>;

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

pub(crate) fn just_before(what: Did, action: impl FnOnce() + 'static) {
    WORLD.with(|world| *world.before.borrow_mut() = Some((what, Box::new(action))));
}

fn words(text: &[u8; 12]) -> [u32; 3] {
    std::array::from_fn(|n| {
        u32::from_le_bytes(text[4 * n..4 * n + 4].try_into().expect("four bytes"))
    })
}

pub(crate) fn has_cpuid(
    vendor: &[u8; 12],
    base: u32,
    signature: &[u8; 12],
    features: u32,
    hints: u32,
) {
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

pub(crate) const KVM: &[u8; 12] = b"KVMKVMKVM\0\0\0";

/// A machine whose CPUs are all up; APIC ids are 16 times the number.
pub(crate) fn start(features: u32) -> Transport {
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

pub(crate) fn record_of(index: usize) -> *const StealTime {
    Guest::vcpu(cpu(index)).record()
}

/// The host puts a vCPU on a pCPU, or takes it off, as KVM does: at these offsets of the record.
pub(crate) fn host_runs(index: usize, runs: bool) {
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
pub(crate) fn steal(index: usize, ns: u64) {
    host_runs(index, false);
    // SAFETY: as above; the first eight bytes are what was stolen.
    let stolen = unsafe { AtomicU64::from_ptr(record_of(index).cast::<u64>().cast_mut()) };
    stolen.fetch_add(ns, Relaxed);
    WORLD.with(|world| world.now_ns.set(world.now_ns.get() + ns));
    host_runs(index, true);
}

pub(crate) fn hint(index: usize) -> Hint {
    Hint {
        cpu: cpu(index),
        generation: Guests::run_sample(cpu(index)).generation(),
    }
}

pub(crate) fn yield_call(index: usize) -> Did {
    Did::Hypercall(Call::Vmmcall, 11, 16 * index as u64, 0)
}

pub(crate) fn kick_call(index: usize) -> Did {
    Did::Hypercall(Call::Vmmcall, 5, 0, 16 * index as u64)
}
