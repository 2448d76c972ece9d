//! What the host offers, how a vCPU starts, and what a kernel brings with it.

use std::sync::atomic::AtomicU8;
use std::sync::atomic::Ordering::Release;

use pvqspin::kvm::{Call, Features, Host, Kernel, Kvm, StealTime, Transport, Vcpu};
use pvqspin::mode::{Detected, Mode};
use pvqspin::{Cpu, CpuNodes, Env, RunState, Sleep, Status};

use crate::machine::{
    ALL, Did, Fake, Guest, Guests, KVM, WORLD, cpu, did, has_cpuid, hint, host_runs, on, record_of,
    start,
};

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
#[test]
fn the_order_checker_tells_the_kernel() {
    let _alone = crate::machine::alone();
    type Lock = pvqspin::Mutex<u32, Guests>;
    start(ALL);
    let (a, b) = (Lock::new(0), Lock::new(0));
    for (first, second) in [(&a, &b), (&b, &a)] {
        let _first = first.lock();
        let _second = second.lock();
    }
    let findings = WORLD.with(|world| world.findings.take());
    assert_eq!(findings, [pvqspin::lockdep::Kind::Inversion]);
}
