//! Where Linux keeps what `pvqspin::kvm` asks for.

use core::sync::atomic::Ordering::Acquire;

use pvqspin::kvm::{Call, Host, Instructions, Kernel, Kvm, StealTime, Vcpu, X86};
use pvqspin::{Cpu, CpuNodes};

use crate::{percpu, shim};

/// The environment of every lock in this module.
pub(crate) type Linux = Kvm<Guest, Processor>;

pub(crate) static HOST: Host = Host::new();

/// A Linux guest.
pub(crate) struct Guest;

impl Kernel for Guest {
    #[inline]
    fn host() -> &'static Host {
        &HOST
    }

    #[inline]
    fn cpu() -> Cpu {
        // SAFETY: Linux takes and releases spinlocks with preemption off, so the number stays right
        // for as long as it is used.
        let number = unsafe { shim::pvq_cpu() };
        // The module does not load where there are more CPUs than the word has numbers.
        Cpu::new(number as usize).unwrap_or(Cpu::ZERO)
    }

    #[inline]
    fn cpu_count() -> usize {
        percpu::count() as usize
    }

    #[inline]
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        &percpu::of_cpu(cpu).nodes
    }

    #[inline]
    fn vcpu(cpu: Cpu) -> &'static Vcpu {
        &percpu::of_cpu(cpu).vcpu
    }

    #[inline]
    fn record(cpu: Cpu) -> &'static StealTime {
        let per_cpu = percpu::of_cpu(cpu);
        // Acquire pairs with the release of the CPU that found its record.
        let record = per_cpu.record.load(Acquire);
        // SAFETY: null, or the record that Linux registered for that CPU: a per-CPU variable of the
        // kernel, 64 bytes and aligned so, which is never freed (`pvq_cpu_is_up`). Host and guest both
        // write it, so it is read as atomics.
        unsafe { record.as_ref() }.unwrap_or(per_cpu.vcpu.record())
    }

    #[inline]
    fn now_ns() -> u64 {
        // SAFETY: the shim's clock is the kernel's fast one, which NMIs may read, too.
        unsafe { shim::pvq_now_ns() }
    }
}

/// The processor, but that it does not halt in an NMI: who would kick it may be what the NMI
/// interrupted.
pub(crate) struct Processor;

impl Instructions for Processor {
    fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
        X86::cpuid(leaf, subleaf)
    }

    unsafe fn write_msr(register: u32, value: u64) {
        // SAFETY: the same contract as this function's, which its caller keeps. (Nothing calls it:
        // Linux has registered its records itself, and `start_cpu` is not used.)
        unsafe { X86::write_msr(register, value) }
    }

    unsafe fn hypercall(call: Call, number: u64, first: u64, second: u64) -> i64 {
        // SAFETY: the same contract as this function's: `pvqspin::kvm` calls it after `adopt_cpu`, on
        // KVM in ring 0, with the two calls that only ever schedule.
        unsafe { X86::hypercall(call, number, first, second) }
    }

    unsafe fn mask() -> bool {
        // SAFETY: ring 0. `pvqspin::kvm` masks in its halt alone, which unmasks on each way out.
        unsafe { X86::mask() }
    }

    unsafe fn unmask() {
        // SAFETY: the same contract as this function's: `mask` found interrupts enabled.
        unsafe { X86::unmask() }
    }

    unsafe fn halt_masked() {
        // SAFETY: the shim's function looks at this CPU's preempt count, in any context.
        if unsafe { shim::pvq_in_nmi() } {
            return;
        }
        // SAFETY: ring 0, interrupts masked; the caller published that this CPU halts before, and
        // each waiter that is seen halted is kicked by the contract of the lock.
        unsafe { X86::halt_masked() };
    }

    unsafe fn halt_unmasked() {
        // Never in an NMI: interrupts were masked there before.
        // SAFETY: the same contract as this function's: `mask` found interrupts enabled.
        unsafe { X86::halt_unmasked() }
    }
}
