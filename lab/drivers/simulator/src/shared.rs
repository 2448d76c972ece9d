//! What guests and the event loop share while a simulation runs.
//!
//! One OS thread does everything: at any instant either the event loop runs, or one vCPU, on its
//! own stack, so plain cells are enough. The functions of an environment are static and find the
//! shared state through a thread-local pointer.

use core::cell::{Cell, RefCell};
use core::marker::PhantomData;
use std::collections::HashMap;

use pvqspin_driver_common::{Ring, TraceEvent, What};
use pvqspin_load::Faults;
use rand_core::Rng;
use rand_pcg::Pcg32;

use crate::config::SimConfig;
use crate::costs::Costs;
use crate::faults::Jitter;
use crate::guest_side::GuestSide;
use crate::request::Request;
use crate::snapshots::Snapshots;
use crate::topology::Topology;
use crate::vm_side::VmSide;
use crate::wait_limits::{BrokenLimit, LongestWait, WaitLimits};

/// Runs the interrupt handler of a VM, by its number, at a depth of nesting.
pub(crate) type Handlers = Box<dyn Fn(usize, usize)>;

/// See the module.
pub(crate) struct Shared {
    pub(crate) now: Cell<u64>,
    /// The vCPU whose code runs, or whose condition is evaluated.
    pub(crate) current: Cell<usize>,
    /// The pCPU on which it runs.
    pub(crate) pcpu: Cell<usize>,
    /// A condition is being evaluated: no vCPU may give control back.
    pub(crate) evaluating: Cell<bool>,
    pub(crate) guests: Box<[GuestSide]>,
    pub(crate) vms: Box<[VmSide]>,
    pub(crate) costs: Costs,
    pub(crate) topology: Option<Topology>,
    pub(crate) limits: WaitLimits,
    /// The first limit that was broken.
    pub(crate) broken: Cell<Option<BrokenLimit>>,
    pub(crate) handlers: Option<Handlers>,
    pub(crate) trace: RefCell<Ring>,
    /// Whether guests make marks.
    pub(crate) detailed: bool,
    /// Locks by address, in the order of their first mark.
    pub(crate) lock_numbers: RefCell<HashMap<usize, u32>>,
    pub(crate) snapshots: Snapshots,
    pub(crate) longest_wait: Cell<LongestWait>,
    pub(crate) faults_fired: Cell<u64>,
    /// How often two interrupt handlers were inside one lock at once.
    pub(crate) crowded: Cell<u64>,
    pub(crate) faults: Faults,
    pub(crate) jitter: Jitter,
    pub(crate) jitters: bool,
    random: RefCell<Pcg32>,
}

/// When virtual time begins. Not 0, which means "never" in some stamps.
pub(crate) const DAWN_NS: u64 = 1_000;

/// How many events a run keeps by default: those that are shown of a failed run.
const KEPT: usize = 60;

/// How many events are shown of a failed run that kept more.
pub(crate) const SHOWN: usize = 2_000;

impl Shared {
    pub(crate) fn new(
        guests: Box<[GuestSide]>,
        vms: Box<[VmSide]>,
        handlers: Option<Handlers>,
        config: &SimConfig,
        snapshots: Snapshots,
    ) -> Self {
        Self {
            now: Cell::new(DAWN_NS),
            current: Cell::new(0),
            pcpu: Cell::new(0),
            evaluating: Cell::new(false),
            guests,
            vms,
            costs: config.costs,
            topology: config.topology,
            limits: config.wait_limits,
            broken: Cell::new(None),
            handlers,
            trace: RefCell::new(Ring::new(if config.run.trace {
                config.trace_events
            } else {
                KEPT
            })),
            detailed: config.run.trace,
            lock_numbers: RefCell::default(),
            snapshots,
            longest_wait: Cell::default(),
            faults_fired: Cell::new(0),
            crowded: Cell::new(0),
            faults: config.run.faults.clone(),
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
    pub(crate) fn one_in(&self, many: u32) -> bool {
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
        self.snapshots.record(event, &self.guests);
    }

    pub(crate) fn record_mine(&self, what: What) {
        self.record(Some(self.current.get()), what);
    }

    /// Time passes for the running vCPU.
    pub(crate) fn pass_time(&self, ns: u64) {
        if ns > 0 {
            self.me().suspend(Request::Compute(ns));
        }
    }
}

thread_local! {
    static SHARED: Cell<*const Shared> = const { Cell::new(core::ptr::null()) };
}

/// Makes a shared state that of this thread, until it is dropped.
pub(crate) struct Installed<'a> {
    before: *const Shared,
    shared: PhantomData<&'a Shared>,
}

impl<'a> Installed<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self {
            before: SHARED.replace(shared),
            shared: PhantomData,
        }
    }
}

impl Drop for Installed<'_> {
    fn drop(&mut self) {
        SHARED.set(self.before);
    }
}

/// The shared state of this thread.
///
/// # Panics
///
/// If no simulation runs on this thread: guest code was called outside of a guest.
pub(crate) fn shared() -> &'static Shared {
    let shared = SHARED.get();
    assert!(
        !shared.is_null(),
        "guest code was called outside of a guest"
    );
    // SAFETY: set by `Installed`, which borrows the shared state and takes the pointer back when
    // it is dropped. Guest code keeps the reference no longer than a call of its environment,
    // which ends before the machine does, and with it the shared state.
    unsafe { &*shared }
}
