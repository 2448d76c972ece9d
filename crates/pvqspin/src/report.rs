//! Who holds a lock, who waits for it, and since when: for a kernel that hangs.
//!
//! ```text
//!   word ──► tail ──► pred ──► pred ──► head           the queue, walked backwards
//!                                        └─► pred      the holder, if the word does not name it
//!   holder ──► its wait-for edge ──► ...               the chain: ends at the CPU that blocks all
//! ```
//!
//! A report is taken from the outside: from an NMI handler, a panic handler or a debugger's hook on
//! any CPU, also on one that holds or awaits the lock. It takes no lock, allocates nothing, changes
//! nothing, reads a bounded number of words and believes none of them: it always ends,
//! and does not panic. What it saw may have changed while it looked, and it says so.
//!
//! A damaged word may name a CPU that does not exist. With [`Env::cpu_count`] such numbers are
//! recognised; without it, [`Env::nodes`] has to bear them.
//!
//! `docs/debugging.md` tells how to print it when a kernel hangs.

mod rw;

pub use rw::{READERS_SHOWN, RwReport};

use core::fmt;

use crate::atomic::Ordering;
use crate::env::Env;
use crate::irq::{Interrupts, IrqLock};
use crate::lock::QSpinLock;
use crate::node::{Node, state};
use crate::policy::Policy;
use crate::queue::age;
use crate::queue::look::{cpu_in_line_before, cpu_of, node_of};
use crate::word::{Format, Held, TAIL, Tail};
use pvqspin_abi::{Cpu, RunState};

/// How many waiters a report holds: those next to the head.
pub const SHOWN: usize = 12;
/// How far the queue is walked.
const LONGEST_WALK: usize = 256;
/// How many edges of the chain are followed.
const LONGEST_CHAIN: usize = 8;

/// A CPU, and what its host said of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CpuReport {
    /// Which one.
    pub cpu: Cpu,
    /// What it was doing; `None`: there is no CPU of that number.
    pub run: Option<RunState>,
}

impl CpuReport {
    fn of<E: Env>(cpu: Cpu) -> Self {
        Self {
            cpu,
            run: exists::<E>(cpu).then(|| E::run_sample(cpu).state()),
        }
    }
}

fn exists<E: Env>(cpu: Cpu) -> bool {
    let count = E::cpu_count();
    count == 0 || cpu.index() < count
}

impl fmt::Display for CpuReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let run = match self.run {
            Some(RunState::Running) => "running",
            Some(RunState::Preempted) => "preempted",
            Some(RunState::Halted) => "halted",
            Some(RunState::Idle) => "idle",
            None => "no such CPU",
        };
        write!(f, "cpu{} ({run})", self.cpu.index())
    }
}

/// Who has a lock.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Holder {
    /// No CPU, and none waits.
    Free,
    /// It is free, and only this CPU may take it.
    HandedTo(CpuReport),
    /// This CPU holds it.
    Named(CpuReport),
    /// A CPU holds it: a native lock, or a word that changed meanwhile, does not say who.
    Unnamed,
}

/// What a waiter was about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// First in line: it waits for the word.
    First,
    /// In the queue.
    Queued,
    /// In the queue, and it has halted.
    Asleep,
    /// In the queue, and the waiter before it does not know yet.
    Unlinked,
}

/// A waiter.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaiterReport {
    /// Which CPU.
    pub cpu: CpuReport,
    /// In which of its contexts: 0, or more where it interrupted another wait.
    pub context: usize,
    /// Where it stood.
    pub place: Place,
    /// For how long it waited, in µs. Known of a CPU's outermost wait, where there is a clock; in a
    /// paravirtual policy without a bound it counts from the end of the first spin budget.
    pub age_us: Option<u32>,
}

/// Which CPU the holder waits for itself, and so on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Chain {
    links: [Option<CpuReport>; LONGEST_CHAIN],
    circular: bool,
}

impl Chain {
    fn from<E: Env>(start: Cpu) -> Self {
        let mut chain = Self {
            links: [None; LONGEST_CHAIN],
            circular: false,
        };
        let mut at = start;
        for index in 0..LONGEST_CHAIN {
            let next = exists::<E>(at).then(|| E::waiting_for(at)).flatten();
            let Some(next) = next else { break };
            let met = |link: &Option<CpuReport>| link.is_some_and(|link| link.cpu == next);
            chain.circular = next == start || chain.links.iter().any(met);
            chain.links[index] = Some(CpuReport::of::<E>(next));
            if chain.circular {
                break;
            }
            at = next;
        }
        chain
    }

