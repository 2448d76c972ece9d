//! What guests and the event loop share while a simulation runs.
//!
//! One OS thread does everything: at any instant either the event loop runs, or one vCPU, on its
//! own stack. So plain cells are enough. The functions of an environment are static and find the
//! stage through a thread-local pointer.

use core::cell::{Cell, RefCell};
use core::marker::PhantomData;
use std::collections::HashMap;

use corosensei::Yielder;
use pvqspin::Point;
use pvqspin_abi::{Cpu, Hypercall, Status};
use rand_core::Rng;
use rand_pcg::Pcg32;

use crate::config::SimConfig;
use crate::costs::Costs;
use crate::faults::Jitter;
use crate::interrupts::{Interrupts, Storm};
use crate::lines::VmSide;
use crate::looks::Looks;
use crate::topology::Topology;
use crate::waits::{BrokenLimit, LongestWait, Wait, WaitLimits};
use pvqspin_driver_common::GuestMemory;
use pvqspin_driver_common::{Ring, TraceEvent, What};
use pvqspin_load::Faults;
use pvqspin_load::timer::Timer;

/// A condition on the stack of a vCPU that spins on it.
pub(crate) type Condition = *mut dyn FnMut() -> bool;

/// Why a vCPU gives control back.
pub(crate) enum Request {
    /// It computes for so long.
    Compute(u64),
    /// It spins until the condition holds or so much of its own time is gone.
    Spin(Condition, Option<u32>),
    /// It calls the hypervisor.
    Call(Hypercall),
    /// It loses its pCPU here.
    Lose,
}

/// What a vCPU learns when it goes on.
#[derive(Clone, Copy)]
pub(crate) struct Reply {
    /// Whether the condition that it spun on held.
    pub(crate) held: bool,
    /// What became of its hypercall.
    pub(crate) status: Status,
}

/// The part of a vCPU that its guest code reads and writes.
pub(crate) struct GuestSide {
    pub(crate) vm: usize,
    pub(crate) cpu: Cpu,
    pub(crate) memory: &'static GuestMemory,
    /// Where to give control back. Set by the vCPU itself when it starts.
    pub(crate) yielder: Cell<*const Yielder<Reply, Request>>,
    pub(crate) entered_ns: Cell<u64>,
    /// The pCPU that it ran on last.
    pub(crate) ran_at: Cell<usize>,
    pub(crate) wasted_ns: Cell<u64>,
    /// Interrupts it while it waits.
    pub(crate) timer: Timer,
    /// Conditions that held at once since it last gave control back.
    pub(crate) free_looks: Cell<u32>,
    /// It waits for the lock, and behind nobody: what it polls is the lock's word.
    pub(crate) polls_word: Cell<bool>,
    /// Where the one that joined before it did so.
    pub(crate) predecessor_at: Cell<usize>,
    pub(crate) wait: Wait,
    pub(crate) interrupts: Interrupts,
    watched_points: u32,
    passings: [Cell<u32>; Point::ALL.len()],
}

impl GuestSide {
    pub(crate) fn new(
        vm: usize,
        cpu: Cpu,
        memory: &'static GuestMemory,
        watched_points: u32,
    ) -> Self {
        Self {
            vm,
            cpu,
            memory,
            yielder: Cell::new(core::ptr::null()),
            entered_ns: Cell::new(0),
            ran_at: Cell::new(0),
            wasted_ns: Cell::new(0),
            timer: Timer::new(),
            free_looks: Cell::new(0),
            polls_word: Cell::new(false),
            predecessor_at: Cell::new(0),
            wait: Wait::default(),
            interrupts: Interrupts::default(),
            watched_points,
            passings: [const { Cell::new(0) }; Point::ALL.len()],
        }
    }

    /// Gives control back to the event loop.
    pub(crate) fn suspend(&self, request: Request) -> Reply {
        self.free_looks.set(0);
        // SAFETY: guest code runs on the vCPU's own stack only, and that began with setting the
        // pointer; what it points to lives as long as that stack is in use.
        unsafe { &*self.yielder.get() }.suspend(request)
    }
}

