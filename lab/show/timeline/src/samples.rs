//! A small trace by hand, for tests: one pCPU more than is needed, three vCPUs, one lock.
//!
//! ```text
//!   time     1    2    4    5    6    20   22   23   40  41  44 µs
//!   pcpu0  cpu0 ──────┤cpu1 ────────┤cpu0 ─────┤cpu1 ────────
//!   pcpu1  cpu2 ──────────────────────────────────────────────
//!   cpu0        holds ·················· frees outside ·······
//!   cpu1                waits ········· · ·········· waits holds frees
//!   cpu2                     waits ─────────────────────── waits holds
//! ```

use pvqspin::Point;
use pvqspin_abi::{Cpu, Status};
use pvqspin_driver_common::{Ring, Trace, TraceEvent, What};

use crate::scene::Scene;

/// The trace.
pub(crate) fn trace() -> Trace {
    let cpu = |index| Cpu::new(index).expect("in range");
    let mut ring = Ring::new(100);
    let mut at = |us: u64, pcpu: Option<u32>, vcpu: u32, what: What| {
        ring.push(TraceEvent {
            at_ns: us * 1_000,
            pcpu,
            vcpu: Some(vcpu),
            what,
        });
    };
    at(1, Some(0), 0, What::Enter);
    at(1, Some(1), 2, What::Enter);
    at(2, None, 0, What::Passed(Point::Taken));
    at(2, None, 0, What::Holds(0));
    at(4, Some(0), 0, What::SliceEnd);
    at(4, Some(0), 1, What::Enter);
    at(5, None, 1, What::Passed(Point::Joined));
    at(6, None, 2, What::Passed(Point::Joined));
    at(20, Some(0), 1, What::YieldTo(cpu(0), Status::Ran));
    at(20, Some(0), 0, What::Enter);
    at(22, None, 0, What::Passed(Point::Released));
    at(22, None, 0, What::Left(0));
    at(40, Some(0), 0, What::SliceEnd);
    at(40, Some(0), 1, What::Enter);
    at(41, None, 1, What::Holds(0));
    at(43, Some(1), 2, What::Kick(cpu(1), Status::AlreadyRunning));
    at(43, None, 2, What::Passed(Point::Linked));
    at(44, None, 1, What::Left(0));
    at(45, None, 2, What::Holds(0));
    at(46, None, 2, What::Left(0));
    Trace::collect([ring])
}

/// And what it shows.
pub(crate) fn scene() -> Scene {
    Scene::replay(&trace(), 2, &[3])
}
