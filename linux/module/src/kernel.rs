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
        // SAFETY: spinlocks are taken with preemption off.
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
        // SAFETY: null, or Linux's own record of that CPU, which is a per-CPU variable and stays.
        unsafe { record.as_ref() }.unwrap_or(per_cpu.vcpu.record())
    }

    #[inline]
    fn now_ns() -> u64 {
        // SAFETY: it may be called in every context.
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
        // SAFETY: the caller's promise.
        unsafe { X86::write_msr(register, value) }
    }

    unsafe fn hypercall(call: Call, number: u64, first: u64, second: u64) -> i64 {
        // SAFETY: the caller's promise.
        unsafe { X86::hypercall(call, number, first, second) }
    }

    unsafe fn mask() -> bool {
        // SAFETY: the caller's promise.
        unsafe { X86::mask() }
    }

    unsafe fn unmask() {
        // SAFETY: the caller's promise.
        unsafe { X86::unmask() }
    }

    unsafe fn halt_masked() {
        // SAFETY: it may be called in every context. The caller's promise for the other.
        unsafe {
            if !shim::pvq_in_nmi() {
                X86::halt_masked();
            }
        }
    }

    unsafe fn halt_unmasked() {
        // In an NMI interrupts were masked before, so this is never one.
        // SAFETY: the caller's promise.
        unsafe { X86::halt_unmasked() }
    }
}