/// See the module.
pub(crate) struct Stage {
    pub(crate) now: Cell<u64>,
    /// Whose code runs, or whose condition is looked at.
    pub(crate) current: Cell<usize>,
    /// And where.
    pub(crate) pcpu: Cell<usize>,
    /// A condition is being looked at: nobody may give control back.
    pub(crate) looking: Cell<bool>,
    pub(crate) guests: Box<[GuestSide]>,
    pub(crate) vms: Box<[VmSide]>,
    pub(crate) costs: Costs,
    pub(crate) topology: Option<Topology>,
    pub(crate) limits: WaitLimits,
    /// The first limit that was broken.
    pub(crate) broken: Cell<Option<BrokenLimit>>,
    pub(crate) storm: Option<Storm>,
    pub(crate) trace: RefCell<Ring>,
    /// Whether guests make marks.
    detailed: bool,
    /// Locks by address, in the order of their first mark.
    lock_numbers: RefCell<HashMap<usize, u32>>,
    pub(crate) looks: Looks,
    pub(crate) longest_wait: Cell<LongestWait>,
    pub(crate) faults_fired: Cell<u64>,
    /// How often two interrupt handlers were inside one lock at once.
    pub(crate) crowded: Cell<u64>,
    faults: Faults,
    jitter: Jitter,
    jitters: bool,
    random: RefCell<Pcg32>,
}

/// When virtual time begins. Not 0, which means "never" in some stamps.
pub(crate) const DAWN_NS: u64 = 1_000;

/// How many events are kept when nobody asked for more: those that are shown of a failed run.
const KEPT: usize = 60;

/// How many are shown of a failed run when somebody did.
pub(crate) const SHOWN: usize = 2_000;

impl Stage {
    pub(crate) fn new(
        guests: Box<[GuestSide]>,
        vms: Box<[VmSide]>,
        storm: Option<Storm>,
        config: &SimConfig,
        looks: Looks,
    ) -> Self {
        Self {
            now: Cell::new(DAWN_NS),
            current: Cell::new(0),
            pcpu: Cell::new(0),
            looking: Cell::new(false),
            guests,
            vms,
            costs: config.costs,
            topology: config.topology,
            limits: config.wait_limits,
            broken: Cell::new(None),
            storm,
            trace: RefCell::new(Ring::new(if config.trace {
                config.trace_events
            } else {
                KEPT
            })),
            detailed: config.trace,
            lock_numbers: RefCell::default(),
            looks,
            longest_wait: Cell::default(),
            faults_fired: Cell::new(0),
            crowded: Cell::new(0),
            faults: config.faults.clone(),
            jitters: !config.jitter.is_none(),
            jitter: config.jitter,
            // A stream that no vCPU's section lengths use.
            random: RefCell::new(Pcg32::new(config.seed, u64::MAX)),
        }
    }

    pub(crate) fn me(&self) -> &GuestSide {
        &self.guests[self.current.get()]
    }

    /// Whether a thing that happens once in `many` times happens now. Never if `many` is 0.
    fn one_in(&self, many: u32) -> bool {
        many != 0 && self.random.borrow_mut().next_u32().is_multiple_of(many)
    }

