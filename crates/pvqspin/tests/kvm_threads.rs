//! The KVM environment on threads: a host that halts and wakes for real, and remembers one kick for
//! each vCPU. No wake-up may be lost.

#![cfg(target_arch = "x86_64")]

use std::cell::Cell;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::{AcqRel, Acquire};
use std::sync::{Condvar, Mutex as Blocking};
use std::thread;
use std::time::{Duration, Instant};

use pvqspin::kvm::{Call, Features, Host, Instructions, Kernel, Kvm, Transport, Vcpu};
use pvqspin::{Cpu, CpuNodes, FifoHalt, FifoHolder, Mutex, Policy};

const CPUS: usize = 4;
/// Far beyond any wait of the test: a halt that lasts as long was not kicked.
const LOST: Duration = Duration::from_secs(20);

thread_local!(static CPU: Cell<usize> = const { Cell::new(0) });

static HOST: Host = Host::new();
static NODES: [CpuNodes; CPUS] = [const { CpuNodes::new() }; CPUS];
static VCPUS: [Vcpu; CPUS] = [const { Vcpu::new() }; CPUS];
/// What KVM calls `pv_unhalted`, and how a vCPU thread sleeps.
static UNHALTED: [(Blocking<bool>, Condvar); CPUS] =
    [const { (Blocking::new(false), Condvar::new()) }; CPUS];
static HALTS: AtomicU32 = AtomicU32::new(0);

/// A processor that halts its thread.
struct Threads;

impl Instructions for Threads {
    fn cpuid(_leaf: u32, _subleaf: u32) -> [u32; 4] {
        [0; 4]
    }
    unsafe fn write_msr(_register: u32, _value: u64) {}
    unsafe fn hypercall(_call: Call, number: u64, _flags: u64, apic_id: u64) -> i64 {
        assert_eq!(number, 5, "there are kicks, and nothing else");
        let (unhalted, wake) = &UNHALTED[apic_id as usize];
        *unhalted.lock().expect("never poisoned") = true;
        wake.notify_one();
        0
    }
    unsafe fn mask() -> bool {
        false
    }
    unsafe fn unmask() {}
    unsafe fn halt_masked() {
        HALTS.fetch_add(1, AcqRel);
        let (unhalted, wake) = &UNHALTED[CPU.get()];
        let until = Instant::now() + LOST;
        let mut kicked = unhalted.lock().expect("never poisoned");
        while !*kicked {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "cpu {} was never woken", CPU.get());
            (kicked, _) = wake.wait_timeout(kicked, left).expect("never poisoned");
        }
        *kicked = false;
    }
    unsafe fn halt_unmasked() {
        unreachable!("interrupts are never enabled here");
    }
}

struct Guest;

impl Kernel for Guest {
    fn host() -> &'static Host {
        &HOST
    }
    fn cpu() -> Cpu {
        Cpu::new(CPU.get()).expect("in range")
    }
    fn cpu_count() -> usize {
        CPUS
    }
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &NODES[cpu.index()]
    }
    fn vcpu(cpu: Cpu) -> &'static Vcpu {
        &VCPUS[cpu.index()]
    }
    fn now_ns() -> u64 {
        static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
        BEGAN.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

type OnThreads = Kvm<Guest, Threads>;

fn every_halt_ends<P: Policy>() {
    const SECTIONS: u64 = 1_000;
    let lock: Mutex<u64, OnThreads, P> = Mutex::new(0);
    let halts_before = HALTS.load(Acquire);
    thread::scope(|scope| {
        for cpu in 0..CPUS {
            let lock = &lock;
            scope.spawn(move || {
                CPU.set(cpu);
                // SAFETY: the processor is a fake one. Ids are the numbers of its threads.
                unsafe { OnThreads::start_cpu(cpu as u32, 0) };
                for _ in 0..SECTIONS {
                    let mut count = lock.lock();
                    let before = *count;
                    // Longer than the others spin.
                    thread::sleep(Duration::from_micros(20));
                    *count = before + 1;
                }
            });
        }
    });
    assert_eq!(*lock.lock(), SECTIONS * CPUS as u64, "{}", P::NAME);
    assert!(
        HALTS.load(Acquire) > halts_before,
        "{}: no thread halted",
        P::NAME
    );
}

#[test]
fn no_wake_up_is_lost() {
    let unhalt_only = Features {
        hypervisor: true,
        kvm: true,
        steal_time: false,
        unhalt: true,
        sched_yield: false,
        dedicated: false,
        call: Call::Vmcall,
    };
    assert_eq!(
        HOST.set(unhalt_only, Transport::DirectedYield),
        Transport::KickAndHalt
    );
    every_halt_ends::<FifoHalt>();
    every_halt_ends::<FifoHolder>();
}