    /// The CPUs of the chain, after the one that it starts from.
    pub fn links(&self) -> impl Iterator<Item = &CpuReport> {
        self.links.iter().flatten()
    }

    /// Whether it comes back to a CPU that it met before: a deadlock, or old edges.
    #[must_use]
    pub const fn is_circular(&self) -> bool {
        self.circular
    }
}

/// A look at a [`QSpinLock`]. Its `Display` is several lines for a kernel's log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// The word.
    pub word: u32,
    /// Who has the lock.
    pub holder: Holder,
    /// Which CPU the holder waits for.
    pub chain: Option<Chain>,
    /// A native lock's waiter without a node.
    pub pending: bool,
    /// Waiters that there was no room for, behind those that are shown.
    pub not_shown: usize,
    /// The walk came to an end before it came to the head: the queue is longer than 256, changed
    /// meanwhile, or is damaged.
    pub incomplete: bool,
    waiters: [Option<WaiterReport>; SHOWN],
    shown: usize,
}

impl Report {
    fn of<E: Env, P: Policy, W: Format>(word: u32) -> Self {
        let paravirtual = P::RULES.paravirtual();
        let held = Held::read::<W>(word, paravirtual);
        let mut report = Self {
            word,
            holder: Holder::Unnamed,
            chain: None,
            pending: matches!(held, Held::Unnamed { pending: true, .. }) && !paravirtual,
            not_shown: 0,
            incomplete: false,
            waiters: [None; SHOWN],
            shown: 0,
        };
        let before_head = report.walk::<E, W>(held, paravirtual);
        let holder = match held {
            Held::Sole(holder) | Held::Past(holder) => Some(holder),
            Held::Queued { .. } => before_head,
            Held::Free | Held::HandedTo(_) | Held::Unnamed { .. } => None,
        };
        report.holder = match (held, holder) {
            (Held::Free, _) => Holder::Free,
            (Held::HandedTo(head), _) => Holder::HandedTo(CpuReport::of::<E>(head)),
            (_, Some(holder)) => Holder::Named(CpuReport::of::<E>(holder)),
            (_, None) => Holder::Unnamed,
        };
        if let Holder::Named(cpu) | Holder::HandedTo(cpu) = report.holder {
            report.chain = Some(Chain::from::<E>(cpu.cpu));
        }
        report
    }

    /// From the tail to the head. Later finds are nearer to the head and push out earlier ones.
    /// Returns the CPU that was in line before the head, if the walk reached the head.
    fn walk<E: Env, W: Format>(&mut self, held: Held, paravirtual: bool) -> Option<Cpu> {
        let tail = self.word;
        let Tail::Waiter(..) = W::tail(tail) else {
            return None;
        };
        let mut at = tail & TAIL;
        for steps in 0..LONGEST_WALK {
            let Tail::Waiter(cpu, context) = W::tail(at) else {
                break;
            };
            let node = Some(at)
                .filter(|_| exists::<E>(cpu))
                .and_then(node_of::<E, W>);
            let pred = node.map_or(0, |node| node.pred.load(Ordering::Relaxed));
            let place = node.map_or(Place::Queued, |node| {
                place_of::<E, W>(at, node, held.head() == Some(cpu), paravirtual)
            });
            if self.shown == SHOWN {
                self.waiters.copy_within(1.., 0);
                self.not_shown += 1;
            } else {
                self.shown += 1;
            }
            let timed = node.is_some() && context == 0;
            let report = Some(WaiterReport {
                cpu: CpuReport::of::<E>(cpu),
                context,
                place,
                age_us: timed.then(|| age::age_us::<E>(cpu)).flatten(),
            });
            if let Some(slot) = self.waiters.get_mut(self.shown - 1) {
                *slot = report;
            }
            if place == Place::First {
                return node
                    .and_then(cpu_in_line_before::<W>)
                    .filter(|&cpu| exists::<E>(cpu));
            }
            if W::tail(pred) == W::tail(tail) || steps + 1 == LONGEST_WALK {
                break;
            }
            at = pred;
        }
        self.incomplete = true;
        None
    }

