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
//! A count names nobody, so each CPU marks in its own line under which locks it reads, and whoever
//! waits for readers looks at all CPUs, if it waits for more than a moment and there is pressure.
//! `docs/decisions/0006-naming-readers.md` has the alternatives.

use crate::atomic::Ordering;
use crate::env::{Budget, Env, Point};
use crate::events::Event;
use crate::lock::Token;
use crate::nodes::CpuNodes;
use crate::policy::{Policy, Stalls};
use crate::queue::ask::{self, should_back_off};
use crate::queue::join;
use crate::queue::{holds, pass_over, release};
use crate::rw::lock::{QRwLock, ReadToken, WriteToken};
use crate::rw::upgrade::UpgradableToken;
use crate::rw::word::{ASLEEP, READERS, WRITER, first_of, readers_of, with_first, writer_of};
use crate::word::Format;
use pvqspin_abi::{Cpu, RunSample};

/// How long to wait for readers before looking who they are, in ns. Looking costs one cache line
/// for each CPU, about what a short section lasts.
const READERS_PATIENCE_NS: u32 = 2_000;

/// Takes a lock to read that could not be had at once.
#[cold]
#[inline(never)]
pub(crate) fn read<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) -> ReadToken {
    let turn = take_turn(lock);
    let token = Front::wait_in(lock, Wants::Read, || {
        // Nobody is first in line any more.
        let entered = |word| (word & READERS) + 1;
        lock.enter(|word| !Wants::Read.is_blocked(word), entered)
    });
    // SAFETY: this CPU took the queue above. Whoever comes next can read beside us, or has to wait
    // for us: nobody needs our pCPU more than we do.
    unsafe { lock.queue.unlock_without_lending(turn) };
    token
}

/// Takes a lock to write that could not be had at once.
#[cold]
#[inline(never)]
pub(crate) fn write<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) -> WriteToken {
    let turn = take_turn(lock);
    let alone = QRwLock::<E, P, W>::alone();
    Front::wait_in(lock, Wants::Write, || {
        let seen = lock.word.load(Ordering::Relaxed);
        // Acquire pairs with the releases of the writer and of all readers before.
        let take = |seen| {
            lock.word
                .compare_exchange(seen, alone, Ordering::Acquire, Ordering::Relaxed)
                .ok()
        };
        Some(seen)
            .filter(|&seen| !Wants::Write.is_blocked(seen))
            .and_then(take)
    });
    WriteToken::new(alone, Some(turn))
}

/// Takes a lock to read, and keeps the turn.
#[cold]
#[inline(never)]
pub(crate) fn upgradable<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) -> UpgradableToken {
    let turn = take_turn(lock);
    let read = Front::wait_in(lock, Wants::Read, || {
        let entered = |word| (word & READERS) + 1;
        lock.enter(|word| !Wants::Read.is_blocked(word), entered)
    });
    UpgradableToken::new(read, turn)
}

/// Waits, as the reader that has the turn, until it is the only reader, and makes it the writer.
#[cold]
#[inline(never)]
pub(crate) fn upgrade<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) {
    Front::wait_in(lock, Wants::Upgrade, || {
        lock.take_from_one_reader().then_some(())
    });
}

/// Queues until it is this CPU's turn. It passes [`Point::Joined`] once, here or in the queue.
fn take_turn<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) -> Token {
    if let Some(turn) = lock.queue.try_lock() {
        E::checkpoint(Point::Joined);
        return turn;
    }
    lock.queue.lock()
}

/// Waits until nobody writes, without a turn.
#[cold]
pub(crate) fn wait_unqueued<E: Env, P: Policy, W: Format>(lock: &QRwLock<E, P, W>) {
    let seen = lock.word.load(Ordering::Relaxed);
    let nodes = E::nodes(E::cpu());
    E::checkpoint(Point::Fallback);
    let open = || !Wants::Read.is_blocked(lock.word.load(Ordering::Relaxed));
    let Some(writer) = writer_of(seen) else {
        E::spin_until(open, Budget::FOREVER);
        return;
    };
    let interrupted = E::set_waiting_for(Some(writer));
    let stalled = || join::is_stuck::<E>(writer);
    E::spin_until(|| open() || stalled(), Budget::FOREVER);
    if !open() {
        // Nobody would kick us: whatever comes of it, we do not halt.
        ask::hurry::<E, P>(nodes, writer, Budget::FOREVER, &open);
    }
    E::set_waiting_for(interrupted);
}

