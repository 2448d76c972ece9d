//! What happened, event by event, for looking at afterwards.
//!
//! Each pCPU writes its events into a ring of its own, and each vCPU the marks of its long waits
//! into another, so that recording shares nothing and takes no lock. After the run they are put
//! together and sorted by time. With tracing off the rings hold a few hundred events, enough for
//! the watchdog to show what came last, and vCPUs make no marks.

use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

use pvqspin_abi::Status;

/// What an event says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TraceKind {
    /// The vCPU was put on the pCPU.
    Enter,
    /// A signal took it off: the slice is over, or the pCPU was poked.
    TimerExit,
    /// An armed fault took it off.
    Fault,
    /// It halted, naming `target`, if anybody.
    Halt,
    /// It kicked `target`.
    Kick,
    /// It yielded to `target`.
    YieldTo,
    /// It made a hypercall that makes no sense.
    BadCall,
    /// Its body returned.
    Done,
    /// The pCPU told pCPU `target` to look at its queue.
    Poke,
    /// The pCPU has nothing to run.
    Idle,
    /// vCPU `target` had halted and nobody kicked it in time.
    HaltTimeout,
    /// A long wait began: the vCPU joined a queue.
    WaitBegin,
    /// A long wait ended, after `waited_ns`.
    WaitEnd,
}

impl TraceKind {
    /// The name in print.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Enter => "enter",
            Self::TimerExit => "timer exit",
            Self::Fault => "armed fault",
            Self::Halt => "halt",
            Self::Kick => "kick",
            Self::YieldTo => "yield to",
            Self::BadCall => "senseless call",
            Self::Done => "done",
            Self::Poke => "poke",
            Self::Idle => "idle",
            Self::HaltTimeout => "halt timeout",
            Self::WaitBegin => "wait begins",
            Self::WaitEnd => "wait ends",
        }
    }
}

/// One event.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TraceEvent {
    /// When, in nanoseconds on the clock of the run.
    pub at_ns: u64,
    /// On which pCPU; `None` for marks, which vCPUs make wherever they are.
    pub pcpu: Option<u32>,
    /// Which vCPU, by its number on the host.
    pub vcpu: Option<u32>,
    /// What.
    pub kind: TraceKind,
    /// Whom it was aimed at: a vCPU by its number in the VM, or, for a poke, a pCPU.
    pub target: Option<u32>,
    /// What became of a hypercall.
    pub status: Option<Status>,
    /// For [`TraceKind::WaitEnd`]: how long it was, in nanoseconds.
    pub waited_ns: Option<u64>,
}

impl TraceEvent {
    pub(crate) fn new(at_ns: u64, kind: TraceKind) -> Self {
        Self {
            at_ns,
            pcpu: None,
            vcpu: None,
            kind,
            target: None,
            status: None,
            waited_ns: None,
        }
    }
}

impl fmt::Display for TraceEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>14.3} us", self.at_ns as f64 / 1e3)?;
        match self.pcpu {
            Some(pcpu) => write!(f, "  pcpu{pcpu:<3}")?,
            None => f.write_str("         ")?,
        }
        match self.vcpu {
            Some(vcpu) => write!(f, "  vcpu{vcpu:<4}")?,
            None => f.write_str("          ")?,
        }
        write!(f, "  {}", self.kind.name())?;
        if let Some(target) = self.target {
            write!(f, " {target}")?;
        }
        if let Some(status) = self.status {
            write!(f, " -> {status:?}")?;
        }
        if let Some(ns) = self.waited_ns {
            write!(f, " after {:.3} us", ns as f64 / 1e3)?;
        }
        Ok(())
    }
}

/// The events of a run, oldest first.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Trace {
    /// The events, sorted by time.
    pub events: Vec<TraceEvent>,
}

impl Trace {
    pub(crate) fn collect(rings: Vec<Ring>, marks: &[GuestRing]) -> Self {
        let mut events: Vec<_> = rings.into_iter().flat_map(Ring::into_events).collect();
        for (vcpu, ring) in marks.iter().enumerate() {
            events.extend(ring.events(vcpu as u32));
        }
        events.sort_by_key(|event| event.at_ns);
        Self { events }
    }

    /// The end of the longest wait in the trace. `None` if tracing was off, or nobody waited.
    #[must_use]
    pub fn longest_wait(&self) -> Option<&TraceEvent> {
        self.events
            .iter()
            .max_by_key(|event| event.waited_ns)
            .filter(|event| event.waited_ns.is_some())
    }

    /// The longest wait, with everything that happened from `margin_ns` before it began to
    /// `margin_ns` after it ended.
    #[must_use]
    pub fn around_longest_wait(&self, margin_ns: u64) -> Self {
        let Some(end) = self.longest_wait() else {
            return Self::default();
        };
        let from = end
            .at_ns
            .saturating_sub(end.waited_ns.unwrap_or(0) + margin_ns);
        let to = end.at_ns + margin_ns;
        let inside = |event: &&TraceEvent| (from..=to).contains(&event.at_ns);
        Self {
            events: self.events.iter().filter(inside).copied().collect(),
        }
    }

