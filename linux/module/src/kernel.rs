//! Where Linux keeps what `pvqspin::kvm` asks for.

use core::sync::atomic::Ordering::Acquire;

use pvqspin::kvm::{Host, Kernel, Kvm, StealTime, Vcpu};
use pvqspin::{Cpu, CpuNodes};

use crate::{percpu, shim};

/// The environment of every lock in this module.
pub(crate) type Linux = Kvm<Guest>;

pub(crate) static HOST: Host = Host::new();

/// A Linux guest.
pub(crate) struct Guest;

impl Kernel for Guest {
    /// Measured: docs/decisions/0045-a-newcomer-looks.md.
    const LOOKS: u32 = 32;

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

    /// Not in an NMI: it may have interrupted a hypercall that lends. Nor does an NMI halt then: the CPU that
    /// would kick it may be what it interrupted.
    #[inline]
    fn may_lend() -> bool {
        // SAFETY: the shim's function looks at this CPU's preempt count, in any context.
        !unsafe { shim::pvq_in_nmi() }
    }
}
