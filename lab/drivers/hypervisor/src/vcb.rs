//! The vCPU control block: all that is known about one vCPU outside `host`.
//!
//! It lies at the top of the vCPU's own slot in the [`arena`](crate::arena). Guest code, the
//! signal handler on its stack, and the pCPU that it runs on share it; at any instant at most one
//! thread is on the vCPU's stack, and `host` decides under its lock which. Everything is atomic
//! all the same, with relaxed accesses, because the watchdog looks in from outside.

use core::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering::Relaxed};

use pvqspin::Point;
use pvqspin_abi::{Cpu, Hypercall, Status};

use crate::marks::Marks;
use crate::pcpu::Pcpu;
use pvqspin_driver_common::GuestMemory;
use pvqspin_load::Faults;
use pvqspin_load::own_time::OwnTime;

/// Why a vCPU left its pCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub(crate) enum ExitReason {
    /// A signal: its slice is over, or a poke asks the pCPU to look at its queue.
    Timer = 0,
    /// It called the hypervisor.
    Hypercall = 1,
    /// A fault that a test has armed: it is to lose its pCPU here.
    Fault = 2,
    /// Its body has returned.
    Done = 3,
    /// It was never entered.
    New = 4,
}

impl ExitReason {
    fn from_raw(raw: u32) -> Self {
        match raw {
            0 => Self::Timer,
            1 => Self::Hypercall,
            2 => Self::Fault,
            3 => Self::Done,
            _ => Self::New,
        }
    }
}

/// What a guest does, from start to end: called once on each of its vCPUs.
pub(crate) type Body<'a> = dyn Fn(Cpu) + Sync + 'a;

/// One vCPU.
#[derive(Debug)]
#[repr(C, align(64))]
pub(crate) struct Vcb {
    /// Where its saved stack ends, while it is off. Written by `context`.
    pub(crate) guest_rsp: AtomicU64,
    /// Where the saved stack of the pCPU that entered it ends. Written by `context`.
    pub(crate) host_rsp: AtomicU64,
    /// Set while it is not in guest mode although its stack may be in use: a signal must not
    /// take it off. Set and cleared on its own stack only.
    pub(crate) in_hypervisor: AtomicBool,
    pub(crate) exit: AtomicU32,
    pub(crate) registers: [AtomicU64; 3],
    pub(crate) status: AtomicU64,
    /// What the hypervisor said that it offers: bits of `Features`.
    pub(crate) offered: AtomicU32,
    /// The pCPU that entered it last.
    pub(crate) pcpu: AtomicPtr<Pcpu>,

    /// Its number on the host.
    pub(crate) vcpu: u32,
    /// Which VM it belongs to.
    pub(crate) vm: usize,
    /// Its number in its VM.
    pub(crate) cpu: Cpu,
    /// The memory of its VM.
    pub(crate) memory: &'static GuestMemory,
    pub(crate) body: *const Body<'static>,
    faults: *const Faults,
    /// A bit for each [`Point`] at which something may have to happen: one load and a branch
    /// when nothing has.
    watched_points: u32,
    /// Where guest marks go; null while tracing is off.
    marks: *const Marks,

    /// Which generation its `entered_ticks` belong to.
    pub(crate) generation: AtomicU32,
    /// When it left a pCPU last.
    pub(crate) left_ticks: AtomicU64,
    /// Its own time; in the hypervisor counts as off.
    pub(crate) time: OwnTime,
    /// The `joined_ns` of the wait that was looked at last, for marks.
    pub(crate) marked_joined_ns: AtomicU64,
    /// The longest wait that a mark was made of.
    pub(crate) longest_wait_ns: AtomicU64,
    /// How often it passed each point, while anything is armed.
    pub(crate) passings: [AtomicU32; Point::ALL.len()],
    /// How often a fault took it off.
    pub(crate) faults_fired: AtomicU32,
    /// Its hypercalls, written by the pCPU that it runs on.
    pub(crate) calls: CallCounts,
}

/// Hypercalls by kind, and yields by what became of them.
#[derive(Debug, Default)]
pub(crate) struct CallCounts {
    pub(crate) halts: AtomicU64,
    pub(crate) kicks: AtomicU64,
    pub(crate) yields: [AtomicU64; 4],
}

