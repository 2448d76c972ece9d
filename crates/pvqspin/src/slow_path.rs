//! The slow path: joining the queue, waiting in it, waiting for the word at its head.
//!
//! It is written once, for every policy, word and environment; read it from [`lock`] downwards.
//!
//! ```text
//!   lock ──► pending (native, second in line) ─────────────────────────► held
//!     │
//!     ├────► no node left: pass_over::lock_without_node ───────────────► held
//!     │
//!     └────► join ──► sole holder before us ──────► wait_for_word ──► take ──► held
//!              │                                       ▲
//!              └────► somebody waits before us         │ promoted
//!                        └─► link ──► wait_in_queue ───┘
//!                                          └─► pass_over::overtake ────► held
//! ```
//!
//! Who may change what: anybody swaps the tail, and names itself as the head if nobody waits yet;
//! otherwise only the holder promotes a head, names it in the word, and edits links; a head asks
//! for a kick, or its promoter does for it. In strict order only the head takes a lock that has a
//! queue, but for a CPU that has no node left. Preemption is looked at to decide whom to yield to, and (in `Bounded`)
//! who may go first; it never decides who *is* the head, because a CPU that looked preempted may
//! be running again.

use core::marker::PhantomData;

use crate::advice::{self, should_back_off};
use crate::atomic::{AtomicU32, Ordering};
use crate::env::{Budget, Env, Point};
use crate::events::Event;
use crate::lock::{Kind, Token};
use crate::nodes::{CpuNodes, Node, state};
use crate::pass_over;
use crate::pending;
use crate::policy::{Names, Policy, Stalls};
use crate::word::{Format, HEAD, LOCKED, PENDING, TAIL, Tail, head_bits, head_of};
use pvqspin_abi::{Cpu, RunSample, RunState, Status};

/// How long the holder waits for its successor to link itself before it asks the host, in ns. The
/// link follows the tail exchange within a few instructions, unless a preemption falls between.
const LINK_PATIENCE_NS: u32 = 1_000;

/// Takes a lock that could not be had at once.
#[cold]
#[inline(never)]
pub(crate) fn lock<E: Env, P: Policy, W: Format>(word: &AtomicU32) -> Token {
    let cpu = E::cpu();
    let nodes = E::nodes(cpu);
    nodes.count(Event::SlowPath);
    E::checkpoint(Point::Joining);

    if !P::RULES.paravirtual() && pending::take::<E>(word, nodes) {
        return Token::new(LOCKED);
    }
    let Some(context) = nodes.claim(W::CONTEXTS) else {
        return pass_over::lock_without_node::<E, P, W>(word, cpu, nodes);
    };
    let waiter = Waiter::<E, P, W> {
        word,
        cpu,
        nodes,
        node: nodes.node(context),
        tail: W::waiter(cpu, context),
        kind: PhantomData,
    };
    pass_over::note_wait_begins::<E, P>(nodes, context);
    let token = waiter.acquire();
    pass_over::note_wait_ends::<P>(nodes, context);
    nodes.release();
    token
}

/// One CPU in one slow path.
pub(crate) struct Waiter<'a, E, P, W> {
    pub(crate) word: &'a AtomicU32,
    pub(crate) cpu: Cpu,
    pub(crate) nodes: &'static CpuNodes,
    pub(crate) node: &'static Node,
    /// This node as the tail field names it.
    pub(crate) tail: u32,
    pub(crate) kind: Kind<E, P, W>,
}

/// How joining the queue turned out.
enum Joined {
    /// It was not needed: the lock was free, or could be passed on.
    Held(Token),
    /// First in line. Whoever holds the lock, if it has a name.
    First(Option<Cpu>),
    /// Behind this waiter, as the tail field named it.
    Behind(u32),
}

/// How waiting in the queue ended.
enum Queued {
    /// First in line now, behind this holder.
    Promoted(Option<Cpu>),
    /// Passed over the preempted ones before it, and holds the lock.
    Overtook(Token),
}

