//! Snapshots of guests and host, event by event: what a debugger that stops the world would see.
//!
//! ```text
//!   guest memory   word, nodes, edges, run states     read at each event
//!   host           pCPUs, run queue                   noted by the event loop whenever they change
//! ```
//!
//! Runs are the same every time. A first run finds an episode, a second one takes snapshots of it.

use std::cell::RefCell;
use std::rc::Rc;

use pvqspin::{CpuNodes, NodeLook};
use pvqspin_abi::{Cpu, RunSample};
use pvqspin_driver_common::TraceEvent;
use pvqspin_load::Workload;

use crate::guest_side::GuestSide;

/// The state right after an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Snapshot {
    /// The event.
    pub event: TraceEvent,
    /// The raw word of the first VM's lock, where [`pvqspin::word`] tells how to read it.
    pub word: Option<u32>,
    /// The first VM's vCPUs.
    pub vcpus: Vec<VcpuSnapshot>,
    /// The host.
    pub host: HostSnapshot,
}

/// The state of one vCPU.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VcpuSnapshot {
    /// Its run state, from its page.
    pub run: RunSample,
    /// The vCPU that it waits for, from its page.
    pub waits_for: Option<Cpu>,
    /// The node of its first context.
    pub node: NodeLook,
}

/// The state of the host.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostSnapshot {
    /// The vCPU on each pCPU, by its number on the host.
    pub pcpus: Vec<Option<u32>>,
    /// The vCPUs that wait for a pCPU, the next one first.
    pub queue: Vec<u32>,
}

/// Takes snapshots of the events in a range of virtual time.
#[derive(Default)]
pub(crate) struct Snapshots {
    range: Option<(u64, u64)>,
    locks: Option<Rc<dyn Workload>>,
    host: RefCell<HostSnapshot>,
    taken: RefCell<Vec<Snapshot>>,
}

impl Snapshots {
    /// For events from one time to another, both included.
    pub(crate) fn new(range: Option<(u64, u64)>, locks: Option<Rc<dyn Workload>>) -> Self {
        Self {
            range,
            locks,
            ..Self::default()
        }
    }

    /// Whether any snapshot will be taken.
    pub(crate) fn wanted(&self) -> bool {
        self.range.is_some()
    }

    /// The host has changed.
    pub(crate) fn note_host(&self, host: HostSnapshot) {
        *self.host.borrow_mut() = host;
    }

    /// Takes a snapshot, if the event is in range.
    pub(crate) fn record(&self, event: TraceEvent, guests: &[GuestSide]) {
        let wanted = |(from, to)| (from..=to).contains(&event.at_ns);
        if !self.range.is_some_and(wanted) {
            return;
        }
        let vcpus = guests.iter().filter(|guest| guest.vm == 0).map(|guest| {
            let page = guest.memory.page(guest.cpu);
            let nodes: &CpuNodes = guest.memory.nodes(guest.cpu);
            VcpuSnapshot {
                run: page.run(),
                waits_for: page.waiting_for(),
                node: nodes.look(0),
            }
        });
        self.taken.borrow_mut().push(Snapshot {
            event,
            word: self.locks.as_ref().and_then(|locks| locks.word()),
            vcpus: vcpus.collect(),
            host: self.host.borrow().clone(),
        });
    }

    pub(crate) fn take(&self) -> Vec<Snapshot> {
        self.taken.take()
    }
}