impl CallCounts {
    /// Counts one call. Only the pCPU that the caller runs on counts, so load and store do.
    pub(crate) fn count(&self, call: Hypercall, status: Status) {
        let counter = match call {
            Hypercall::Halt(_) => &self.halts,
            Hypercall::Kick(_) => &self.kicks,
            Hypercall::YieldTo(_) => &self.yields[status as usize],
        };
        counter.store(counter.load(Relaxed) + 1, Relaxed);
    }
}

// SAFETY: the raw pointers point to what outlives the run (`session` keeps them alive until every
// thread has been joined) and is `Sync` itself, or, the ring, is used on this vCPU's stack only.
unsafe impl Sync for Vcb {}

/// Everything about a vCPU that does not change.
#[derive(Clone, Copy)]
pub(crate) struct Identity {
    pub(crate) vcpu: u32,
    pub(crate) vm: usize,
    pub(crate) cpu: Cpu,
    pub(crate) memory: &'static GuestMemory,
    pub(crate) body: *const Body<'static>,
    pub(crate) faults: *const Faults,
    pub(crate) watched_points: u32,
    pub(crate) marks: *const Marks,
}

/// Among [`Vcb`]'s watched points: tracing is on. Not the bit of any [`Point`].
const TRACED: u32 = 1 << 31;

/// The watched points of a vCPU that makes marks: all of them.
pub(crate) const ALL_MARKS: u32 = TRACED | ((1 << Point::ALL.len()) - 1);

impl Vcb {
    /// The control block of a vCPU that has not started; its saved stack ends at `rsp`.
    pub(crate) fn new(identity: Identity, rsp: u64) -> Self {
        Self {
            guest_rsp: AtomicU64::new(rsp),
            host_rsp: AtomicU64::new(0),
            in_hypervisor: AtomicBool::new(true),
            exit: AtomicU32::new(ExitReason::New as u32),
            registers: [const { AtomicU64::new(0) }; 3],
            status: AtomicU64::new(0),
            offered: AtomicU32::new(0),
            pcpu: AtomicPtr::new(core::ptr::null_mut()),
            vcpu: identity.vcpu,
            vm: identity.vm,
            cpu: identity.cpu,
            memory: identity.memory,
            body: identity.body,
            faults: identity.faults,
            watched_points: identity.watched_points,
            marks: identity.marks,
            generation: AtomicU32::new(0),
            left_ticks: AtomicU64::new(0),
            time: OwnTime::new(),
            marked_joined_ns: AtomicU64::new(0),
            longest_wait_ns: AtomicU64::new(0),
            passings: [const { AtomicU32::new(0) }; Point::ALL.len()],
            faults_fired: AtomicU32::new(0),
            calls: CallCounts::default(),
        }
    }

    /// Why it left.
    pub(crate) fn exit_reason(&self) -> ExitReason {
        ExitReason::from_raw(self.exit.load(Relaxed))
    }

    /// Whether it left from the signal handler, and unblocks the signal as it comes back.
    pub(crate) fn left_by_signal(&self) -> bool {
        self.exit_reason() == ExitReason::Timer
    }

    /// The registers of its hypercall.
    pub(crate) fn registers(&self) -> [u64; 3] {
        [0, 1, 2].map(|register| self.registers[register].load(Relaxed))
    }

    /// Answers its hypercall.
    pub(crate) fn set_status(&self, status: Status) {
        self.set_answer(status as u64);
    }

    /// Answers its request.
    pub(crate) fn set_answer(&self, answer: u64) {
        self.status.store(answer, Relaxed);
    }

    /// Whether this vCPU makes marks.
    #[inline]
    pub(crate) fn is_traced(&self) -> bool {
        self.watched_points & TRACED != 0
    }

    /// Whether a test has armed something here, or tracing is on.
    #[inline]
    pub(crate) fn watches(&self, point: Point) -> bool {
        self.watched_points & (1 << point as u32) != 0
    }

    /// The faults that this run has armed.
    pub(crate) fn faults(&self) -> &Faults {
        // SAFETY: `session` keeps the faults alive for the whole run.
        unsafe { &*self.faults }
    }

    /// Where this vCPU may leave marks, if tracing is on.
    pub(crate) fn marks(&self) -> Option<&Marks> {
        // SAFETY: null, or a ring that `session` keeps alive for the whole run.
        unsafe { self.marks.as_ref() }
    }
}
