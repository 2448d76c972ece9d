//! First in line for a reader-writer lock: waiting for its writer, or for its readers.
//!
//! ```text
//!   has the queue ──► blocked? ── no ──► withdraw the edge ──► take
//!                       │ yes    ▲
//!                       ▼        │ the word changed
//!              name ourselves in the word
//!                       ├── a writer: named in the word. Yield to it, or halt, as under the mutex
//!                       └── readers: look for one that is preempted, yield to it, look again
//! ```
//!
//! A count names no CPU, so each CPU marks in its own line under which locks it reads, and a CPU that
//! waits for readers looks at all CPUs, if it waits for more than a moment and there is pressure.
//! `docs/decisions/0006-naming-readers.md` has the alternatives.

use crate::atomic::Ordering;
use crate::env::{Budget, Env, Point, Sleep};
use crate::events::Event;
use crate::nodes::CpuNodes;
use crate::policy::{Policy, Stalls};
use crate::queue::at_head::look_at_holder;
use crate::queue::decide::{Action, Role, Snapshot, decide};
use crate::queue::edge::Edge;
use crate::queue::look::{self, Seen};
use crate::queue::{age, ask, holds};
use crate::rw::lock::QRwLock;
use crate::rw::word::{ASLEEP, READERS, WRITER, first_of, readers_of, with_first, writer_of};
use crate::word::Format;
use pvqspin_abi::Cpu;

/// How long to wait for readers before looking who they are, in ns. Looking costs one cache line
/// for each CPU, about what a short section lasts.
const READERS_PATIENCE_NS: u32 = 2_000;

/// What the first in line waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wants {
    /// To read.
    Read,
    /// To write.
    Write,
    /// To write, and reads already.
    Upgrade,
}

impl Wants {
    pub(super) fn is_blocked(self, word: u32) -> bool {
        match self {
            Self::Read => word & WRITER != 0 || readers_of(word) == READERS,
            Self::Write => word & (WRITER | READERS) != 0,
            Self::Upgrade => word & WRITER != 0 || readers_of(word) > 1,
        }
    }
}

/// The CPU that has the queue.
pub(super) struct Front<'a, E, P, W> {
    lock: &'a QRwLock<E, P, W>,
    wants: Wants,
    cpu: Cpu,
    nodes: &'static CpuNodes,
    /// Whether this is the outermost wait of its CPU: only that one may halt.
    outermost: bool,
}

impl<'a, E: Env, P: Policy, W: Format> Front<'a, E, P, W> {
    /// Waits until `take` succeeds, which is tried whenever the word allows it.
    pub(super) fn wait_in<T>(
        lock: &'a QRwLock<E, P, W>,
        wants: Wants,
        mut take: impl FnMut() -> Option<T>,
    ) -> T {
        if let Some(taken) = take() {
            E::checkpoint(Point::Taken);
            return taken;
        }
        let cpu = E::cpu();
        let nodes = E::nodes(cpu);
        // No node is needed, but an interrupted wait must be seen by the one that interrupts it.
        let context = nodes.claim(W::CONTEXTS);
        if let Some(context) = context {
            age::note_wait_begins::<E, P>(nodes, context);
        }
        let front = Self {
            lock,
            wants,
            cpu,
            nodes,
            // The readers that an upgrade waits for would not kick it: see `rw::upgrade`.
            outermost: context == Some(0) && wants != Wants::Upgrade,
        };
        if writer_of(lock.word.load(Ordering::Relaxed)) == Some(cpu) {
            E::self_deadlock(core::ptr::from_ref(lock).addr());
        }
        let edge = Edge::to(None);
        let taken = loop {
            let seen = lock.word.load(Ordering::Relaxed);
            if wants.is_blocked(seen) {
                front.wait(&edge, seen);
                continue;
            }
            // Before the step that makes us the holder, as under the mutex.
            edge.withdraw();
            if let Some(taken) = take() {
                break taken;
            }
        };
        E::checkpoint(Point::Taken);
        drop(edge);
        if let Some(context) = context {
            age::note_wait_ends::<P>(nodes, context);
            nodes.release();
        }
        taken
    }

    fn is_blocked(&self) -> bool {
        self.wants
            .is_blocked(self.lock.word.load(Ordering::Relaxed))
    }

    /// Names this CPU in the word, so that no CPU passes and the releaser knows it.
    fn announce(&self, mut seen: u32) -> Option<u32> {
        while self.wants.is_blocked(seen) {
            if first_of(seen) == Some(self.cpu) {
                return Some(seen);
            }
            let named = with_first(seen, self.cpu);
            match self
                .lock
                .word
                .compare_exchange(seen, named, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => {
                    E::checkpoint(Point::Linked);
                    return Some(named);
                }
                Err(now) => seen = now,
            }
        }
        None
    }

    fn wait(&self, edge: &Edge<E, P>, seen: u32) {
        let Some(seen) = self.announce(seen) else {
            return;
        };
        if seen & WRITER != 0 {
            self.wait_for_writer(edge, writer_of(seen));
        } else {
            self.wait_for_readers(edge);
        }
    }

