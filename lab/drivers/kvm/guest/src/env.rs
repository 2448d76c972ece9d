//! The environment of locks and workloads in the guest, whatever the transport.

use core::marker::PhantomData;
use core::sync::atomic::Ordering::Relaxed;

use pvqspin::{Budget, CpuNodes, Env, Point, Sleep};
use pvqspin_abi::{Cpu, Hint, RunSample, Status};
use pvqspin_load::Guest;
use pvqspin_load::own_time::Ticks;

use crate::clock;
use crate::cpu::area;
use crate::transport::Transport;

/// A guest on KVM.
pub(crate) struct GuestEnv<T>(PhantomData<fn() -> T>);

/// Everything that the lock asks for is the transport's. What is added only measures: it stamps, and
/// takes the timer's interrupt, for there is no other one.
impl<T: Transport> Env for GuestEnv<T> {
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    #[inline(always)]
    fn cpu() -> Cpu {
        T::cpu()
    }

    #[inline]
    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        T::nodes(cpu)
    }

    #[inline]
    fn cpu_count() -> usize {
        T::cpu_count()
    }

    #[inline]
    fn spin_until(condition: impl FnMut() -> bool, budget: Budget) -> bool {
        // SAFETY: the area of the vCPU that runs this.
        unsafe { T::spin_measured(&area().time, condition, budget) }
    }

    #[inline]
    fn run_sample(cpu: Cpu) -> RunSample {
        T::run_sample(cpu)
    }

    #[inline]
    fn pressure() -> bool {
        T::pressure()
    }

    #[inline]
    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        T::set_waiting_for(cpu)
    }

    #[inline]
    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        T::waiting_for(cpu)
    }

    #[inline]
    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        T::redirect_wait_of(cpu, to);
    }

    fn yield_to(hint: Hint) -> Status {
        let status = T::yield_to(hint);
        T::count_yield(status);
        status
    }

    #[inline]
    fn now_ns() -> u64 {
        T::now_ns()
    }

    #[inline]
    fn checkpoint(point: Point) {
        T::notice_entry();
        let time = &area().time;
        time.stamp::<Self>(point);
        // SAFETY: the area of the vCPU that runs this.
        unsafe { time.interrupt_at::<Self>(point) };
    }
}

impl<T: Transport> GuestEnv<T> {
    fn halt(hint: Option<Hint>) {
        Sleep::halt::<T>(hint);
    }

    fn kick(cpu: Cpu) {
        Sleep::kick::<T>(cpu);
    }
}

impl<T: Transport> Ticks for GuestEnv<T> {
    #[inline]
    fn ticks() -> u64 {
        // A time is one of the entry that was noticed last, or an absence would count as the vCPU's
        // own time first, and be taken away from it later.
        loop {
            let now = clock::ticks();
            if !T::notice_entry() {
                return now;
            }
        }
    }

    #[inline]
    fn ns_to_ticks(ns: u64) -> u64 {
        clock::ns_to_ticks(ns)
    }
}

impl<T: Transport> Guest for GuestEnv<T> {
    #[inline]
    fn compute(ns: u32) {
        clock::compute_for(ns);
    }

    #[inline]
    fn entered_at_ns() -> u64 {
        T::notice_entry();
        clock::at_ns(area().time.entered_ticks.load(Relaxed))
    }

    #[inline]
    fn joined_at_ns() -> u64 {
        area().time.joined_ns.load(Relaxed)
    }

    fn wasted_ns() -> u64 {
        clock::ticks_to_ns(area().time.wasted_ticks.load(Relaxed))
    }

    #[inline]
    fn with_timer<R>(due_ns: u64, handler: &dyn Fn(), body: impl FnOnce() -> R) -> R {
        area().time.timer.during(due_ns, handler, body)
    }
}