    /// When the timer that is set for this instant comes, if it may be a slice late.
    pub(crate) fn timer_comes(&self, at: u64, slice_ns: u64) -> u64 {
        if !self.one_in(self.jitter.late_timer_one_in) {
            return at;
        }
        let slice = u32::try_from(slice_ns).unwrap_or(u32::MAX);
        at + u64::from(self.draw(slice)) + 1
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn draw(&self, end: u32) -> u32 {
        self.random.borrow_mut().next_u32() % end
    }

    pub(crate) fn record(&self, vcpu: Option<usize>, what: What) {
        let event = TraceEvent {
            at_ns: self.now.get(),
            pcpu: Some(self.pcpu.get() as u32),
            vcpu: vcpu.map(|vcpu| vcpu as u32),
            what,
        };
        self.trace.borrow_mut().push(event);
        self.looks.look(event, &self.guests);
    }

    pub(crate) fn record_mine(&self, what: What) {
        self.record(Some(self.current.get()), what);
    }

    /// The running vCPU calls its environment: perhaps something comes between.
    #[inline]
    pub(crate) fn disturb(&self) {
        if self.jitters && !self.looking.get() {
            self.disturb_by_chance();
        }
    }

    #[cold]
    fn disturb_by_chance(&self) {
        if self.one_in(self.jitter.preempt_one_in) {
            self.record_mine(What::Jitter);
            self.me().suspend(Request::Lose);
        } else if self.one_in(self.jitter.delay_one_in) {
            let ns = self.draw(self.jitter.longest_ns.max(1));
            self.me().suspend(Request::Compute(ns.into()));
        } else if self.one_in(self.jitter.interrupt_one_in) {
            self.interrupt();
        }
    }

    /// The running vCPU passes a point.
    pub(crate) fn pass(&self, point: Point) {
        let me = self.me();
        if point == Point::Joined {
            self.wait_begins();
        }
        let cost = self.cost_of(point);
        self.note_lines(point);
        if self.detailed {
            self.record_mine(What::Passed(point));
        }
        if point == Point::Taken {
            self.wait_ends();
        }
        self.pass_time(cost.into());
        if me.watched_points & 1 << point as u32 != 0 {
            self.perhaps_fail(me, point);
        }
    }

    /// The running vCPU has just taken a lock, or released it.
    pub(crate) fn mark(&self, lock: usize, held: bool) {
        if !self.detailed {
            return;
        }
        let number = {
            let mut numbers = self.lock_numbers.borrow_mut();
            let next = numbers.len() as u32;
            *numbers.entry(lock).or_insert(next)
        };
        self.record_mine(if held {
            What::Holds(number)
        } else {
            What::Left(number)
        });
    }

    /// Time passes for the running vCPU.
    pub(crate) fn pass_time(&self, ns: u64) {
        if ns > 0 {
            self.me().suspend(Request::Compute(ns));
        }
    }

    fn perhaps_fail(&self, me: &GuestSide, point: Point) {
        let passings = &me.passings[point as usize];
        passings.set(passings.get().wrapping_add(1));
        let chance = |many| self.one_in(many);
        if self.faults.hit(me.cpu, point, passings.get(), chance) {
            self.faults_fired.set(self.faults_fired.get() + 1);
            self.record_mine(What::Fault(Some(point)));
            me.suspend(Request::Lose);
        }
    }
}

thread_local! {
    static STAGE: Cell<*const Stage> = const { Cell::new(core::ptr::null()) };
}

/// Makes a stage that of this thread, until it is dropped.
pub(crate) struct OnStage<'a> {
    before: *const Stage,
    stage: PhantomData<&'a Stage>,
}

impl<'a> OnStage<'a> {
    pub(crate) fn new(stage: &'a Stage) -> Self {
        Self {
            before: STAGE.replace(stage),
            stage: PhantomData,
        }
    }
}

impl Drop for OnStage<'_> {
    fn drop(&mut self) {
        STAGE.set(self.before);
    }
}

/// The stage of this thread.
///
/// # Panics
///
/// If no simulation runs on this thread: guest code was called outside of a guest.
pub(crate) fn stage() -> &'static Stage {
    let stage = STAGE.get();
    assert!(!stage.is_null(), "guest code was called outside of a guest");
    // SAFETY: set by `OnStage`, which borrows the stage and takes the pointer back when it is
    // dropped. Guest code keeps the reference no longer than a call of its environment, which
    // ends before the machine, and with it the stage, does.
    unsafe { &*stage }
}
