//! Looks at everything, event by event: what a debugger that stops the world would see.
//!
//! ```text
//!   guest memory   word, nodes, edges, run states     read at each event
//!   host           pCPUs, run queue                   noted by the event loop whenever they change
//! ```
//!
//! Runs are the same every time, so whoever wants to look at an episode runs once to find it, and
//! once more to look at it.

use std::cell::RefCell;
use std::rc::Rc;

use pvqspin::{CpuNodes, NodeLook};
use pvqspin_abi::{Cpu, RunSample};
use pvqspin_driver_common::TraceEvent;
use pvqspin_host::{Pcpu, VcpuId};
use pvqspin_load::Workload;

use crate::machine::Machine;
use crate::stage::GuestSide;

/// How everything stood right after an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Look {
    /// The event.
    pub event: TraceEvent,
    /// The raw word of the first VM's lock, where [`pvqspin::word`] tells how to read it.
    pub word: Option<u32>,
    /// The first VM's vCPUs.
    pub vcpus: Vec<VcpuLook>,
    /// What the host looks like.
    pub host: HostLook,
}

/// How one vCPU stood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct VcpuLook {
    /// What its page says that it does.
    pub run: RunSample,
    /// Whom its page says that it waits for.
    pub waits_for: Option<Cpu>,
    /// The node of its first context.
    pub node: NodeLook,
}

/// How the host stood.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HostLook {
    /// Who is on each pCPU, by number on the host.
    pub pcpus: Vec<Option<u32>>,
    /// Who waits for a pCPU, the next one first.
    pub queue: Vec<u32>,
}

/// Looks, while the time is right.
#[derive(Default)]
pub(crate) struct Looks {
    range: Option<(u64, u64)>,
    locks: Option<Rc<dyn Workload>>,
    host: RefCell<HostLook>,
    taken: RefCell<Vec<Look>>,
}

impl Looks {
    /// Will look from one time to another, both included.
    pub(crate) fn new(range: Option<(u64, u64)>, locks: Option<Rc<dyn Workload>>) -> Self {
        Self {
            range,
            locks,
            ..Self::default()
        }
    }

    /// Whether anybody will ever look.
    pub(crate) fn wanted(&self) -> bool {
        self.range.is_some()
    }

    /// The host has changed.
    pub(crate) fn note_host(&self, host: HostLook) {
        *self.host.borrow_mut() = host;
    }

    /// Looks, if it is time to.
    pub(crate) fn look(&self, event: TraceEvent, guests: &[GuestSide]) {
        let wanted = |(from, to)| (from..=to).contains(&event.at_ns);
        if !self.range.is_some_and(wanted) {
            return;
        }
        let vcpus = guests.iter().filter(|guest| guest.vm == 0).map(|guest| {
            let page = guest.memory.page(guest.cpu);
            let nodes: &CpuNodes = guest.memory.nodes(guest.cpu);
            VcpuLook {
                run: page.run(),
                waits_for: page.waiting_for(),
                node: nodes.look(0),
            }
        });
        self.taken.borrow_mut().push(Look {
            event,
            word: self.locks.as_ref().and_then(|locks| locks.word()),
            vcpus: vcpus.collect(),
            host: self.host.borrow().clone(),
        });
    }

    pub(crate) fn take(&self) -> Vec<Look> {
        self.taken.take()
    }
}

impl Machine<'_> {
    /// Shows those who look how the host stands.
    pub(crate) fn show_host(&self) {
        if self.stage.looks.wanted() {
            let number = |vcpu: VcpuId| vcpu.index() as u32;
            self.stage.looks.note_host(HostLook {
                pcpus: (0..self.host.config().pcpus as u32)
                    .map(|p| self.host.current(Pcpu::new(p)).map(number))
                    .collect(),
                queue: self.host.waiting().map(number).collect(),
            });
        }
    }
}
