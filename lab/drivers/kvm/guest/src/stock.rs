//! The transport that is KVM's own: the hypercalls of a stock host, at CPL 0. This guest is a
//! [`kvm::Kernel`] and leaves the rest to [`pvqspin::kvm`].

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pvqspin::kvm::{self, Call, Features, Host, Instructions, Kernel, Kvm, Vcpu, X86};
use pvqspin::{Budget, CpuNodes, Env, Sleep};
use pvqspin_abi::{Cpu, Hint, Status};
use pvqspin_kvm_boot::boot::Transport as Chosen;
use pvqspin_kvm_boot::{Layout, StockArea};
use pvqspin_load::own_time::OwnTime;

use crate::env::GuestEnv;
use crate::transport::Transport;
use crate::{clock, cpu, timer};

static HOST: Host = Host::new();
static AREAS: AtomicU64 = AtomicU64::new(0);

/// Called once, by vCPU 0, before any other starts.
pub(crate) fn set(chosen: Chosen, layout: &Layout) {
    // Relaxed: the others are started by the VMM afterwards, which orders everything.
    AREAS.store(layout.stock_areas, Relaxed);
    let features = Features::detect::<X86>();
    let wanted = match chosen {
        Chosen::Stock => kvm::Transport::DirectedYield,
        Chosen::StockSilent => kvm::Transport::Native,
        _ => kvm::Transport::KickAndHalt,
    };
    let used = HOST.set(features, wanted);
    assert!(
        used == wanted && features.steal_time,
        "the transport {} needs more than this host has: {features}",
        chosen.name()
    );
}

/// Called once by each vCPU, before it takes part in anything.
pub(crate) fn start(number: usize) {
    let record = core::ptr::from_ref(own_area().vcpu.record());
    // SAFETY: the VMM starts a vCPU of this transport at CPL 0, on KVM. Guest-physical and
    // guest-virtual addresses are the same, the area stays where it is, and the number of a vCPU is
    // its APIC id, because the VMM made it with that number.
    unsafe { OnKvm::start_cpu(number as u32, record.addr() as u64) };
}

fn area(cpu: Cpu) -> &'static StockArea {
    cpu::place(AREAS.load(Relaxed), cpu::index(cpu))
}

fn own_area() -> &'static StockArea {
    area(ThisGuest::cpu())
}

/// Halts until a kick, or for so many nanoseconds.
pub(crate) fn halt(ns: Option<u32>) {
    let timer = &own_area().wakes_after_ns;
    timer.store(ns.unwrap_or(0).into(), Relaxed);
    Sleep::halt::<OnKvm>(None);
    timer.store(0, Relaxed);
}

/// Names a vCPU to KVM, whatever it does: the lock's own yields leave out what cannot succeed.
pub(crate) fn yield_to(cpu: Cpu) {
    let sample = OnKvm::run_sample(cpu);
    if sample.is_preempted() {
        let _ = OnKvm::yield_to(Hint {
            cpu,
            generation: sample.generation(),
        });
    } else if let Some(apic_id) = area(cpu).vcpu.apic_id() {
        // SAFETY: CPL 0 on KVM, which puts the other vendor's instruction in the place of this one where that is
        // right; a yield only ever schedules.
        unsafe { Counted::hypercall(Call::Vmmcall, kvm::HC_SCHED_YIELD, apic_id.into(), 0) };
    }
}

/// This guest, as a kernel.
pub(crate) struct ThisGuest;

impl Kernel for ThisGuest {
    fn host() -> &'static Host {
        &HOST
    }

    fn cpu() -> Cpu {
        cpu::area().number.load()
    }

    fn cpu_count() -> usize {
        cpu::count()
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        cpu::nodes(cpu)
    }

    fn vcpu(cpu: Cpu) -> &'static Vcpu {
        &area(cpu).vcpu
    }

    fn now_ns() -> u64 {
        clock::now_ns()
    }
}

/// The processor, and how often it was left for the host: that is counted, and nothing is changed.
pub(crate) struct Counted;

impl Instructions for Counted {
    fn cpuid(leaf: u32, subleaf: u32) -> [u32; 4] {
        X86::cpuid(leaf, subleaf)
    }

    unsafe fn write_msr(register: u32, value: u64) {
        // SAFETY: the caller's promise.
        unsafe { X86::write_msr(register, value) };
    }

    unsafe fn hypercall(call: Call, number: u64, first: u64, second: u64) -> i64 {
        let area = own_area();
        StockArea::count(match number {
            kvm::HC_KICK_CPU => &area.kicks,
            _ => &area.yield_calls,
        });
        // SAFETY: the caller's promise.
        unsafe { X86::hypercall(call, number, first, second) }
    }

    unsafe fn mask() -> bool {
        // SAFETY: the caller's promise.
        unsafe { X86::mask() }
    }

    unsafe fn unmask() {
        // SAFETY: the caller's promise.
        unsafe { X86::unmask() };
    }

    /// The halt of this guest, whose interrupts are masked: a timer ends it if one is wanted.
    unsafe fn halt_masked() {
        let area = own_area();
        StockArea::count(&area.halts);
        match area.wakes_after_ns.load(Relaxed) as u32 {
            // SAFETY: the caller's promise.
            0 => unsafe { X86::halt_masked() },
            // SAFETY: CPL 0, on a stock transport, which has an interrupt controller.
            ns => unsafe { timer::halt_for(ns) },
        }
    }

    unsafe fn halt_unmasked() {
        StockArea::count(&own_area().halts);
        // SAFETY: the caller's promise.
        unsafe { X86::halt_unmasked() };
    }
}

/// The environment that is measured: the one that the lock comes with.
pub(crate) type OnKvm = Kvm<ThisGuest, Counted>;

impl Transport for OnKvm {
    #[inline]
    unsafe fn spin_measured(
        time: &OwnTime,
        mut condition: impl FnMut() -> bool,
        budget: Budget,
    ) -> bool {
        let condition = || {
            Self::notice_entry();
            condition()
        };
        // SAFETY: the caller's promise.
        unsafe {
            time.account_for::<GuestEnv<Self>>(condition, |condition| {
                Self::spin_until(condition, budget)
            })
        }
    }

    fn count_yield(status: Status) {
        own_area().count_yield(status);
    }

    /// The doorbell's VMM writes down when it enters a guest, and what was stolen. Here the guest
    /// notices it by the record.
    #[inline]
    fn notice_entry() -> bool {
        let area = own_area();
        let record = area.vcpu.record();
        let generation = record.generation().get();
        let is_new = area.noticed.load(Relaxed) != generation;
        if is_new {
            area.noticed.store(generation, Relaxed);
            let time = &cpu::area().time;
            time.entered_ticks.store(clock::ticks(), Relaxed);
            let stolen = clock::ns_to_ticks(record.steal_ns());
            time.stolen_ticks.store(stolen, Relaxed);
        }
        is_new
    }
}
