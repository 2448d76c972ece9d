//! The environment of guest code: how a lock and a workload see the simulated machine.
//!
//! A vCPU gives control back in what takes time (`compute`, `spin_until`, hypercalls, some
//! checkpoints) and, under jitter, in everything else.

use pvqspin::{Budget, CpuNodes, Env, Point, Sleep};
use pvqspin_abi::{Cpu, Hint, Hypercall, RunSample, Status};
use pvqspin_load::Guest;
use pvqspin_load::timer::Timer;

use crate::guest_side::GuestSide;
use crate::request::{Condition, Request};
use crate::shared::shared;

/// Guest mode of the simulator. Its functions panic when they are called from anywhere but a
/// simulated vCPU.
#[derive(Debug)]
pub(crate) enum SimEnv {}

/// After so many conditions that held at once, a little time passes: a guest that looks for ever
/// without ever waiting would stop virtual time.
const FREE_CHECKS: u32 = 32;

impl Env for SimEnv {
    const SLEEP: Option<Sleep> = Some(Sleep {
        halt: Self::halt,
        kick: Self::kick,
    });

    fn cpu() -> Cpu {
        let shared = shared();
        shared.disturb();
        shared.me().cpu
    }

    fn nodes(cpu: Cpu) -> &'static CpuNodes {
        let shared = shared();
        shared.disturb();
        shared.me().memory.nodes(cpu)
    }

    fn spin_until(mut condition: impl FnMut() -> bool, budget: Budget) -> bool {
        let shared = shared();
        shared.disturb();
        let me = shared.me();
        if condition() {
            me.free_checks.set(me.free_checks.get() + 1);
            if me.free_checks.get() >= FREE_CHECKS {
                let step = shared.costs.atomic_ns.max(1);
                me.suspend(Request::Compute(u64::from(step) * u64::from(FREE_CHECKS)));
            }
            return true;
        }
        let mut left = budget.get();
        loop {
            // Of its own time: one that comes due while the vCPU is off is a little late.
            let until_timer = me.timer.left_ns(shared.now.get());
            let until_timer = until_timer.map(|ns| u32::try_from(ns).unwrap_or(u32::MAX - 1));
            let piece = match (left, until_timer) {
                (Some(left), Some(timer)) => Some(left.min(timer)),
                (left, timer) => left.or(timer),
            };
            if spin(me, &mut condition, piece) {
                return true;
            }
            interrupt_if_due();
            left = left.map(|left| left - piece.unwrap_or(left));
            if left == Some(0) {
                return false;
            }
            if condition() {
                return true;
            }
        }
    }

    fn run_sample(cpu: Cpu) -> RunSample {
        let shared = shared();
        shared.disturb();
        shared.me().memory.page(cpu).run()
    }

    fn pressure() -> bool {
        let shared = shared();
        shared.disturb();
        shared.me().memory.vm_page().pressure()
    }

    fn set_waiting_for(cpu: Option<Cpu>) -> Option<Cpu> {
        let shared = shared();
        shared.disturb();
        let me = shared.me();
        let page = me.memory.page(me.cpu);
        let former = page.waiting_for();
        page.set_waiting_for(cpu);
        former
    }

    fn waiting_for(cpu: Cpu) -> Option<Cpu> {
        let shared = shared();
        shared.disturb();
        shared.me().memory.page(cpu).waiting_for()
    }

    fn redirect_wait_of(cpu: Cpu, to: Option<Cpu>) {
        let shared = shared();
        shared.disturb();
        shared.me().memory.page(cpu).set_waiting_for(to);
    }

    fn cpu_count() -> usize {
        let shared = shared();
        let vm = shared.me().vm;
        shared.guests.iter().filter(|guest| guest.vm == vm).count()
    }

    fn yield_to(hint: Hint) -> Status {
        call(Hypercall::YieldTo(hint))
    }

    fn now_ns() -> u64 {
        shared().now.get()
    }

    fn checkpoint(point: Point) {
        shared().pass(point);
        if Timer::may_come_at(point) {
            interrupt_if_due();
        }
    }
}

impl SimEnv {
    fn halt(hint: Option<Hint>) {
        call(Hypercall::Halt(hint));
    }

    fn kick(cpu: Cpu) {
        call(Hypercall::Kick(cpu));
    }
}

/// Waits for a store, and for `budget` at most; says whether the condition held in the end.
fn spin(me: &GuestSide, condition: &mut dyn FnMut() -> bool, budget: Option<u32>) -> bool {
    let condition: *mut (dyn FnMut() -> bool + '_) = &raw mut *condition;
    // SAFETY: only the lifetime changes. The event loop calls it while this vCPU is suspended in
    // the next line, so while the caller's frame exists, and forgets it afterwards.
    let condition: Condition = unsafe { core::mem::transmute(condition) };
    me.waits.set(true);
    let held = me.suspend(Request::Spin(condition, budget)).held;
    me.waits.set(false);
    held
}

/// The running vCPU takes its timer interrupt, if that is due.
fn interrupt_if_due() {
    let me = shared().me();
    if me.timer.left_ns(shared().now.get()) == Some(0) {
        me.wait.aside(|| {
            // SAFETY: guest code of this vCPU runs, on its own stack, and nothing else sets its
            // timer.
            unsafe { me.timer.fire_if_due::<SimEnv>() };
        });
    }
}

fn call(call: Hypercall) -> Status {
    let shared = shared();
    shared.disturb();
    shared.me().suspend(Request::Call(call)).status
}

impl Guest for SimEnv {
    fn compute(ns: u32) {
        let shared = shared();
        // The step that takes or releases the lock comes next.
        shared.pass_time(u64::from(ns) + u64::from(shared.costs.atomic_ns));
        shared.fetch_word();
    }

    fn entered_at_ns() -> u64 {
        shared().me().entered_ns.get()
    }

    fn joined_at_ns() -> u64 {
        shared().me().wait.joined_ns.get()
    }

    fn wasted_ns() -> u64 {
        shared().me().wasted_ns.get()
    }

    fn with_timer<R>(due_ns: u64, handler: &dyn Fn(), body: impl FnOnce() -> R) -> R {
        shared().me().timer.during(due_ns, handler, body)
    }

    fn mark(lock: usize, held: bool) {
        shared().mark(lock, held);
    }

    fn fetch_line(writer: Cpu) {
        shared().fetch_from(writer);
    }
}