    fn wait_for_writer(&self, edge: &Edge<E, P>, writer: Option<Cpu>) {
        edge.set(writer);
        let gone = || self.lock.word.load(Ordering::Relaxed) & WRITER == 0;
        let yields = matches!(P::RULES.stalls, Stalls::Yield);
        let stalled = || yields && writer.is_some_and(look::is_stuck::<E>);
        let patience = self.patience();
        E::spin_until(|| gone() || stalled(), patience);
        if gone() {
            if yields {
                self.nodes.observe_hold(false);
            }
            return;
        }
        age::note_wait_goes_on::<E, P>(self.nodes);
        if !P::RULES.paravirtual() {
            return;
        }
        let mut seen = look_at_holder::<E>(writer);
        if yields && seen.may_be_a_long_hold() {
            seen.long_hold = holds::ran_out::<P>(self.nodes, patience);
        }
        seen.may_halt = self.may_halt();
        match decide(&P::RULES, Role::First, &seen) {
            Action::Yield(holder, why) => {
                ask::back_off::<E, P>(ask::yield_to::<E>(why, holder), gone);
            }
            Action::Halt => self.halt_for(writer),
            _ => {}
        }
    }

    /// Waits for readers, and lends this pCPU to those of them that are off theirs.
    fn wait_for_readers(&self, edge: &Edge<E, P>) {
        let gone = || !self.is_blocked();
        if self.wants == Wants::Read {
            // Blocked by readers alone: their number has no room for one more.
            self.nodes.count(Event::ReadersExhausted);
        }
        if matches!(P::RULES.stalls, Stalls::Spin) {
            E::spin_until(gone, Budget::FOREVER);
            return;
        }
        let whole = self.patience();
        let mut patience = READERS_PATIENCE_NS;
        let mut spun: u32 = 0;
        while !E::spin_until(gone, Budget::ns(patience)) {
            age::note_wait_goes_on::<E, P>(self.nodes);
            spun = spun.saturating_add(patience);
            patience = P::RULES.retry_ns.max(READERS_PATIENCE_NS);
            let absent = self.absent_reader();
            edge.set(absent.map(|reader| reader.cpu));
            let seen = self.look_at_readers(absent, Budget::ns(spun) >= whole, whole);
            match decide(&P::RULES, Role::BehindReaders, &seen) {
                Action::Yield(reader, why) => {
                    if !ask::should_back_off(ask::yield_to::<E>(why, reader)) {
                        // Another one may be absent as well: look again soon.
                        patience = READERS_PATIENCE_NS;
                    }
                    spun = 0;
                }
                Action::Halt => self.halt_for(absent.map(|reader| reader.cpu)),
                _ => {}
            }
        }
    }

    /// What this CPU sees of the readers. `outlasted`: they have taken longer than the whole budget.
    fn look_at_readers(&self, absent: Option<Seen>, outlasted: bool, whole: Budget) -> Snapshot {
        Snapshot {
            before: absent,
            long_hold: outlasted
                && match P::RULES.stalls {
                    Stalls::Yield => absent.is_none() && holds::ran_out::<P>(self.nodes, whole),
                    Stalls::Halt | Stalls::Spin => true,
                },
            may_halt: outlasted && self.may_halt(),
            ..Snapshot::NOTHING
        }
    }

    /// A CPU that reads under this lock, or one that shares its mark, and was preempted.
    fn absent_reader(&self) -> Option<Seen> {
        if !E::pressure() {
            return None;
        }
        let mark = self.lock.reading_mark();
        let cpus = E::cpu_count();
        // Every CPU starts with its neighbour, so that not all ask for the same one.
        (1..cpus)
            .filter_map(|distance| Cpu::new((self.cpu.index() + distance) % cpus))
            .filter(|&cpu| E::nodes(cpu).is_reading(mark))
            .map(Seen::at::<E>)
            .find(Seen::is_preempted)
    }

    fn may_halt(&self) -> bool {
        E::SLEEP.is_some() && self.outermost && self.nodes.in_use() == 1 && E::pressure()
    }

    /// How long to spin before something else is considered.
    fn patience(&self) -> Budget {
        holds::patience::<P>(self.nodes, || self.may_halt())
    }

    /// Halts; under a policy that would rather spin, notes how long the hold was.
    fn halt_for(&self, target: Option<Cpu>) {
        if matches!(P::RULES.stalls, Stalls::Yield) {
            holds::sleep_through::<E, P>(self.nodes, || self.halt(target));
        } else {
            self.halt(target);
        }
    }

    /// Asks for a kick in the word, and halts until it comes.
    fn halt(&self, target: Option<Cpu>) {
        // One location decides: either the wish is in the word before the release, and the
        // releaser sees it; or the lock was released first, and the exchange fails.
        let mut seen = self.lock.word.load(Ordering::Relaxed);
        while seen & ASLEEP == 0 {
            if !self.wants.is_blocked(seen) {
                return;
            }
            match self.lock.word.compare_exchange(
                seen,
                seen | ASLEEP,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) => seen = now,
            }
        }
        self.nodes.count(Event::HaltAtHead);
        E::checkpoint(Point::Halting);
        Sleep::halt::<E>(target.map(ask::hint_for::<E>));
        if self.is_blocked() {
            self.nodes.count(Event::SpuriousWake);
        }
    }
}