    /// The last `count` events.
    #[must_use]
    pub fn last(&self, count: usize) -> Self {
        let skipped = self.events.len().saturating_sub(count);
        Self {
            events: self.events[skipped..].to_vec(),
        }
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.events
            .iter()
            .try_for_each(|event| writeln!(f, "{event}"))
    }
}

/// The ring of one pCPU, written on its own thread.
#[derive(Debug)]
pub(crate) struct Ring {
    events: Vec<TraceEvent>,
    capacity: usize,
    /// Where the oldest event is, once the ring is full.
    next: usize,
}

impl Ring {
    /// How many events a ring holds with tracing on (some 15 MB), and off.
    const TRACING: usize = 1 << 18;
    const LAST_WORDS: usize = 128;

    pub(crate) fn new(tracing: bool) -> Self {
        let capacity = if tracing {
            Self::TRACING
        } else {
            Self::LAST_WORDS
        };
        Self {
            events: Vec::with_capacity(capacity),
            capacity,
            next: 0,
        }
    }

    pub(crate) fn push(&mut self, event: TraceEvent) {
        if self.events.len() < self.capacity {
            self.events.push(event);
        } else {
            self.events[self.next] = event;
            self.next = (self.next + 1) % self.capacity;
        }
    }

    fn into_events(mut self) -> Vec<TraceEvent> {
        self.events.rotate_left(self.next);
        self.events
    }
}

/// The marks of one vCPU, made on its own stack: its long waits.
///
/// Atomic words, because the vCPU may be thrown away in the middle of making one.
#[derive(Debug)]
pub(crate) struct GuestRing {
    waits: Box<[Wait]>,
    made: AtomicU64,
}

#[derive(Debug, Default)]
struct Wait {
    ended_ns: AtomicU64,
    waited_ns: AtomicU64,
}

impl GuestRing {
    const WAITS: usize = 256;

    pub(crate) fn new() -> Self {
        Self {
            waits: (0..Self::WAITS).map(|_| Wait::default()).collect(),
            made: AtomicU64::new(0),
        }
    }

    /// Notes a wait.
    pub(crate) fn push(&self, ended_ns: u64, waited_ns: u64) {
        let made = self.made.load(Relaxed);
        let wait = &self.waits[made as usize % Self::WAITS];
        wait.ended_ns.store(ended_ns, Relaxed);
        wait.waited_ns.store(waited_ns, Relaxed);
        self.made.store(made + 1, Relaxed);
    }

    fn events(&self, vcpu: u32) -> Vec<TraceEvent> {
        let made = self.made.load(Relaxed) as usize;
        self.waits[..made.min(Self::WAITS)]
            .iter()
            .flat_map(|wait| {
                let ended_ns = wait.ended_ns.load(Relaxed);
                let waited_ns = wait.waited_ns.load(Relaxed);
                let begin = TraceEvent {
                    vcpu: Some(vcpu),
                    ..TraceEvent::new(ended_ns.saturating_sub(waited_ns), TraceKind::WaitBegin)
                };
                let end = TraceEvent {
                    vcpu: Some(vcpu),
                    waited_ns: Some(waited_ns),
                    ..TraceEvent::new(ended_ns, TraceKind::WaitEnd)
                };
                [begin, end]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_ring_keeps_the_latest_in_order() {
        let mut ring = Ring::new(false);
        for at in 0..Ring::LAST_WORDS as u64 + 10 {
            ring.push(TraceEvent::new(at, TraceKind::Idle));
        }
        let times: Vec<_> = ring.into_events().iter().map(|event| event.at_ns).collect();
        let expected: Vec<_> = (10..Ring::LAST_WORDS as u64 + 10).collect();
        assert_eq!(times, expected);
    }

    #[test]
    fn the_longest_wait_is_shown_with_what_happened_meanwhile() {
        let mut ring = Ring::new(true);
        for at in (0..10_000).step_by(100) {
            ring.push(TraceEvent::new(at, TraceKind::TimerExit));
        }
        let marks = GuestRing::new();
        marks.push(2_000, 50);
        marks.push(5_000, 1_000);
        let trace = Trace::collect(vec![ring], &[marks]);
        assert_eq!(
            trace.longest_wait().and_then(|end| end.waited_ns),
            Some(1_000)
        );
        let around = trace.around_longest_wait(100);
        assert_eq!(around.events.first().map(|event| event.at_ns), Some(3_900));
        assert_eq!(around.events.last().map(|event| event.at_ns), Some(5_100));
        assert!(around.to_string().contains("wait ends after 1.000 us"));
    }
}