    /// The waiters next to the head, from the head backwards.
    pub fn waiters(&self) -> impl Iterator<Item = &WaiterReport> {
        self.waiters.iter().flatten().rev()
    }
}

/// Where the waiter stands that has this node, which the tail field names as `at`.
fn place_of<E: Env, W: Format>(at: u32, node: &Node, named: bool, paravirtual: bool) -> Place {
    let node_state = node.state.load(Ordering::Relaxed);
    let pred = node.pred.load(Ordering::Relaxed);
    let first = match W::tail(pred) {
        Tail::SoleHolder(_) => true,
        Tail::Empty => !paravirtual,
        Tail::Waiter(..) => false,
    };
    if first || named || node_state == state::HEAD {
        return Place::First;
    }
    let before = cpu_of::<W>(pred)
        .filter(|&cpu| exists::<E>(cpu))
        .and_then(|_| node_of::<E, W>(pred));
    match before {
        Some(before) if before.next.load(Ordering::Relaxed) != at => Place::Unlinked,
        _ if node_state == state::HALTED => Place::Asleep,
        _ => Place::Queued,
    }
}

impl fmt::Display for WaiterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = match self.place {
            Place::First => "first in line",
            Place::Queued => "queued",
            Place::Asleep => "queued, asleep",
            Place::Unlinked => "not linked yet",
        };
        write!(f, "{} {place}", self.cpu)?;
        if self.context > 0 {
            write!(f, ", in context {}", self.context)?;
        }
        match self.age_us {
            Some(us) => write!(f, ", for {} us", us),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, link) in self.links().enumerate() {
            let then = if at == 0 { "" } else { ", who waits for " };
            write!(f, "{then}{link}")?;
        }
        if self.circular {
            f.write_str(": a circle")?;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "word {:#010x}: ", self.word)?;
        match self.holder {
            Holder::Free => f.write_str("free"),
            Holder::HandedTo(cpu) => write!(f, "free, and {cpu} may take it"),
            Holder::Named(cpu) => write!(f, "held by {cpu}"),
            Holder::Unnamed => f.write_str("held"),
        }?;
        if let Some(chain) = self.chain.filter(|chain| chain.links().next().is_some()) {
            write!(f, ", who waits for {chain}")?;
        }
        if self.pending {
            f.write_str("\n  one pending")?;
        }
        for waiter in self.waiters() {
            write!(f, "\n  {waiter}")?;
        }
        if self.not_shown > 0 {
            write!(f, "\n  and {} behind", self.not_shown)?;
        }
        if self.incomplete {
            f.write_str("\n  and perhaps others: the queue's head was not found")?;
        }
        f.write_str("\n  (seen while others went on: may be stale)")
    }
}

impl<E: Env, P: Policy, W: Format> QSpinLock<E, P, W> {
    /// Looks at the lock from outside: see [`report`](crate::report).
    ///
    /// ```
    /// # use pvqspin::{Budget, Cpu, CpuNodes, Env};
    /// # struct Kernel;
    /// # static NODES: CpuNodes = CpuNodes::new();
    /// # impl Env for Kernel {
    /// #     fn cpu() -> Cpu { Cpu::new(0).unwrap() }
    /// #     fn nodes(_: Cpu) -> &'static CpuNodes { &NODES }
    /// #     fn spin_until(mut c: impl FnMut() -> bool, _: Budget) -> bool { while !c() {} true }
    /// # }
    /// use pvqspin::QSpinLock;
    ///
    /// static LOCK: QSpinLock<Kernel> = QSpinLock::new();
    /// let token = LOCK.lock();
    /// assert_eq!(
    ///     LOCK.report().to_string(),
    ///     "word 0x00070001: held by cpu0 (running)\n  (seen while others went on: may be stale)"
    /// );
    /// # unsafe { LOCK.unlock(token) };
    /// ```
    #[must_use]
    pub fn report(&self) -> Report {
        Report::of::<E, P, W>(self.raw_word())
    }
}

impl<E: Env, I: Interrupts, P: Policy, W: Format> IrqLock<E, I, P, W> {
    /// Looks at the lock from outside: see [`report`](crate::report).
    #[must_use]
    pub fn report(&self) -> Report {
        self.raw().report()
    }
}
