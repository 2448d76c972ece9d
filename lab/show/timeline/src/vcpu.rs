//! What a vCPU does, while a trace is replayed.

use crate::scene::{Doing, Place, Span};

/// A vCPU at one time of the trace, and its spans so far.
#[derive(Clone)]
pub(crate) struct Vcpu {
    pub(crate) vm: usize,
    /// The number on the host of its VM's first vCPU, and how many there are.
    pub(crate) vm_range: (u32, u32),
    pub(crate) place: Place,
    pub(crate) waits: bool,
    /// It passed `Taken` and has not said which lock it holds.
    pub(crate) taken: bool,
    pub(crate) locks: Vec<u32>,
    /// It passed `Released`, and has yet to say that it left.
    pub(crate) released: bool,
    pub(crate) since_ns: u64,
    pub(crate) spans: Vec<Span>,
    /// A kick that it has not answered by running: the number of the call.
    pub(crate) kicked_by: Option<usize>,
}

impl Vcpu {
    pub(crate) fn doing(&self) -> Doing {
        match (self.waits, self.taken || !self.locks.is_empty()) {
            (true, _) => Doing::Waits,
            (false, true) => Doing::Holds,
            (false, false) => Doing::Outside,
        }
    }

    pub(crate) fn state(&self) -> (Doing, Place, Option<u32>) {
        (self.doing(), self.place, self.locks.last().copied())
    }

    pub(crate) fn close(&mut self, (doing, place, lock): (Doing, Place, Option<u32>), at: u64) {
        if at > self.since_ns {
            self.spans.push(Span {
                from_ns: self.since_ns,
                to_ns: at,
                doing,
                place,
                lock,
            });
            self.since_ns = at;
        }
    }
}