/// A reader that sleeping would depend on for its kick says so, before it can be preempted between
/// its release and the kick. Whoever watches over the sleeper finds us through its edge.
#[inline]
pub(crate) fn answer_for_the_kick<E: Env>(seen: u32) {
    if seen & (ASLEEP | WRITER) == ASLEEP
        && readers_of(seen) == 1
        && let Some(first) = first_of(seen)
    {
        E::redirect_wait_of(first, Some(E::cpu()));
    }
}

/// A reader has left, and somebody waits. The last one looks after whoever is first in line, by the
/// word or, if it has not come so far yet, by the queue. (Both are from before: advice.)
#[cold]
#[inline(never)]
pub(crate) fn after_a_reader<E: Env, P: Policy, W: Format>(seen: u32, queue: u32) {
    if let Some(first) = first_of(seen) {
        if readers_of(seen) == 1 {
            release::attend_to::<E, P>(first, seen & ASLEEP != 0);
        } else if E::waiting_for(first) == Some(E::cpu()) {
            // It waits for the others now.
            E::redirect_wait_of(first, None);
        }
    } else if let Some(next) = join::mover_of::<E, W>(queue) {
        E::checkpoint(Point::Released);
        release::lend_to::<E, P>(next);
    }
}

/// What the first in line waits for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wants {
    Read,
    Write,
    /// To write, and reads already.
    Upgrade,
}

impl Wants {
    fn is_blocked(self, word: u32) -> bool {
        match self {
            Self::Read => word & WRITER != 0 || readers_of(word) == READERS,
            Self::Write => word & (WRITER | READERS) != 0,
            Self::Upgrade => word & WRITER != 0 || readers_of(word) > 1,
        }
    }
}

/// The CPU that has the queue.
struct Front<'a, E, P, W> {
    lock: &'a QRwLock<E, P, W>,
    wants: Wants,
    cpu: Cpu,
    nodes: &'static CpuNodes,
    /// Whether this is the outermost wait of its CPU: only that one may halt.
    outermost: bool,
}

