//! The environment of guest code: how a lock and a workload see the embedded hypervisor.
//!
//! Everything here runs on a vCPU's stack and may be taken off, and put on another thread,
//! between any two instructions. So: no thread-local storage, no allocation, no `errno`, no lock
//! of the standard library. All it touches is the vCPU's own control block, the VM's memory, and
//! the time-stamp counter.

use core::sync::atomic::Ordering::Relaxed;

use pvqspin::{Budget, CpuNodes, Env, Point, Sleep};
use pvqspin_abi::{Cpu, Hint, Hypercall, RunSample, Status};
use pvqspin_load::Guest;
use pvqspin_load::own_time::Ticks;

use crate::arena;
use crate::marks::{Mark, Marks};
use crate::vcb::{ExitReason, Vcb};
use pvqspin_real_time::clock;
use pvqspin_real_time::compute;

/// Guest mode of the embedded hypervisor. Its functions end the process when they are called
/// from anywhere but a vCPU's stack.
#[derive(Debug)]
pub(crate) enum GuestEnv {}

/// Waits at least this long get a mark in the trace, even when they are not a vCPU's longest.
const LONG_WAIT_NS: u64 = 100_000;

#[inline(always)]
fn vcb() -> &'static Vcb {
    match arena::current() {
        Some(vcb) => vcb,
        None => not_a_guest(),
    }
}

#[cold]
#[inline(never)]
fn not_a_guest() -> ! {
    eprintln!("pvqspin-hypervisor: guest code was called outside of a guest");
    std::process::abort()
}

impl Env for GuestEnv {
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    #[inline(always)]
    fn cpu() -> Cpu {
        vcb().cpu
    }

    #[inline]
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        vcb().memory.nodes(cpu)
    }

    #[inline]
    fn spin_until(condition: impl FnMut() -> bool, budget: Budget) -> bool {
        // SAFETY: guest code of this vCPU runs, on its own stack.
        unsafe { vcb().time.spin_until::<Self>(condition, budget) }
    }

    #[inline]
    fn run_sample(cpu: Cpu) -> RunSample {
        vcb().memory.page(cpu).run()
    }

    #[inline]
    fn pressure() -> bool {
        vcb().memory.vm_page().pressure()
    }

    #[inline]
    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        let vcb = vcb();
        let page = vcb.memory.page(vcb.cpu);
        let former = page.waiting_for();
        page.set_waiting_for(cpu);
        former
    }

    #[inline]
    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        vcb().memory.page(cpu).waiting_for()
    }

    #[inline]
    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        vcb().memory.page(cpu).set_waiting_for(to);
    }

    fn yield_to(hint: Hint) -> Status {
        vcb().hypercall(Hypercall::YieldTo(hint))
    }

    #[inline]
    fn now_ns() -> u64 {
        clock::now_ns()
    }

    #[inline]
    fn checkpoint(point: Point) {
        let vcb = vcb();
        vcb.time.stamp::<Self>(point);
        if vcb.watches(point) {
            passed(vcb, point);
        }
        // SAFETY: guest code of this vCPU runs, on its own stack.
        unsafe { vcb.time.interrupt_at::<Self>(point) };
    }
}

impl GuestEnv {
    pub(crate) fn halt(hint: Option<Hint>) {
        vcb().hypercall(Hypercall::Halt(hint));
    }

    pub(crate) fn kick(cpu: Cpu) {
        vcb().hypercall(Hypercall::Kick(cpu));
    }
}

/// The slow half of a checkpoint: tracing is on, or a fault is armed here.
#[cold]
fn passed(vcb: &Vcb, point: Point) {
    if let Some(marks) = vcb.marks() {
        marks.make(clock::now_ns(), Mark::Passed(point));
        if point == Point::Taken {
            mark_wait(vcb, marks);
        }
    }
    let passings = &vcb.passings[point as usize];
    let passing = passings.load(Relaxed).wrapping_add(1);
    passings.store(passing, Relaxed);
    // Real time cannot be replayed anyway: a scrambled count is chance enough (Fibonacci hashing).
    let chance = |many| many != 0 && (passing.wrapping_mul(0x9E37_79B9) >> 16).is_multiple_of(many);
    if vcb.faults().hit(vcb.cpu, point, passing, chance) {
        vcb.faults_fired
            .store(vcb.faults_fired.load(Relaxed) + 1, Relaxed);
        vcb.lose_pcpu(ExitReason::Fault);
    }
}

/// Leaves a mark if the wait that has just ended was long.
fn mark_wait(vcb: &Vcb, marks: &Marks) {
    let joined = vcb.time.joined_ns.load(Relaxed);
    if vcb.marked_joined_ns.swap(joined, Relaxed) == joined {
        return; // This acquisition did not wait: it did not join since the last mark.
    }
    let now = clock::now_ns();
    let waited = now.saturating_sub(joined);
    let longest = vcb.longest_wait_ns.load(Relaxed);
    if waited >= LONG_WAIT_NS || waited > longest {
        vcb.longest_wait_ns.store(longest.max(waited), Relaxed);
        marks.make(now, Mark::LongWait(waited));
    }
}

/// Notes that a lock was taken or released.
#[cold]
fn mark_lock(vcb: &Vcb, address: usize, held: bool) {
    if let Some(marks) = vcb.marks() {
        marks.make(clock::now_ns(), Mark::Lock { address, held });
    }
}

impl Ticks for GuestEnv {
    #[inline]
    fn ticks() -> u64 {
        clock::ticks()
    }

    #[inline]
    fn ns_to_ticks(ns: u64) -> u64 {
        clock::ns_to_ticks(ns)
    }
}

impl Guest for GuestEnv {
    #[inline]
    fn compute(ns: u32) {
        compute::for_ns(ns);
    }

    #[inline]
    fn entered_at_ns() -> u64 {
        clock::at_ns(vcb().time.entered_ticks.load(Relaxed))
    }

    #[inline]
    fn joined_at_ns() -> u64 {
        vcb().time.joined_ns.load(Relaxed)
    }

    fn wasted_ns() -> u64 {
        clock::ticks_to_ns(vcb().time.wasted_ticks.load(Relaxed))
    }

    #[inline]
    fn mark(lock: usize, held: bool) {
        let vcb = vcb();
        if vcb.is_traced() {
            mark_lock(vcb, lock, held);
        }
    }

    #[inline]
    fn with_timer<R>(due_ns: u64, handler: &dyn Fn(), body: impl FnOnce() -> R) -> R {
        vcb().time.timer.during(due_ns, handler, body)
    }
}