impl<E: Env, P: Policy, W: Format> Waiter<'_, E, P, W> {
    const PARAVIRTUAL: bool = P::RULES.paravirtual();
    const YIELDS: bool = matches!(P::RULES.stalls, Stalls::Yield);
    const MAY_FIND_HOLDS_LONG: bool = P::RULES.spin_ns != u32::MAX;

    /// The word of a lock that this CPU holds and nobody else wants.
    pub(crate) fn alone(&self) -> u32 {
        if Self::PARAVIRTUAL {
            W::sole_holder(self.cpu) | LOCKED
        } else {
            LOCKED
        }
    }

    /// Publishes whom this CPU waits for; returns whom it waited for before. Native waiters keep
    /// that to themselves.
    pub(crate) fn set_edge(to: Option<Cpu>) -> Option<Cpu> {
        if Self::PARAVIRTUAL {
            E::set_waiting_for(to)
        } else {
            None
        }
    }

    fn acquire(&self) -> Token {
        match self.join() {
            Joined::Held(token) => token,
            Joined::First(holder) => {
                // An interrupt handler that waits puts the interrupted wait back when done.
                let interrupted = Self::set_edge(holder);
                self.wait_for_word(holder);
                Self::set_edge(interrupted);
                Token::new(self.alone())
            }
            Joined::Behind(pred) => {
                let interrupted = self.link(pred);
                let token = match self.wait_in_queue() {
                    Queued::Overtook(token) => token,
                    Queued::Promoted(holder) => {
                        self.wait_for_word(holder);
                        Token::new(self.alone())
                    }
                };
                Self::set_edge(interrupted);
                token
            }
        }
    }

    /// Swaps itself in as the tail, in a compare-exchange so that the rest of the word survives,
    /// and so that the first in line is named as the head in the same step.
    fn join(&self) -> Joined {
        let mut seen = self.word.load(Ordering::Relaxed);
        loop {
            if seen == 0 {
                match self.word.compare_exchange(
                    0,
                    self.alone(),
                    Ordering::Acquire,
                    Ordering::Relaxed,
                ) {
                    Ok(_) => return Joined::Held(Token::new(self.alone())),
                    Err(now) => {
                        seen = now;
                        continue;
                    }
                }
            }
            if P::RULES.passes_over()
                && let Some(token) = pass_over::newcomer::<E, P, W>(self, seen)
            {
                return Joined::Held(token);
            }
            let before = W::tail(seen);
            let joined = match before {
                Tail::Waiter(..) => seen & !TAIL | self.tail,
                _ if Self::PARAVIRTUAL => seen & !(TAIL | HEAD) | self.tail | head_bits(self.cpu),
                _ => seen & !TAIL | self.tail,
            };
            // Release publishes the node's initialisation to whoever queues behind; Acquire sees
            // that of the node before, which we are about to link to.
            match self
                .word
                .compare_exchange(seen, joined, Ordering::AcqRel, Ordering::Relaxed)
            {
                Err(now) => seen = now,
                Ok(_) => {
                    E::checkpoint(Point::Joined);
                    self.nodes.count(Event::Queued);
                    return match before {
                        Tail::Waiter(..) => Joined::Behind(seen & TAIL),
                        Tail::SoleHolder(holder) => Joined::First(Some(holder)),
                        Tail::Nobody => Joined::First(None),
                    };
                }
            }
        }
    }

    /// Links itself behind `pred` and publishes whom it waits for. Returns what it interrupted.
    fn link(&self, pred: u32) -> Option<Cpu> {
        // Relaxed: who edits `pred` later found this node through the link below.
        self.node.pred.store(pred, Ordering::Relaxed);
        let before = cpu_of::<W>(pred);
        let interrupted = Self::set_edge(before);
        if let Some(node) = node_of::<E, W>(pred) {
            // Release pairs with the acquire of the holder that promotes us.
            node.next.store(self.tail, Ordering::Release);
        }
        E::checkpoint(Point::Linked);
        interrupted
    }

    /// Waits on the own node until the holder before us makes us the head.
    fn wait_in_queue(&self) -> Queued {
        // Acquire pairs with the promoter's release: what it did to our links is visible.
        let promoted = || self.node.state.load(Ordering::Acquire) == state::HEAD;
        loop {
            let link = self.node.pred.load(Ordering::Relaxed);
            let before = cpu_of::<W>(link);
            let stalled = || Self::YIELDS && before.is_some_and(|cpu| self.is_absent(cpu));
            // Whoever overtakes leaves from before us: then there is somebody else to watch.
            let relinked =
                || P::RULES.passes_over() && self.node.pred.load(Ordering::Relaxed) != link;
            E::spin_until(
                || promoted() || relinked() || stalled(),
                Budget::ns(P::RULES.spin_ns),
            );
            if relinked() && !promoted() {
                continue;
            }
            if promoted() {
                // The promoter is the node before us, and holds the lock now.
                return Queued::Promoted(cpu_of::<W>(self.node.pred.load(Ordering::Relaxed)));
            }
            match P::RULES.stalls {
                Stalls::Spin => {}
                Stalls::Halt => self.halt_in_queue(before),
                Stalls::Yield => {
                    if let Some(token) = self.yield_in_queue(before, &promoted) {
                        return Queued::Overtook(token);
                    }
                }
            }
        }
    }

    /// The one before us is preempted, or the hold is long. Returns a token if it could overtake.
    fn yield_in_queue(&self, before: Option<Cpu>, promoted: &impl Fn() -> bool) -> Option<Token> {
        let before = before?;
        let sample = E::run_sample(before);
        if !self.is_absent(before) {
            // Nobody is preempted as far as we see: the spin budget ran out. Sleep only if holds
            // have been long lately; else the queue would turn into a convoy of sleepers.
            if Self::MAY_FIND_HOLDS_LONG && self.nodes.holds_are_long() {
                self.halt_in_queue(Some(before));
            }
            return None;
        }
        if P::RULES.passes_over() {
            return pass_over::behind_preempted(self, before, promoted);
        }
        // A halted one is not what the queue waits for: that is somebody further on.
        if should_back_off(self.yield_to_front(before, sample)) {
            E::spin_until(promoted, Budget::ns(P::RULES.retry_ns));
        }
        None
    }

    /// Whether the waiter before us cannot watch over those before it: it is preempted, or it has
    /// halted and the holder is preempted. Whoever stands behind it has to watch instead.
    fn is_absent(&self, before: Cpu) -> bool {
        match E::run_sample(before).state() {
            RunState::Preempted => true,
            RunState::Halted => match self.next_holder() {
                // Free, and nobody takes it: the kick of whoever released it is overdue.
                Some((_, head)) => head.state() != RunState::Running,
                None => self.holder().is_some_and(is_preempted::<E>),
            },
            RunState::Running | RunState::Idle => false,
        }
    }

    /// Lends this pCPU to whoever it is that the queue waits for. Behind a held lock, the host
    /// finds it at the end of the chain that starts before us. A free one waits for its head.
    fn yield_to_front(&self, before: Cpu, sample: RunSample) -> Status {
        match self.next_holder() {
            None => advice::yield_to::<E>(Event::YieldToPredecessor, before, sample),
            Some((head, sample)) if sample.is_preempted() => {
                advice::yield_to_head::<E>(head, sample)
            }
            Some((head, sample)) if sample.state() == RunState::Halted => {
                // Whoever released the lock was preempted before its kick. One more does no harm.
                self.nodes.count(Event::Kick);
                E::kick(head);
                Status::AlreadyRunning
            }
            // It runs, and takes the lock any moment. There is nothing to ask for.
            Some(_) => Status::AlreadyRunning,
        }
    }

    /// Whom a free lock waits for, and what it does; `None` while somebody holds it.
    fn next_holder(&self) -> Option<(Cpu, RunSample)> {
        let seen = self.word.load(Ordering::Relaxed);
        let head = head_of(seen).filter(|_| seen & LOCKED == 0)?;
        Some((head, E::run_sample(head)))
    }

    /// The head, if the lock is free and it is preempted. Its old edge is withdrawn.
    fn absent_head(&self) -> Option<Cpu> {
        let (head, _) = self
            .next_holder()
            .filter(|(_, sample)| sample.is_preempted())?;
        E::redirect_wait_of(head, None);
        Some(head)
    }

    /// Whether a halt helps anybody, and is sure to end.
    ///
    /// A host remembers one kick for each CPU. If an interrupted wait and the one that interrupted
    /// it both halted, the inner halt could use up the kick that was meant for the outer: so only
    /// the outermost wait of a CPU halts.
    fn may_halt(&self) -> bool {
        E::pressure() && self.nodes.in_use() == 1
    }

    /// Halts until promoted and kicked, or woken for any other reason.
    fn halt_in_queue(&self, before: Option<Cpu>) {
        if !self.may_halt() {
            return;
        }
        let node_state = &self.node.state;
        // One location decides: either this exchange comes first, and the promoter finds HALTED
        // and arranges for a kick; or the promotion came first, and we do not halt.
        if node_state
            .compare_exchange(
                state::WAITING,
                state::HALTED,
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_err()
        {
            return;
        }
        self.nodes.count(Event::HaltInQueue);
        E::checkpoint(Point::Halting);
        let target = match P::RULES.names {
            Names::Predecessor => self.absent_head().or(before),
            Names::Holder => self.holder().or(before),
        };
        E::halt(target.map(advice::hint_for::<E>));
        let woken_early = node_state
            .compare_exchange(
                state::HALTED,
                state::WAITING,
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok();
        if woken_early {
            self.nodes.count(Event::SpuriousWake);
        }
    }

    /// Who holds the lock, as far as a waiter in the middle can tell: the word names a sole
    /// holder or the head, and the head's wait-for edge names the holder.
    pub(crate) fn holder(&self) -> Option<Cpu> {
        let seen = self.word.load(Ordering::Relaxed);
        match W::tail(seen) {
            Tail::SoleHolder(holder) => Some(holder),
            _ if seen & LOCKED == 0 => None,
            _ => head_of(seen).map(|head| E::waiting_for(head).unwrap_or(head)),
        }
    }

    /// At the head of the queue: waits until the word is free, and takes it.
    fn wait_for_word(&self, promoter: Option<Cpu>) {
        // In strict order the holder is known and stays the same. Who passes over us says so.
        let mut holder = promoter;
        let mut undisturbed = true;
        loop {
            let seen = self.word.load(Ordering::Relaxed);
            if !Self::is_blocked(seen) {
                // Withdrawn before the step that makes us the holder: one that is preempted with
                // its old edge would send the host on to whoever held the lock before.
                Self::set_edge(None);
                if self.take(seen) {
                    break;
                }
                Self::set_edge(holder);
                continue;
            }
            if P::RULES.passes_over() || seen & PENDING != 0 {
                holder = self.track_holder(seen, promoter, holder);
            }
            // Newcomers change the tail, which is none of the head's business.
            let moved = || (self.word.load(Ordering::Relaxed) ^ seen) & !TAIL != 0;
            let stalled = || Self::YIELDS && holder.is_some_and(is_preempted::<E>);
            E::spin_until(|| moved() || stalled(), Budget::ns(P::RULES.spin_ns));
            if moved() {
                continue;
            }
            undisturbed = false;
            match P::RULES.stalls {
                Stalls::Spin => {}
                Stalls::Halt => self.halt_at_head(seen, holder),
                Stalls::Yield => self.yield_at_head(seen, holder, &moved),
            }
        }
        if Self::YIELDS && undisturbed {
            self.nodes.observe_hold(false);
        }
    }

    /// Whether the head has to wait. A native head lets the pending waiter go first.
    fn is_blocked(word: u32) -> bool {
        if Self::PARAVIRTUAL {
            word & LOCKED != 0
        } else {
            word & (LOCKED | PENDING) != 0
        }
    }

    /// The holder, from the head's view: whoever promoted it, unless somebody passed over it and
    /// left its own name in the head field.
    fn track_holder(&self, seen: u32, promoter: Option<Cpu>, known: Option<Cpu>) -> Option<Cpu> {
        let named = head_of(seen).filter(|&cpu| seen & PENDING != 0 && cpu != self.cpu);
        let holder = named.or(promoter);
        if holder != known {
            Self::set_edge(holder);
        }
        holder
    }

    /// The holder is preempted, or holds for long.
    fn yield_at_head(&self, seen: u32, holder: Option<Cpu>, moved: &impl Fn() -> bool) {
        let Some(holder) = holder else { return };
        let sample = E::run_sample(holder);
        if sample.is_preempted() {
            let status = advice::yield_to::<E>(Event::YieldToHolder, holder, sample);
            if should_back_off(status) {
                E::spin_until(moved, Budget::ns(P::RULES.retry_ns));
            }
            return;
        }
        // A whole spin budget under a holder that runs. Sleep only under such a one: halting
        // while it is preempted would leave its pCPU to chance.
        if sample.state() == RunState::Running && Self::MAY_FIND_HOLDS_LONG {
            self.nodes.observe_hold(true);
            if self.nodes.holds_are_long() {
                self.halt_at_head(seen, Some(holder));
            }
        }
    }

    /// Asks for a kick in the word, and halts until it comes.
    fn halt_at_head(&self, mut seen: u32, holder: Option<Cpu>) {
        if !self.may_halt() {
            return;
        }
        // One location decides again: either the wish is in the word before the release, and the
        // releaser sees it; or the lock was released first, and the exchange fails.
        while seen & PENDING == 0 {
            match self.word.compare_exchange(
                seen,
                seen | PENDING,
                Ordering::Relaxed,
                Ordering::Relaxed,
            ) {
                Ok(_) => break,
                Err(now) if !Self::is_blocked(now) => return,
                Err(now) => seen = now,
            }
        }
        if head_of(seen) != Some(self.cpu) {
            // The bit belongs to somebody who passed over us, and will not kick: stay awake.
            return;
        }
        self.nodes.count(Event::HaltAtHead);
        E::checkpoint(Point::Halting);
        E::halt(holder.map(advice::hint_for::<E>));
        if Self::is_blocked(self.word.load(Ordering::Relaxed)) {
            self.nodes.count(Event::SpuriousWake);
        }
    }

    /// Takes the free word and promotes the next in line. False if the word changed meanwhile.
    fn take(&self, seen: u32) -> bool {
        let last = seen & TAIL == self.tail;
        let next = self.node.next.load(Ordering::Acquire);
        let named = if P::RULES.passes_over() {
            // The link may be older than the word: whoever it names may have overtaken us since,
            // and the word must never name a stranger. `promote_next` looks again.
            0
        } else {
            cpu_of::<W>(next).map_or(0, head_bits)
        };
        let held = match (Self::PARAVIRTUAL, last) {
            (true, true) => self.alone(),
            (true, false) => seen & TAIL | named | LOCKED,
            (false, true) => LOCKED,
            (false, false) => seen | LOCKED,
        };
        // Acquire pairs with the release of whoever held the lock before.
        if self
            .word
            .compare_exchange(seen, held, Ordering::Acquire, Ordering::Relaxed)
            .is_err()
        {
            return false;
        }
        E::checkpoint(Point::Taken);
        if !last {
            self.promote_next(named);
        }
        true
    }

    /// Makes the successor the head. `named` is what the word's head field says already.
    fn promote_next(&self, named: u32) {
        let next = self.linked_successor();
        let bits = cpu_of::<W>(next).map_or(0, head_bits);
        if Self::PARAVIRTUAL && bits != named {
            // It had not linked itself when we took the lock, or left since. Two steps, both
            // ours: under a holder nobody else writes the head field.
            if named != 0 {
                self.word.fetch_and(!HEAD, Ordering::Relaxed);
            }
            self.word.fetch_or(bits, Ordering::Relaxed);
        }
        let Some(node) = node_of::<E, W>(next) else {
            return;
        };
        // Release pairs with the acquire in `wait_in_queue`.
        let was = node.state.swap(state::HEAD, Ordering::Release);
        if was == state::HALTED {
            // It sleeps on through our critical section. Whoever releases, we, wakes it then.
            self.word.fetch_or(PENDING, Ordering::Relaxed);
        }
    }

    /// Waits until whoever queued behind us has linked itself.
    ///
    /// If it was preempted between its tail exchange and its link, only the tail is known. The
    /// chain of waits leads from there to the one that is stuck, and the host follows it.
    pub(crate) fn linked_successor(&self) -> u32 {
        // Acquire pairs with the release in `link`: the successor's node is initialised.
        let next = || self.node.next.load(Ordering::Acquire);
        let linked = || next() != 0;
        loop {
            if E::spin_until(linked, Budget::ns(LINK_PATIENCE_NS)) {
                return next();
            }
            if !Self::PARAVIRTUAL || !E::pressure() {
                continue;
            }
            let tail = self.word.load(Ordering::Relaxed) & TAIL;
            let Some(last) = cpu_of::<W>(tail) else {
                continue;
            };
            let stuck = stuck_behind::<E>(self.cpu, last);
            let sample = E::run_sample(stuck);
            let status = advice::yield_to::<E>(Event::YieldToUnlinked, stuck, sample);
            if should_back_off(status) {
                E::spin_until(linked, Budget::ns(P::RULES.retry_ns));
            }
        }
    }
}

/// How far to walk for a host that does not. Beyond it the next call starts from somewhere nearer.
const LONGEST_WALK: usize = 64;

/// From the tail, along the edges, to the one that waits for `me`, or for nobody yet. A host that
/// keeps the contract would find it by itself; one that takes hints only would look at the tail.
fn stuck_behind<E: Env>(me: Cpu, tail: Cpu) -> Cpu {
    let mut at = tail;
    for _ in 0..LONGEST_WALK {
        match E::waiting_for(at) {
            Some(next) if next != me => at = next,
            _ => break,
        }
    }
    at
}

/// Whether `cpu` was preempted a moment ago.
pub(crate) fn is_preempted<E: Env>(cpu: Cpu) -> bool {
    E::run_sample(cpu).is_preempted()
}

/// The CPU of a waiter, as the tail field names it.
pub(crate) fn cpu_of<W: Format>(tail: u32) -> Option<Cpu> {
    match W::tail(tail) {
        Tail::Waiter(cpu, _) => Some(cpu),
        Tail::SoleHolder(_) | Tail::Nobody => None,
    }
}

/// The node of a waiter, as the tail field names it.
pub(crate) fn node_of<E: Env, W: Format>(tail: u32) -> Option<&'static Node> {
    match W::tail(tail) {
        Tail::Waiter(cpu, context) => Some(E::nodes(cpu).node(context)),
        Tail::SoleHolder(_) | Tail::Nobody => None,
    }
}