impl<'a, E: Env, P: Policy, W: Format> Front<'a, E, P, W> {
    /// Waits until `take` succeeds, which is tried whenever the word allows it.
    fn wait_in<T>(
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
            pass_over::note_wait_begins::<E, P>(nodes, context);
        }
        let front = Self {
            lock,
            wants,
            cpu,
            nodes,
            // The readers that an upgrade waits for would not kick it: see `rw::upgrade`.
            outermost: context == Some(0) && wants != Wants::Upgrade,
        };
        let interrupted = Self::set_edge(None);
        let taken = loop {
            let seen = lock.word.load(Ordering::Relaxed);
            if wants.is_blocked(seen) {
                front.wait(seen);
                continue;
            }
            // Withdrawn before the step that makes us the holder, as under the mutex.
            Self::set_edge(None);
            if let Some(taken) = take() {
                break taken;
            }
        };
        E::checkpoint(Point::Taken);
        Self::set_edge(interrupted);
        if let Some(context) = context {
            pass_over::note_wait_ends::<P>(nodes, context);
            nodes.release();
        }
        taken
    }

    fn set_edge(to: Option<Cpu>) -> Option<Cpu> {
        if P::RULES.paravirtual() {
            E::set_waiting_for(to)
        } else {
            None
        }
    }

    fn is_blocked(&self) -> bool {
        self.wants
            .is_blocked(self.lock.word.load(Ordering::Relaxed))
    }

    /// Names this CPU in the word, so that nobody passes and whoever releases knows it.
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

    fn wait(&self, seen: u32) {
        let Some(seen) = self.announce(seen) else {
            return;
        };
        if seen & WRITER != 0 {
            self.wait_for_writer(writer_of(seen));
        } else {
            self.wait_for_readers();
        }
    }

    fn wait_for_writer(&self, writer: Option<Cpu>) {
        Self::set_edge(writer);
        let gone = || self.lock.word.load(Ordering::Relaxed) & WRITER == 0;
        let yields = matches!(P::RULES.stalls, Stalls::Yield);
        let stalled = || yields && writer.is_some_and(join::is_stuck::<E>);
        let patience = self.patience();
        E::spin_until(|| gone() || stalled(), patience);
        if gone() {
            if yields {
                self.nodes.observe_hold(false);
            }
            return;
        }
        match (P::RULES.stalls, writer) {
            (Stalls::Spin, _) | (Stalls::Yield, None) => {}
            (Stalls::Halt, _) => self.halt(writer),
            (Stalls::Yield, Some(holder)) => {
                if ask::hurry::<E, P>(self.nodes, holder, patience, &gone) {
                    holds::sleep_through::<E, P>(self.nodes, || self.halt(writer));
                }
            }
        }
    }

    /// Waits for readers, and lends this pCPU to those of them that are off theirs.
    fn wait_for_readers(&self) {
        let gone = || !self.is_blocked();
        if matches!(P::RULES.stalls, Stalls::Spin) {
            E::spin_until(gone, Budget::FOREVER);
            return;
        }
        let whole = self.patience();
        let mut patience = READERS_PATIENCE_NS;
        let mut spun: u32 = 0;
        while !E::spin_until(gone, Budget::ns(patience)) {
            spun = spun.saturating_add(patience);
            patience = P::RULES.retry_ns.max(READERS_PATIENCE_NS);
            let absent = self.absent_reader();
            Self::set_edge(absent.map(|(reader, _)| reader));
            let long = Budget::ns(spun) >= whole;
            match (P::RULES.stalls, absent) {
                (Stalls::Halt, _) if long => self.halt(absent.map(|(reader, _)| reader)),
                (Stalls::Yield, Some((reader, sample))) => {
                    let status = ask::yield_to::<E>(Event::YieldToReader, reader, sample);
                    if !should_back_off(status) {
                        // Another one may be absent as well: look again soon.
                        patience = READERS_PATIENCE_NS;
                    }
                    spun = 0;
                }
                // Whoever reads runs, as far as can be seen, and takes long.
                (Stalls::Yield, None) if long && holds::ran_out::<P>(self.nodes, whole) => {
                    holds::sleep_through::<E, P>(self.nodes, || self.halt(None));
                }
                _ => {}
            }
        }
    }

    /// A CPU that reads under this lock, or one that shares its mark, and was preempted.
    fn absent_reader(&self) -> Option<(Cpu, RunSample)> {
        if !E::pressure() {
            return None;
        }
        let mark = self.lock.reading_mark();
        let cpus = E::cpu_count();
        // Everybody starts with its neighbour, so that not all ask for the same one.
        (1..cpus)
            .filter_map(|distance| Cpu::new((self.cpu.index() + distance) % cpus))
            .filter(|&cpu| E::nodes(cpu).is_reading(mark))
            .map(|cpu| (cpu, E::run_sample(cpu)))
            .find(|(_, sample)| sample.is_preempted())
    }

    fn may_halt(&self) -> bool {
        self.outermost && self.nodes.in_use() == 1 && E::pressure()
    }

    /// How long to spin before something else is considered.
    fn patience(&self) -> Budget {
        holds::patience::<P>(self.nodes, || self.may_halt())
    }

    /// Asks for a kick in the word, and halts until it comes.
    fn halt(&self, target: Option<Cpu>) {
        if !self.may_halt() {
            return;
        }
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
        E::halt(target.map(ask::hint_for::<E>));
        if self.is_blocked() {
            self.nodes.count(Event::SpuriousWake);
        }
    }
}
