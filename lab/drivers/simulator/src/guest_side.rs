//! The part of a vCPU that its guest code reads and writes.

use core::cell::Cell;

use corosensei::Yielder;
use pvqspin::Point;
use pvqspin_abi::Cpu;
use pvqspin_driver_common::GuestMemory;
use pvqspin_load::timer::Timer;

use crate::request::{Reply, Request};
use crate::wait_limits::Wait;

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
    pub(crate) free_checks: Cell<u32>,
    /// It waits, on its pCPU or off it, as the ideal lock's oracle has it.
    pub(crate) waits: Cell<bool>,
    /// It waits for the lock at the head of the queue, so it polls the lock's word.
    pub(crate) polls_word: Cell<bool>,
    /// Where the one that joined before it did so.
    pub(crate) predecessor_at: Cell<usize>,
    pub(crate) wait: Wait,
    pub(crate) interrupts: InterruptState,
    pub(crate) watched_points: u32,
    pub(crate) passings: [Cell<u32>; Point::ALL.len()],
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
            free_checks: Cell::new(0),
            waits: Cell::new(false),
            polls_word: Cell::new(false),
            predecessor_at: Cell::new(0),
            wait: Wait::default(),
            interrupts: InterruptState::default(),
            watched_points,
            passings: [const { Cell::new(0) }; Point::ALL.len()],
        }
    }

    /// Gives control back to the event loop.
    pub(crate) fn suspend(&self, request: Request) -> Reply {
        self.free_checks.set(0);
        // SAFETY: guest code runs on the vCPU's own stack only, and that began with setting the
        // pointer; what it points to lives as long as that stack is in use.
        unsafe { &*self.yielder.get() }.suspend(request)
    }
}

/// Where the interrupts of a vCPU stand.
#[derive(Default)]
pub(crate) struct InterruptState {
    /// How many handlers run on top of each other.
    pub(crate) depth: Cell<usize>,
    /// How many came in this burst.
    pub(crate) burst: Cell<usize>,
    /// No earlier than then begins the next one.
    pub(crate) quiet_until_ns: Cell<u64>,
}
