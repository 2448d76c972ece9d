//! A vCPU: a coroutine, and what it is about between two steps.

use core::fmt;
use std::io;

use corosensei::{Coroutine, CoroutineResult};
use pvqspin_abi::{Cpu, Hypercall, Status};

use crate::request::{Condition, Reply, Request};
use crate::shared::shared;
use crate::stacks::PooledStack;

/// What a guest does, from start to end: called once on each of its vCPUs.
pub(crate) type Body<'a> = dyn Fn(Cpu) + 'a;

/// What a vCPU is about, and how much of it is left.
pub(crate) enum Activity {
    /// It makes its next step as soon as it is on a pCPU.
    Ready,
    /// It computes.
    Compute { left: u64 },
    /// It spins.
    Spin(Spin),
    /// It called the hypervisor, or lost its pCPU, and has not run since.
    Away,
    /// It has returned.
    Ended,
}

/// A wait in progress.
pub(crate) struct Spin {
    pub(crate) condition: Condition,
    /// How much of the budget is left; `None`: no end to it.
    pub(crate) left: Option<u64>,
    /// When it will see that the condition holds, if it does.
    pub(crate) sees_at: Option<u64>,
}

impl fmt::Display for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => f.write_str("about to step"),
            Self::Compute { left } => write!(f, "computes for another {left} ns"),
            Self::Spin(Spin { left: None, .. }) => f.write_str("spins"),
            Self::Spin(Spin {
                left: Some(left), ..
            }) => write!(f, "spins for another {left} ns at most"),
            Self::Away => f.write_str("in the hypervisor"),
            Self::Ended => f.write_str("ended"),
        }
    }
}

/// Hypercalls by kind, and yields by what became of them.
#[derive(Clone, Copy, Default)]
pub(crate) struct CallCounts {
    pub(crate) halts: u64,
    pub(crate) kicks: u64,
    pub(crate) yields: [u64; 4],
}

impl CallCounts {
    pub(crate) fn count(&mut self, call: Hypercall, status: Status) {
        *match call {
            Hypercall::Halt(_) => &mut self.halts,
            Hypercall::Kick(_) => &mut self.kicks,
            Hypercall::YieldTo(_) => &mut self.yields[status as usize],
        } += 1;
    }
}

/// One vCPU, from the event loop's side.
pub(crate) struct Vcpu<'a> {
    coroutine: Coroutine<Reply, Request, (), PooledStack>,
    pub(crate) activity: Activity,
    pub(crate) reply: Reply,
    pub(crate) calls: CallCounts,
    /// Since when it has been halted.
    pub(crate) halted_since: Option<u64>,
    /// Since when it has not been on a pCPU.
    pub(crate) off_since: Option<u64>,
    /// The generation that it was entered with last.
    pub(crate) generation: u32,
    /// What the coroutine borrows.
    body: core::marker::PhantomData<&'a Body<'a>>,
}

impl<'a> Vcpu<'a> {
    /// A vCPU that will do `body`.
    pub(crate) fn new(cpu: Cpu, body: &'a Body<'a>) -> io::Result<Self> {
        let stack = PooledStack::new()?;
        // SAFETY: `body` is borrowed for `'a`, and so is what this returns, which owns the
        // coroutine: it cannot run, nor be dropped, after what it borrows.
        let coroutine = unsafe {
            Coroutine::with_stack_unchecked(stack, move |yielder, _: Reply| {
                shared().me().yielder.set(yielder);
                body(cpu);
            })
        };
        Ok(Self {
            coroutine,
            activity: Activity::Ready,
            reply: Reply {
                held: false,
                status: Status::Refused,
            },
            calls: CallCounts::default(),
            halted_since: None,
            off_since: None,
            generation: 0,
            body: core::marker::PhantomData,
        })
    }

    /// Lets it run until it gives control back; `None`: it has returned.
    pub(crate) fn step(&mut self) -> Option<Request> {
        match self.coroutine.resume(self.reply) {
            CoroutineResult::Yield(request) => Some(request),
            CoroutineResult::Return(()) => None,
        }
    }
}
